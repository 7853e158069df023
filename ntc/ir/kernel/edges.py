"""The kernel op of graph neural networks."""

from __future__ import annotations

from math import prod
from typing import ClassVar

import numpy as np

from ntc.errors import VerifyError
from ntc.ir.kernel.families import MatrixProduct
from ntc.ir.kernel.windows import Sizes
from ntc.ir.offsets import Offsets
from ntc.ir.op import Array, OffsetsPerAxis, covariance
from ntc.ir.schema import AxisNumber, frozen
from ntc.ir.types import MAX_SPATIAL_AXES, ArrayType, CovarianceType, Spatial, Type


@frozen
class EdgeSum(MatrixProduct):
    """K'[n, j; m, j'] = sum over i, i' of A1[n, i, j] A2[m, i', j'] K[n, i; m, i'] along some axes.

    Operands are K and the arrays of its examples (one of a marginal). The last channels of an array at position i are
    A[i, j] for all j, as many as there are positions along the axes; or, where `outputs` are given, as many as j has in
    new axes of these sizes, which come behind those that are left. With `reads`, ones for all of A that is not zero.
    Source: Du et al. 2019 (arXiv:1905.13192), eq. 4.
    """

    name: ClassVar[str] = "edge_sum"
    arity: ClassVar[tuple[int, int]] = (2, 3)
    axes: tuple[AxisNumber, ...]
    outputs: Sizes | None = None
    reads: bool = False

    def result(self, *operands: Type) -> CovarianceType:
        k = covariance(operands[0])
        arrays = [x for x in operands[1:] if isinstance(x, ArrayType)]
        if tuple(x.batch for x in arrays) not in (k.batch, (k.batch[0],) if len({*k.batch}) == 1 else k.batch):
            raise VerifyError(f"edge_sum: the arrays should be those of the examples of {k}")
        inside = all(axis < len(k.spatial) for axis in self.axes) and len({*self.axes}) == len(self.axes)
        if not inside or any(x.spatial != k.spatial or x.channels <= self.columns(k.spatial) for x in arrays):
            raise VerifyError(f"edge_sum: axes {self.axes} do not fit {k}, or its arrays hold no pattern")
        if len(self.spatial(k.spatial)) > MAX_SPATIAL_AXES:
            raise VerifyError(f"edge_sum: the result has more than {MAX_SPATIAL_AXES} spatial axes")
        return CovarianceType.dense(k.dtype, k.batch, self.spatial(k.spatial))

    def spatial(self, spatial: Spatial) -> Spatial:
        """Sizes of the result."""
        if self.outputs is None:
            return spatial
        return (*(size for axis, size in enumerate(spatial) if axis not in self.axes), *self.outputs)

    def size(self, spatial: tuple[int, ...]) -> int:
        """Number of positions along the axes."""
        return prod(spatial[axis] for axis in self.axes)

    def columns(self, spatial: tuple[int, ...]) -> int:
        """Number of outputs of each pattern."""
        return self.size(spatial) if self.outputs is None else prod(self.outputs)

    def operations(self, *operands: Type) -> int:
        """Two products of matrices."""
        return 4 * self.size(covariance(operands[0]).spatial)

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        return (tuple(map(Offsets.full, operands[0].spatial)),)

    def patterns(self, x: Array, spatial: tuple[int, ...]) -> Array:
        """A (examples, i, j) of an array: it is the same at all positions of the other axes."""
        own = tuple(slice(None) if axis in self.axes else 0 for axis in range(len(spatial)))
        found = x[(slice(None), *own)].reshape(x.shape[0], self.size(spatial), -1)[..., -self.columns(spatial) :]
        return (found != 0).astype(x.dtype) if self.reads else found

    def apart(self, rank: int, batch: int) -> tuple[list[int], list[int]]:
        """How axes (*batch, H, H', ...) become (*batch, pairs of those that stay, all i, all i'), and how those of
        (*batch, pairs, all j, all j') become those of the result."""
        moved = [batch + 2 * axis + side for side in (0, 1) for axis in self.axes]
        left = [axis for axis in range(batch + 2 * rank) if axis not in moved]
        before, first = [*left, *moved], len(left)
        if self.outputs is None:
            return before, [before.index(axis) for axis in range(len(before))]
        count = len(self.outputs)
        return before, [*range(first), *(first + number + side for number in range(count) for side in (0, count))]

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        k, *arrays = operands
        batch = len(result.batch)
        spatial = k.shape[batch::2]
        first, second = (self.patterns(x, spatial) for x in (arrays[0], arrays[-1]))
        before, after = self.apart(len(spatial), batch)
        x = k.transpose(before)
        kept = x.shape[: x.ndim - 2 * len(self.axes)]
        x = x.reshape(*kept, self.size(spatial), self.size(spatial))
        others = (1,) * (x.ndim - batch - 2)
        first = first.reshape(len(first), *(1,) * (batch - 1), *others, *first.shape[1:])
        second = second.reshape(*(1,) * (batch - 1), len(second), *others, *second.shape[1:])
        # Sums in one order, so that K[n, n] of one input is exactly its variance.
        x = np.sum(first[..., :, :, None] * x[..., :, None, :], axis=-3)
        x = np.sum(x[..., :, :, None] * second[..., None, :, :], axis=-2)
        sizes = tuple(spatial[axis] for axis in self.axes) if self.outputs is None else self.outputs
        entries: Array = x.reshape(*kept, *sizes, *sizes).transpose(after)
        return entries
