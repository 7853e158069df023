"""The kernel op of a fixed matrix along several axes together."""

from __future__ import annotations

from math import prod
from typing import ClassVar

import numpy as np

from ntc.errors import VerifyError
from ntc.ir.kernel.families import MatrixProduct
from ntc.ir.kernel.linear import Rows, SpatialAxis
from ntc.ir.kernel.windows import Sizes
from ntc.ir.offsets import Offsets
from ntc.ir.op import Array, OffsetsPerAxis, covariance
from ntc.ir.schema import frozen
from ntc.ir.types import MAX_SPATIAL_AXES, CovarianceType, Spatial, Type


@frozen
class MixPositions(MatrixProduct):
    """K'[.., o, o'] = sum over q, q' of M[o, q] M[o', q'] K[.., q, q'], q being positions along `axes` together.

    `values` is M, with a row for every output position; new axes of sizes `outputs` come behind those that are left.
    Source: the bilinearity of the covariance.
    """

    name: ClassVar[str] = "mix_positions"
    axes: tuple[SpatialAxis, ...]
    outputs: Sizes
    values: Rows

    def left(self, spatial: Spatial) -> tuple[int, ...]:
        """The axes of the operand that stay. Raises VerifyError if the op does not fit on these sizes."""
        inside = all(axis < len(spatial) for axis in self.axes) and len({*self.axes}) == len(self.axes)
        columns = prod(spatial[axis] for axis in self.axes) if inside else 0
        if not inside or len(self.values) != prod(self.outputs) or {len(row) for row in self.values} != {columns}:
            raise VerifyError(
                f"mix_positions: the matrix does not fit from axes {self.axes} of {spatial} to {self.outputs}"
            )
        left = tuple(axis for axis in range(len(spatial)) if axis not in self.axes)
        if len(left) + len(self.outputs) > MAX_SPATIAL_AXES:
            raise VerifyError(f"mix_positions: the result has more than {MAX_SPATIAL_AXES} spatial axes")
        return left

    def result(self, *operands: Type) -> CovarianceType:
        (k,) = map(covariance, operands)
        left = tuple(k.spatial[axis] for axis in self.left(k.spatial))
        return CovarianceType.dense(k.dtype, k.batch, (*left, *self.outputs))

    def operations(self, *operands: Type) -> int:
        return 4 * len(self.values[0]) if self.values else 0

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        below = [Offsets.full(size) for size in operands[0].spatial]
        for wanted, axis in zip(offsets, self.left(operands[0].spatial), strict=False):
            below[axis] = wanted
        return (tuple(below),)

    def orders(self, spatial: Spatial, batch: int) -> tuple[list[int], list[int]]:
        """How axes (*batch, H, H', ...) become (*batch, pairs of those that stay, all q, all q'), and how the axes of
        (*batch, pairs, *outputs, *outputs) become those of the result."""
        left = self.left(spatial)
        before = [batch + 2 * axis + side for axis in left for side in (0, 1)]
        before += [batch + 2 * axis + side for side in (0, 1) for axis in self.axes]
        first, count = batch + 2 * len(left), len(self.outputs)
        after = [first + number + side for number in range(count) for side in (0, count)]
        return [*range(batch), *before], [*range(first), *after]

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        (k,) = operands
        batch = len(result.batch)
        before, after = self.orders(k.shape[batch::2], batch)
        matrix = np.array(self.values, np.float64)
        x = k.transpose(before)
        kept = x.shape[: len(after) - 2 * len(self.outputs)]
        x = matrix @ x.reshape(*kept, matrix.shape[1], matrix.shape[1]) @ matrix.T
        return x.reshape(*kept, *self.outputs, *self.outputs).transpose(after)
