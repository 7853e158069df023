"""Kernel ops that treat the entries of a position with itself apart."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from ntc.errors import VerifyError
from ntc.ir.hyper import TunableShare
from ntc.ir.kernel.families import Entrywise, Mixing
from ntc.ir.offsets import DIAGONAL
from ntc.ir.op import Array, OffsetsPerAxis, covariance
from ntc.ir.schema import AxisNumber, Count, frozen
from ntc.ir.types import MAX_SPATIAL_AXES, CovarianceType, Type

SpatialAxes = tuple[Annotated[int, Field(ge=0, le=MAX_SPATIAL_AXES - 1)], ...]
"""Numbers of spatial axes, from 0."""


@frozen
class DiagScale(Entrywise):
    """K / keep where an example and position meet themselves (n = m and p = p'), K elsewhere.

    No example of one input is one of another input, so nothing changes between two inputs, equal or not.
    Source: Schoenholz et al. 2017 (arXiv:1611.01232), the recursion with dropout.
    """

    name: ClassVar[str] = "diag_scale"
    keep: TunableShare

    def fold(self, *numbers: float | None) -> float | None:
        return 0.0 if numbers[0] == 0.0 else None

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        (k,) = operands
        if len(set(result.batch)) == 2:
            return k
        own = np.ones((1,) * k.ndim)
        paired_axes = range(len(result.batch) % 2, k.ndim, 2)
        for axis in paired_axes:
            shape = [1] * k.ndim
            shape[axis] = shape[axis + 1] = k.shape[axis]
            own = own * np.eye(k.shape[axis]).reshape(shape)
        return np.where(own == 1, k / self.keep, k)


@frozen
class DiagonalMean(Mixing):
    """Of a marginal: the mean over positions q of V[q, q] along `axes`, the same for all p and p' of these axes.

    Source: Ba et al. 2016 (arXiv:1607.06450), eq. 3: the variance over several axes, of which channels are one.
    """

    name: ClassVar[str] = "diagonal_mean"
    axes: SpatialAxes

    def fold(self, *numbers: float | None) -> float | None:
        return numbers[0]

    def result(self, *operands: Type) -> CovarianceType:
        (v,) = map(covariance, operands)
        if len(v.batch) != 1 or len(set(self.axes)) < len(self.axes) or max(self.axes, default=0) >= len(v.spatial):
            raise VerifyError(f"diagonal_mean: {self.axes} are not axes of a marginal {v}")
        return CovarianceType.dense(v.dtype, v.batch, v.spatial)

    def operations(self, *operands: Type) -> int:
        return 1

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        return (tuple(DIAGONAL if axis in self.axes else own for axis, own in enumerate(offsets)),)

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        (v,) = operands
        for axis in self.axes:
            first = 1 + 2 * axis
            mean = np.diagonal(v, axis1=first, axis2=first + 1).mean(-1)
            v = np.broadcast_to(np.expand_dims(mean, (first, first + 1)), v.shape)
        return v


@frozen
class AxisMean(Mixing):
    """Along one axis, which gets `count` positions: the mean over q of K[q, q] where p' = p, zero elsewhere.

    Outputs of one random matrix along the axis. Source: E[(W x)[p] (W x')[p']] for independent entries of W.
    """

    name: ClassVar[str] = "axis_mean"
    axis: AxisNumber
    count: Count

    def fold(self, *numbers: float | None) -> float | None:
        return 0.0 if numbers[0] == 0.0 else None

    def result(self, *operands: Type) -> CovarianceType:
        (k,) = map(covariance, operands)
        if self.axis >= len(k.spatial):
            raise VerifyError(f"axis_mean: {self.axis} is no axis of {k}")
        spatial = (*k.spatial[: self.axis], self.count, *k.spatial[self.axis + 1 :])
        return CovarianceType.dense(k.dtype, k.batch, spatial)

    @property
    def linear_in_distances(self) -> bool:
        return True

    def operations(self, *operands: Type) -> int:
        return 2

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        return (tuple(DIAGONAL if axis == self.axis else own for axis, own in enumerate(offsets)),)

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        (k,) = operands
        first = len(result.batch) + 2 * self.axis
        mean = np.expand_dims(np.diagonal(k, axis1=first, axis2=first + 1).mean(-1), (first, first + 1))
        shape = [1] * k.ndim
        shape[first] = shape[first + 1] = self.count
        return np.where(np.eye(self.count, dtype=bool).reshape(shape), mean, 0.0)
