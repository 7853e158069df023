"""The kernel op of graph neural networks."""

from __future__ import annotations

from math import prod
from typing import ClassVar

import numpy as np

from ntc.errors import VerifyError
from ntc.ir.offsets import Offsets
from ntc.ir.op import Array, KernelOp, OffsetsPerAxis, covariance
from ntc.ir.schema import AxisNumber, frozen
from ntc.ir.types import ArrayType, CovarianceType, Type


@frozen
class EdgeSum(KernelOp):
    """K'[n, j; m, j'] = sum over i, i' of A1[n, i, j] A2[m, i', j'] K[n, i; m, i'] along some axes.

    Operands are K and the arrays of its examples (one of a marginal). The last channels of an array at position i are
    A[i, j] for all j, as many as there are positions along the axes. Source: Du et al. 2019 (arXiv:1905.13192), eq. 4.
    """

    name: ClassVar[str] = "edge_sum"
    arity: ClassVar[tuple[int, int]] = (2, 3)
    axes: tuple[AxisNumber, ...]

    def result(self, *operands: Type) -> CovarianceType:
        k = covariance(operands[0])
        arrays = [x for x in operands[1:] if isinstance(x, ArrayType)]
        if tuple(x.batch for x in arrays) not in (k.batch, (k.batch[0],) if len({*k.batch}) == 1 else k.batch):
            raise VerifyError(f"edge_sum: the arrays should be those of the examples of {k}")
        inside = all(axis < len(k.spatial) for axis in self.axes) and len({*self.axes}) == len(self.axes)
        if not inside or any(x.spatial != k.spatial or x.channels <= self.size(k.spatial) for x in arrays):
            raise VerifyError(f"edge_sum: axes {self.axes} do not fit {k}, or its arrays hold no pattern")
        return CovarianceType.dense(k.dtype, k.batch, k.spatial)

    def size(self, spatial: tuple[int, ...]) -> int:
        """Number of positions along the axes."""
        return prod(spatial[axis] for axis in self.axes)

    def operations(self, *operands: Type) -> int:
        """Two products of matrices."""
        return 4 * self.size(covariance(operands[0]).spatial)

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        return (tuple(map(Offsets.full, operands[0].spatial)),)

    def patterns(self, x: Array, spatial: tuple[int, ...]) -> Array:
        """A (examples, i, j) of an array: it is the same at all positions of the other axes."""
        own = tuple(slice(None) if axis in self.axes else 0 for axis in range(len(spatial)))
        size = self.size(spatial)
        return x[(slice(None), *own)].reshape(x.shape[0], size, -1)[..., -size:]

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        k, *arrays = operands
        first, second = (self.patterns(x, result.spatial) for x in (arrays[0], arrays[-1]))
        batch, size = len(result.batch), self.size(result.spatial)
        moved = [batch + 2 * axis + side for side in (0, 1) for axis in self.axes]
        last = list(range(k.ndim - len(moved), k.ndim))
        x = np.moveaxis(k, moved, last)
        shape = x.shape
        x = x.reshape(*shape[: k.ndim - len(moved)], size, size)
        others = (1,) * (x.ndim - batch - 2)
        first = first.reshape(len(first), *(1,) * (batch - 1), *others, size, size)
        second = second.reshape(*(1,) * (batch - 1), len(second), *others, size, size)
        # Sums in one order, so that K[n, n] of one input is exactly its variance.
        x = np.sum(first[..., :, :, None] * x[..., :, None, :], axis=-3)
        x = np.sum(x[..., :, :, None] * second[..., None, :, :], axis=-2)
        return np.moveaxis(x.reshape(shape), last, moved)
