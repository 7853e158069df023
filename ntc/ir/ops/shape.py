"""Layers that only rearrange: identity, flatten, index."""

from __future__ import annotations

from math import prod
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ntc.errors import ShapeError
from ntc.ir.common import Common, Operand
from ntc.ir.kernel import Reduce, Select
from ntc.ir.op import Emit, Pair, TensorOp, Value
from ntc.ir.schema import MAX_EXTENT, frozen
from ntc.ir.sliding import Strided
from ntc.ir.types import Distribution, Spatial, TensorType


@frozen
class Identity(TensorOp):
    """y = x.

    K' = K,  T' = T. Source: definition; the empty branch of a residual block (Novak et al. 2020, Listing 1).
    """

    name: ClassVar[str] = "identity"
    fills_masked: ClassVar[bool] = False

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        return x.spatial, x.channels

    def distribution(self, *xs: TensorType) -> Distribution:
        return xs[0].distribution

    def learnt_after(self, below: float, law: Distribution) -> float:
        return below

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        return Strided.every(x.spatial)

    def common_after(self, *xs: Operand) -> Common | None:
        return xs[0].common

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        return xs[0].k

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        return xs[0].t


@frozen
class Flatten(TensorOp):
    """Positions become channels.

    K' = 1/d sum over the d positions p of K[p, p],  T' likewise.
    Source: Novak et al. 2019 (arXiv:1810.05148), section 3.1.
    """

    name: ClassVar[str] = "flatten"

    @property
    def keeps_channels_alike(self) -> bool:
        return False

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        return (), prod(x.spatial) * x.channels

    def distribution(self, *xs: TensorType) -> Distribution:
        (x,) = xs
        if prod(x.spatial) > 1 and x.distribution is Distribution.GAUSSIAN:
            return Distribution.CENTERED  # channels from different positions differ in variance
        return x.distribution

    def visible(self, x: TensorType) -> None:
        return None

    def common_after(self, *xs: Operand) -> None:
        """What channels have in common, independent between positions, averages out over positions."""

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        return emit(Reduce("trace"), xs[0].k)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        return emit(Reduce("trace"), xs[0].t)


@frozen
class Index(TensorOp):
    """y = x[q], the channels at one position q.

    K' = K[q, q],  T' = T[q, q]. Source: Novak et al. 2019 (arXiv:1810.05148), section 3.2.2.

    Parameters: position, one number per spatial axis, negative from the end; or `center`.
    """

    name: ClassVar[str] = "index"
    position: Literal["center"] | tuple[Annotated[int, Field(ge=-MAX_EXTENT, le=MAX_EXTENT)], ...] = "center"

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        self._select(x.spatial)
        return (), x.channels

    def distribution(self, *xs: TensorType) -> Distribution:
        return xs[0].distribution

    def visible(self, x: TensorType) -> None:
        return None

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        return emit(self._select(xs[0].type.spatial), xs[0].k)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        return emit(self._select(xs[0].type.spatial), xs[0].t)

    def _select(self, spatial: Spatial) -> Select:
        if self.position == "center":
            return Select(tuple(size // 2 for size in spatial))
        fits = len(self.position) == len(spatial) and all(
            -size <= p < size for p, size in zip(self.position, spatial, strict=True)
        )
        if not fits:
            sizes = "x".join(map(str, spatial)) or "none"
            raise ShapeError(
                f"index: {self.position} is not a position of its input (spatial axes: {sizes})",
                parameter="position",
            )
        return Select(tuple(p % size for p, size in zip(self.position, spatial, strict=True)))
