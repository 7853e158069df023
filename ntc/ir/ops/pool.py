"""Average and sum pooling, over windows and over the whole image."""

from __future__ import annotations

from typing import ClassVar

from ntc.errors import ShapeError
from ntc.ir.kernel import Div, Reduce, Window2
from ntc.ir.op import Emit, Pair, TensorOp, Value
from ntc.ir.schema import Extent, Padding, frozen
from ntc.ir.sliding import Strided, centers, compact, per_axis, slid_spatial
from ntc.ir.types import Distribution, Spatial, TensorType


class Pool(TensorOp):
    """A linear op without weights that mixes positions: the same map acts on NNGP and NTK."""

    def distribution(self, *xs: TensorType) -> Distribution:
        return xs[0].distribution

    def check_spatial(self, x: TensorType) -> None:
        """Raises ShapeError if there is nothing to pool."""
        if not x.spatial:
            raise ShapeError(f"{self.name}: its input has no spatial axes", hint="remove this layer")


class WindowPool(Pool):
    """Pooling over windows; `kernel_op` says how the window is summed."""

    window: Extent
    stride: Extent | None
    padding: Padding

    def kernel_op(self, spatial: Spatial) -> Window2:
        """The map on covariances."""
        window = per_axis("window", self.window, spatial)
        stride = window if self.stride is None else per_axis("stride", self.stride, spatial)
        return Window2(window, compact(stride), self.padding)

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        self.check_spatial(x)
        axes = self.kernel_op(x.spatial).geometry(x.spatial)
        return slid_spatial("window", axes), x.channels

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        return centers(self.kernel_op(x.spatial).geometry(x.spatial))

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        (x,) = xs
        return emit(self.kernel_op(x.type.spatial), x.k)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        (x,) = xs
        return emit(self.kernel_op(x.type.spatial), x.t)


@frozen
class AvgPool(WindowPool):
    """y[p] = 1/|w| sum over taps a of x[s p + a].

    K'[p, p'] = 1/|w|^2 sum over a, a' of K[s p + a, s p' + a'],  T' likewise.
    With padding=same the taps outside the image count as zeros; `normalize_edges` divides by the number of
    taps inside instead of |w|. Source: Novak et al. 2019 (arXiv:1810.05148), section 3.2.1.

    Parameters: window and stride (default: the window), one number or one per spatial axis.
    """

    name: ClassVar[str] = "avg_pool"
    window: Extent
    stride: Extent | None = None
    padding: Padding = "valid"
    normalize_edges: bool = False

    def kernel_op(self, spatial: Spatial) -> Window2:
        op = super().kernel_op(spatial)
        edges = self.normalize_edges and self.padding == "same"
        return Window2(op.window, op.stride, op.padding, "edge_mean" if edges else "mean")


@frozen
class SumPool(WindowPool):
    """y[p] = sum over taps a of x[s p + a].

    K'[p, p'] = sum over a, a' of K[s p + a, s p' + a'],  T' likewise.
    Source: Novak et al. 2019 (arXiv:1810.05148), section 3.2.1, without its division.

    Parameters: window and stride (default: the window), one number or one per spatial axis.
    """

    name: ClassVar[str] = "sum_pool"
    window: Extent
    stride: Extent | None = None
    padding: Padding = "valid"

    def kernel_op(self, spatial: Spatial) -> Window2:
        op = super().kernel_op(spatial)
        return Window2(op.window, op.stride, op.padding, "sum")


class GlobalPool(Pool):
    """Pooling over all positions."""

    reduce: ClassVar[Reduce]

    def visible(self, x: TensorType) -> None:
        return None

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        self.check_spatial(x)
        return (), x.channels

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        return emit(self.reduce, xs[0].k)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        return emit(self.reduce, xs[0].t)


@frozen
class GlobalAvgPool(GlobalPool):
    """y = mean over positions p of x[p], those alone that are not masked.

    K' = mean over p, p' of K[p, p'],  T' likewise.
    Source: Novak et al. 2019 (arXiv:1810.05148), section 3.2.1.
    """

    name: ClassVar[str] = "global_avg_pool"
    reduce: ClassVar[Reduce] = Reduce("mean")

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        return self._mean(emit, xs[0].k, xs[0].mask)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        return self._mean(emit, xs[0].t, xs[0].mask)

    def _mean(self, emit: Emit, k: Value, mask: Value | None) -> Value:
        if mask is None:
            return emit(self.reduce, k)
        total, count = emit(Reduce("sum"), k, name="sum"), emit(Reduce("sum"), mask, name="count")
        return emit(Div(), total, count)


@frozen
class GlobalSumPool(GlobalPool):
    """y = sum over positions p of x[p].

    K' = sum over p, p' of K[p, p'],  T' likewise.
    Source: Novak et al. 2019 (arXiv:1810.05148), section 3.2.1, without its division.
    """

    name: ClassVar[str] = "global_sum_pool"
    reduce: ClassVar[Reduce] = Reduce("sum")
