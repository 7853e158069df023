"""Branches side by side along a spatial axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ntc.errors import ShapeError
from ntc.ir.kernel import Add, Window
from ntc.ir.kernel.linear import SpatialAxis
from ntc.ir.op import Emit, Pair, TensorOp, Value
from ntc.ir.ops.join import Uncorrelated
from ntc.ir.schema import MAX_EXTENT, frozen
from ntc.ir.sliding import Strided
from ntc.ir.types import Spatial, TensorType


@frozen
class ConcatSpatial(Uncorrelated):
    """y = the positions of x_1, ..., x_r one after another along one spatial axis, branches uncorrelated.

    K' is K_i between two positions of branch i and zero between two branches: the sum of the branches, each within
    zeros where the others are;  T' likewise. The blocks E[x_i x_j] vanish under the condition of sum; anything else is
    refused. Source: definition; Novak et al. 2020 (arXiv:1912.02803), Table 1 (sums).

    Parameters: axis, from 0.
    """

    name: ClassVar[str] = "concat_spatial"
    axis: SpatialAxis = 0

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        if any(self.axis >= len(x.spatial) for x in xs):
            raise ShapeError(
                f"concat_spatial: its branches need a spatial axis with number {self.axis}",
                parameter="axis",
                hint="concat puts channels side by side",
            )
        if len({(*self._others(x.spatial), x.channels) for x in xs}) > 1:
            shapes = ", ".join(map(str, xs))
            raise ShapeError(f"concat_spatial: its branches differ beside axis {self.axis}: {shapes}")
        size = sum(x.spatial[self.axis] for x in xs)
        if size > MAX_EXTENT:
            raise ShapeError(f"concat_spatial: more than {MAX_EXTENT} positions")
        spatial = xs[0].spatial
        return (*spatial[: self.axis], size, *spatial[self.axis + 1 :]), xs[0].channels

    def _others(self, spatial: Spatial) -> Spatial:
        return (*spatial[: self.axis], *spatial[self.axis + 1 :])

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        return TensorOp.visible(self, x)  # not that of other joins: positions move

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        return self._blocks(emit, xs, [x.k for x in xs])

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        return self._blocks(emit, xs, [x.t for x in xs])

    def _blocks(self, emit: Emit, xs: tuple[Pair, ...], values: Sequence[Value]) -> Value:
        spatial, _ = self.shape(*(x.type for x in xs))
        blocks, low = [], 0
        for x, value in zip(xs, values, strict=True):
            size = x.type.spatial[self.axis]
            pads = [0] * (2 * len(spatial))
            pads[2 * self.axis : 2 * self.axis + 2] = low, spatial[self.axis] - low - size
            blocks.append(emit(Window((1,) * len(spatial), pads=tuple(pads)), value, name="block"))
            low += size
        return emit(Add(), *blocks)
