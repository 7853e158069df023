"""Graph neural networks."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ntc.errors import LimitError, ShapeError
from ntc.ir import kernel
from ntc.ir.op import Emit, Pair, TensorOp, Value
from ntc.ir.schema import AxisNumber, Count, frozen
from ntc.ir.sliding import Strided
from ntc.ir.types import MAX_SPATIAL_AXES, Distribution, Spatial, TensorType


@frozen
class Aggregate(TensorOp):
    """y[j] = sum over vertices i of A[i, j] x[i]: every vertex takes the sum of its direct predecessors.

    A, the pattern of an example, is its weighted adjacency matrix; it is given with the example when a program is
    called. Vertices are the positions along some spatial axes, all others are left alone.

    K'[j, j'] = sum over i, i' of A1[i, j] A2[i', j'] K[i, i'],  T' likewise.
    Source: Du et al. 2019 (arXiv:1905.13192), eq. 4; as in Novak et al. 2020 (arXiv:1912.02803), Aggregate.

    Parameters: axes (numbers of the spatial axes; none is all). Along no axis, (), an example has one vertex, and its
    pattern is a number that it is multiplied by. With sizes, a pattern is any matrix from vertices to positions along
    new axes of these sizes, which come behind those that are left.
    """

    name: ClassVar[str] = "aggregate"
    axes: tuple[AxisNumber, ...] | None = None
    sizes: tuple[Count, ...] | None = None

    def kernel_op(self, spatial: Spatial) -> kernel.EdgeSum:
        """The map on covariances. Raises ShapeError."""
        axes = tuple(range(len(spatial))) if self.axes is None else self.axes
        if (not axes and self.axes is None) or len({*axes}) < len(axes) or any(axis >= len(spatial) for axis in axes):
            raise ShapeError(
                f"aggregate: axes {axes} of an input with {len(spatial)} spatial axes",
                parameter="axes",
                hint=f"give different numbers from 0 to {len(spatial) - 1}" if spatial else "the input needs vertices",
            )
        return kernel.EdgeSum(axes, self.sizes)

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        outputs = self.kernel_op(x.spatial).spatial(x.spatial)
        if len(outputs) > MAX_SPATIAL_AXES:
            raise LimitError(f"aggregate: the output has more than {MAX_SPATIAL_AXES} spatial axes")
        return outputs, x.channels

    def distribution(self, *xs: TensorType) -> Distribution:
        return xs[0].distribution

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        return Strided.every(x.spatial)

    def reads(self, spatial: Spatial) -> kernel.EdgeSum | None:
        return None if self.sizes is None else replace(self.kernel_op(spatial), reads=True)

    def reached(self, emit: Emit, x: Pair) -> Value:
        rule = self.reads(x.type.spatial)
        assert rule is not None
        assert x.mask is not None
        return emit(rule, x.mask, *x.arrays)

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        (x,) = xs
        return emit(self.kernel_op(x.type.spatial), x.k, *x.arrays)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        (x,) = xs
        return emit(self.kernel_op(x.type.spatial), x.t, *x.arrays)
