"""Kernel ops that apply a fixed matrix along the spatial axes of both images."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from math import gcd
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ntc.errors import VerifyError
from ntc.ir.kernel.families import MatrixProduct
from ntc.ir.kernel.windows import Sizes
from ntc.ir.offsets import DIAGONAL, Offsets
from ntc.ir.op import Array, KernelOp, OffsetsPerAxis, covariance
from ntc.ir.resampling import Method, check_resize, resize_matrix
from ntc.ir.schema import MAX_EXTENT, Finite, frozen
from ntc.ir.types import MAX_SPATIAL_AXES, CovarianceType, Spatial, Type

Rows = tuple[tuple[Finite, ...], ...]
SpatialAxis = Annotated[int, Field(ge=0, le=MAX_SPATIAL_AXES - 1)]

_MOST_COMPARISONS = 2**24
"""Pairs of taps that are compared for an exact demand; beyond it, every offset is demanded."""


@dataclass(frozen=True, eq=False)
class Taps:
    """A matrix M along one axis by its nonzero entries: output p reads `sources[t, p]` times `weights[t, p]`, over t.

    Where an output has fewer taps than others, the rest have weight zero.
    """

    size: int
    sources: npt.NDArray[np.intp]
    weights: Array

    @classmethod
    def of(cls, matrix: Array) -> Taps:
        """Those of a matrix (outputs, positions)."""
        size = matrix.shape[1]
        count = max(1, int((matrix != 0).sum(1).max(initial=0)))
        order = np.argsort(matrix == 0, axis=1, kind="stable")[:, :count]
        return cls(size, order.T, np.take_along_axis(matrix, order, 1).T)

    @property
    def outputs(self) -> int:
        """Number of output positions."""
        return int(self.sources.shape[1])

    @property
    def matrix(self) -> Array:
        """M, (outputs, positions)."""
        matrix = np.zeros((self.outputs, self.size))
        np.add.at(matrix, (np.arange(self.outputs), self.sources), self.weights)
        return matrix

    def offsets_below(self, offsets: Offsets) -> Offsets:
        """The smallest progression with q' - q of all taps q of p and q' of p', p' - p being in `offsets`."""
        above = range(offsets.low, offsets.high + 1, offsets.step)
        if len(above) * self.sources.size * len(self.sources) > _MOST_COMPARISONS:
            return Offsets.full(self.size)
        found: set[int] = set()
        for offset in above:
            first = np.arange(max(0, -offset), max(0, min(self.outputs, self.outputs - offset)))
            second = first + offset
            read = self.sources[None, :, second] - self.sources[:, None, first]
            wanted = (self.weights[None, :, second] != 0) & (self.weights[:, None, first] != 0)
            found.update(np.unique(read[wanted]).tolist())
        if not found:
            return DIAGONAL
        low = min(found)
        return Offsets(low, max(found), gcd(*(offset - low for offset in found)) or 1)

    def along(self, x: Array, axis: int) -> Array:
        """M applied along an array axis. Entries that M does not read may be NaN."""
        shape = [1] * x.ndim
        shape[axis] = self.outputs
        terms = (
            np.where(weights.reshape(shape) == 0, 0.0, weights.reshape(shape) * np.take(x, sources, axis))
            for sources, weights in zip(self.sources, self.weights, strict=True)
        )
        total: Array = np.sum(list(terms), axis=0)
        return total


class Linear(MatrixProduct):
    """K'[p, p'] = sum over q, q' of M[p, q] M[p', q'] K[q, q'], M being a product of matrices along the axes."""

    rereads: ClassVar[bool] = True

    @abstractmethod
    def outputs(self, spatial: Spatial) -> Spatial:
        """Sizes of the result. Raises VerifyError if the op does not fit on an image of these sizes."""

    @abstractmethod
    def matrices(self, spatial: Spatial) -> tuple[Taps | None, ...]:
        """Of every axis; None for the identity."""

    def result(self, *operands: Type) -> CovarianceType:
        (k,) = map(covariance, operands)
        return CovarianceType.dense(k.dtype, k.batch, self.outputs(k.spatial))

    def operations(self, *operands: Type) -> int:
        taps = self.matrices(covariance(operands[0]).spatial)
        return sum(4 * len(axis.sources) for axis in taps if axis is not None)

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        axes = zip(self.matrices(operands[0].spatial), offsets, strict=True)
        return (tuple(wanted if taps is None else taps.offsets_below(wanted) for taps, wanted in axes),)

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        (k,) = operands
        batch = len(result.batch)
        for i, taps in enumerate(self.matrices(k.shape[batch::2])):
            if taps is not None:
                first = batch + 2 * i
                k = taps.along(taps.along(k, first), first + 1)
        return k


def _check_rank(op: KernelOp, given: int, spatial: Spatial) -> None:
    if given != len(spatial):
        raise VerifyError(f"{op.name} of {given} axes on an operand of {len(spatial)}")


@frozen
class Dilate(Linear):
    """K'[s q, s' q'] = K[q, q'], zero elsewhere: `stride` - 1 zeros after every position of every axis.

    Below a convolution, this makes a transposed one. Source: Dumoulin & Visin 2016 (arXiv:1603.07285), section 4.
    """

    name: ClassVar[str] = "dilate"
    stride: Sizes

    def outputs(self, spatial: Spatial) -> Spatial:
        _check_rank(self, len(self.stride), spatial)
        outputs = tuple(size * stride for size, stride in zip(spatial, self.stride, strict=True))
        if max(outputs, default=1) > MAX_EXTENT:
            raise VerifyError(f"dilate: {outputs} is larger than {MAX_EXTENT}")
        return outputs

    def matrices(self, spatial: Spatial) -> tuple[Taps | None, ...]:
        return tuple(_dilating(size, stride) for size, stride in zip(spatial, self.stride, strict=True))

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        return (tuple(map(_divided, offsets, self.stride, operands[0].spatial)),)


def _dilating(size: int, stride: int) -> Taps | None:
    if stride == 1:
        return None
    positions = np.arange(size * stride)
    return Taps(size, positions[None] // stride, (positions[None] % stride == 0).astype(np.float64))


def _divided(offsets: Offsets, stride: int, size: int) -> Offsets:
    """{d / stride : stride divides d}: every (stride / common)-th of the progression, if any, from the first on."""
    common = gcd(offsets.step, stride)
    period = stride // common
    first = -offsets.low // common * pow(offsets.step // common, -1, period) % period
    low = offsets.low + first * offsets.step
    if offsets.low % common or low > offsets.high:
        return DIAGONAL
    count = (offsets.high - low) // (offsets.step * period)
    step = offsets.step // common
    return Offsets(low // stride, low // stride + count * step, step if count else 1).clipped(size)


@frozen
class Interpolate(Linear):
    """Resampling to `size` positions per axis, with the weights of `ntc.ir.resampling`. Source: Keys 1981.

    With `reads`, ones for all weights that are not zero.
    """

    name: ClassVar[str] = "interpolate"
    size: Sizes
    method: Method
    antialias: bool = True
    reads: bool = False

    def outputs(self, spatial: Spatial) -> Spatial:
        _check_rank(self, len(self.size), spatial)
        for size, outputs in zip(spatial, self.size, strict=True):
            check_resize(size, outputs)
        return self.size

    def matrices(self, spatial: Spatial) -> tuple[Taps | None, ...]:
        axes = zip(spatial, self.size, strict=True)
        return tuple(None if size == outputs else Taps.of(self._matrix(size, outputs)) for size, outputs in axes)

    def _matrix(self, size: int, outputs: int) -> Array:
        matrix = resize_matrix(size, outputs, self.method, self.antialias)
        return (matrix != 0).astype(np.float64) if self.reads else matrix


@frozen
class Contract(Linear):
    """The matrix `values`, row by row of outputs, along one axis. Source: the bilinearity of the covariance."""

    name: ClassVar[str] = "contract"
    axis: SpatialAxis
    values: Rows

    def outputs(self, spatial: Spatial) -> Spatial:
        sizes = {len(row) for row in self.values}
        if self.axis >= len(spatial) or sizes != {spatial[self.axis]}:
            raise VerifyError(f"contract: the matrix does not fit on axis {self.axis} of sizes {spatial}")
        return (*spatial[: self.axis], len(self.values), *spatial[self.axis + 1 :])

    def matrices(self, spatial: Spatial) -> tuple[Taps | None, ...]:
        taps = Taps.of(np.array(self.values, np.float64))
        return tuple(taps if i == self.axis else None for i in range(len(spatial)))
