"""Graph neural networks."""

from __future__ import annotations

from typing import ClassVar

from ntc.errors import ShapeError
from ntc.ir import kernel
from ntc.ir.op import Emit, Pair, TensorOp, Value
from ntc.ir.schema import AxisNumber, frozen
from ntc.ir.types import Distribution, Spatial, TensorType


@frozen
class Aggregate(TensorOp):
    """y[j] = sum over vertices i of A[i, j] x[i]: every vertex takes the sum of its direct predecessors.

    A, the pattern of an example, is its weighted adjacency matrix; it is given with the example when a program is
    called. Vertices are the positions along some spatial axes, all others are left alone.

    K'[j, j'] = sum over i, i' of A1[i, j] A2[i', j'] K[i, i'],  T' likewise.
    Source: Du et al. 2019 (arXiv:1905.13192), eq. 4; as in Novak et al. 2020 (arXiv:1912.02803), Aggregate.

    Parameters: axes (numbers of the spatial axes; none is all). Along no axis, (), an example has one vertex, and its
    pattern is a number that it is multiplied by.
    """

    name: ClassVar[str] = "aggregate"
    axes: tuple[AxisNumber, ...] | None = None

    def kernel_op(self, spatial: Spatial) -> kernel.EdgeSum:
        """The map on covariances. Raises ShapeError."""
        axes = tuple(range(len(spatial))) if self.axes is None else self.axes
        if (not axes and self.axes is None) or len({*axes}) < len(axes) or any(axis >= len(spatial) for axis in axes):
            raise ShapeError(
                f"aggregate: axes {axes} of an input with {len(spatial)} spatial axes",
                parameter="axes",
                hint=f"give different numbers from 0 to {len(spatial) - 1}" if spatial else "the input needs vertices",
            )
        return kernel.EdgeSum(axes)

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        self.kernel_op(x.spatial)
        return x.spatial, x.channels

    def distribution(self, *xs: TensorType) -> Distribution:
        return xs[0].distribution

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        (x,) = xs
        return emit(self.kernel_op(x.type.spatial), x.k, *x.arrays)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        (x,) = xs
        return emit(self.kernel_op(x.type.spatial), x.t, *x.arrays)
