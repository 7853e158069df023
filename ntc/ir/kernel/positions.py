"""Kernel ops that move or drop entries."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ntc.errors import VerifyError
from ntc.ir.kernel.families import Entrywise, Mixing
from ntc.ir.kernel.linear import SpatialAxis
from ntc.ir.offsets import DIAGONAL
from ntc.ir.op import Array, OffsetsPerAxis, covariance
from ntc.ir.schema import frozen
from ntc.ir.types import CovarianceType, Spatial, Type


@frozen
class Permute(Mixing):
    """The same entries with spatial axes in another order: axis i of the result is axis `axes[i]` of the operand."""

    name: ClassVar[str] = "permute"
    axes: tuple[SpatialAxis, ...]

    def fold(self, *numbers: float | None) -> float | None:
        return numbers[0]

    def result(self, *operands: Type) -> CovarianceType:
        (k,) = map(covariance, operands)
        if sorted(self.axes) != list(range(len(k.spatial))):
            raise VerifyError(f"permute: {self.axes} is not an order of the axes of {k}")
        return CovarianceType.dense(k.dtype, k.batch, tuple(k.spatial[axis] for axis in self.axes))

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        return (tuple(offsets[self.axes.index(axis)] for axis in range(len(offsets))),)

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        batch = len(result.batch)
        pairs = [batch + 2 * axis + image for axis in self.axes for image in (0, 1)]
        return operands[0].transpose(*range(batch), *pairs)


@frozen
class OnDiagonal(Entrywise):
    """K[p, p'] where p' = p along `axes` (none for all), zero elsewhere: positions of independent weights.

    Source: Novak et al. 2019 (arXiv:1810.05148), section 5.1: locally connected networks.
    """

    name: ClassVar[str] = "on_diagonal"
    axes: tuple[SpatialAxis, ...] | None = None

    def among(self, spatial: Spatial) -> tuple[int, ...]:
        """Numbers of the axes along which p' = p."""
        return tuple(range(len(spatial))) if self.axes is None else self.axes

    def result(self, *operands: Type) -> CovarianceType:
        k = super().result(*operands)
        if any(axis >= len(k.spatial) for axis in self.among(k.spatial)):
            raise VerifyError(f"on_diagonal: {self.axes} are not axes of {k}")
        return k

    def fold(self, *numbers: float | None) -> float | None:
        return 0.0 if numbers[0] == 0.0 else None

    def operations(self, *operands: Type) -> int:
        return 0

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        own = self.among(operands[0].spatial)
        return (tuple(DIAGONAL if axis in own else wanted for axis, wanted in enumerate(offsets)),)

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        (k,) = operands
        for number in self.among(result.spatial):
            axis = len(result.batch) + 2 * number
            shape = [1] * k.ndim
            shape[axis], shape[axis + 1] = k.shape[axis], k.shape[axis + 1]
            k = np.where(np.eye(k.shape[axis], dtype=bool).reshape(shape), k, 0.0)
        return k
