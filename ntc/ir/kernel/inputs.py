"""Kernel ops that begin a graph: covariances of the inputs, and constants."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ntc.errors import VerifyError
from ntc.ir.kernel.dense import on_diagonal
from ntc.ir.kernel.families import Source, spatial_of
from ntc.ir.op import Array, Intervals, KernelOp, Lanes
from ntc.ir.schema import MAX_EXTENT, Count, Finite, Masked, frozen
from ntc.ir.types import ArrayType, CovarianceType, DType, Form, Kernel, Spatial, Type
from ntc.ir.work import Work

_Start = Annotated[int, Field(ge=0, le=MAX_EXTENT)]

Pooled = Literal["mean", "sum"]

FEW_CHANNELS = 16
"""Up to so many, products over the channels of positions are additions that fuse, not a product of matrices."""


@frozen
class Part:
    """Which entries of the array of an example a gram reads.

    Attributes:
      shape, start: (*spatial, channels) of what lies one after another in the array, as one of several inputs or an
        image as a vector, and where it begins; an empty shape is the whole array as it is.
      crop: of its positions those from start to stop, (start, stop) of every axis; empty for all.
      pooled: their mean or sum in place of all positions.
    """

    shape: tuple[Count, ...] = ()
    start: _Start = 0
    crop: tuple[_Start, ...] = ()
    pooled: Pooled | None = None

    def of(self, x: Any) -> Any:
        """The entries (examples, *spatial, channels) of an array, NumPy's or JAX's."""
        if self.shape:
            entries = x.reshape(x.shape[0], -1)[:, self.start : self.start + prod(self.shape)]
            x = entries.reshape(x.shape[0], *self.shape)
        x = x[(slice(None), *map(slice, self.crop[::2], self.crop[1::2]))]
        positions = tuple(range(1, x.ndim - 1))
        match self.pooled:
            case "mean":
                return x.mean(positions)
            case "sum":
                return x.sum(positions)
        return x

    def spatial(self, array: ArrayType) -> Spatial:
        """Sizes of the axes of what is read. Raises VerifyError."""
        spatial = self.shape[:-1] if self.shape else array.spatial
        if self.shape and self.start + prod(self.shape) > prod(array.spatial) * array.channels:
            raise VerifyError(f"gram: an input of shape {self.shape} from {self.start} on does not fit into {array}")
        if not self.crop:
            return () if self.pooled else spatial
        lows, highs = self.crop[::2], self.crop[1::2]
        inside = all(low < high for low, high in zip(lows, highs, strict=False))
        fits = all(high <= size for high, size in zip(highs, spatial, strict=False))
        if len(self.crop) != 2 * len(spatial) or not inside or not fits:
            raise VerifyError(f"gram: crop {self.crop} does not fit into {array}")
        return () if self.pooled else tuple(high - low for low, high in zip(lows, highs, strict=True))


@frozen
class Gram(Source):
    """K[n, m, p, p'] = x1[n, p] . x2[m, p'] / channels; with one operand K[n, p, p'] of each example alone.

    Of the input at `shape` and `start`, and of its positions in `crop`; see `Part`. Entries that are `masked` count as
    zeros. If `channels` is given, further channels of the arrays are something else: the pattern of a graph.
    With `pooled`, of the mean or the sum of x over its positions, which are then none.
    With `gives` distance, |x1[n, p] - x2[m, p]|^2 / (2 channels) where p' = p. Source: Novak et al. 2019, eq. 5.
    """

    name: ClassVar[str] = "gram"
    arity: ClassVar[tuple[int, int]] = (1, 2)
    crop: tuple[_Start, ...] = ()
    masked: Masked | None = None
    channels: Count | None = None
    shape: tuple[Count, ...] = ()
    start: _Start = 0
    pooled: Pooled | None = None
    gives: Form = "covariance"

    @property
    def elementary(self) -> bool:
        return True

    def form(self, *operands: CovarianceType) -> Form:
        return self.gives

    @property
    def reading(self) -> Gram:
        return replace(self, gives="covariance")

    @property
    def part(self) -> Part:
        """What is read of the array of an example."""
        return Part(self.shape, self.start, self.crop, self.pooled)

    def result(self, *operands: Type) -> CovarianceType:
        arrays = [x for x in operands if isinstance(x, ArrayType)]
        layouts = {(x.dtype, x.spatial, x.channels) for x in arrays}
        if len(arrays) != len(operands) or len(layouts) != 1:
            raise VerifyError("gram takes one or two input arrays of one shape")
        if self.gives == "distance" and len(arrays) != 2:
            raise VerifyError("gram gives distances between two inputs")
        spatial = self.part.spatial(arrays[0])
        return CovarianceType.dense(arrays[0].dtype, tuple(x.batch for x in arrays), spatial)

    def width(self, array: ArrayType) -> int:
        """Over how many channels of the array products are summed."""
        return self.shape[-1] if self.shape else self.channels or array.channels

    def operations(self, *operands: Type) -> int:
        (first, *_) = operands
        return 2 * self.width(first) if isinstance(first, ArrayType) else 0

    def work(self, result: CovarianceType, *operands: Type) -> Work:
        """Additions that fuse, or a product of matrices."""
        count = self.operations(*operands)
        few = len(result.batch) == 1 or (result.spatial and count <= 2 * FEW_CHANNELS)
        return Work(additions=count) if few else Work(products=count / 2)

    def fold(self, *numbers: float | None) -> float | None:
        return None

    def cropped(self, kept: Intervals, below: Intervals, spatial: Spatial) -> KernelOp:
        return replace(self, crop=tuple(p for interval in kept for p in interval))

    def giving_distance(self) -> KernelOp | None:
        return replace(self, gives="distance") if self.gives == "covariance" else None

    def variance_operands(self, operands: tuple[str, ...], side: int) -> tuple[str, ...] | None:
        return (operands[side],)

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        """Sums run in one order for every entry, so that K[n, n, p, p] of one input is exactly its variance."""
        spatial = len(result.spatial)
        operands = tuple(self._features(self.part.of(x)) for x in operands)
        first = np.expand_dims(operands[0], tuple(range(2, 2 + 2 * spatial, 2)))
        second = np.expand_dims(operands[-1], tuple(range(1, 1 + 2 * spatial, 2)))
        if len(operands) == 2:
            first, second = first[:, None], second[None, :]
        mean: Array = np.sum(first * second, axis=-1) / operands[0].shape[-1]
        if self.gives == "covariance":
            return mean
        squares = np.sum((first - second) ** 2, axis=-1)
        return np.where(on_diagonal(result), squares / (2 * operands[0].shape[-1]), -mean)

    def _features(self, x: Array) -> Array:
        x = x[..., : self.channels]
        return np.where(self.is_masked(x), 0.0, x)

    def is_masked(self, x: Array) -> npt.NDArray[np.bool_]:
        """Which entries of an input are missing."""
        if self.masked is None:
            return np.zeros(x.shape, bool)
        return np.isnan(x) if self.masked == "nan" else np.isin(x, markers(self.masked))


def markers(value: float | str) -> tuple[float, float]:
    """A number or `inf`, and what it becomes in an array of single precision: either marks an entry as missing."""
    return float(value), float(np.float32(value))


@frozen
class Unmasked(Gram):
    """m[n, p] m[m, p'], where m is 1 at the positions of an input that have a channel that is not masked, else 0."""

    name: ClassVar[str] = "unmasked"

    def giving_distance(self) -> KernelOp | None:
        return None

    def _features(self, x: Array) -> Array:
        return np.where(self.is_masked(x[..., : self.channels]).all(-1, keepdims=True), 0.0, 1.0)


@frozen
class Constant(Source):
    """The same number everywhere. The shape is part of the op, as there is no operand to take it from."""

    name: ClassVar[str] = "constant"
    arity: ClassVar[tuple[int, int]] = (0, 0)
    value: Finite
    dtype: DType
    batch: tuple[str, ...]
    spatial: Spatial = ()

    def result(self, *operands: Type) -> CovarianceType:
        if len(self.batch) not in (1, 2):
            raise VerifyError("a constant has one or two batch names")
        return CovarianceType.dense(self.dtype, self.batch, self.spatial)

    def fold(self, *numbers: float | None) -> float | None:
        return self.value

    def cropped(self, kept: Intervals, below: Intervals, spatial: Spatial) -> KernelOp:
        return replace(self, spatial=spatial_of(kept))

    def typed(self, dtype: DType, batch: tuple[str, ...]) -> KernelOp:
        return replace(self, dtype=dtype, batch=batch)

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        """A single entry, which broadcasts: the number of examples is not known here."""
        sizes = [n for size in self.spatial for n in (size, size)]
        return np.full((*(1 for _ in self.batch), *sizes), self.value)


@frozen
class Given(Source):
    """Entries that the caller gives when the graph is run: the kernel between its two operands, or of one alone.

    The operands say how many examples there are. Source: definition.
    """

    name: ClassVar[str] = "given"
    arity: ClassVar[tuple[int, int]] = (1, 2)
    lanes: ClassVar[Lanes] = "mixed"  # it is there whole
    kernel: Kernel | Literal["mask"] = "nngp"
    number: _Start = 0
    spatial: Spatial = ()

    @property
    def key(self) -> str:
        """What the entries between two examples are called among those that are given."""
        return f"{self.kernel}{self.number}"

    def variance_key(self, batch: str) -> str:
        """What those of each example of a batch are called."""
        return f"{self.key}.{batch}"

    def result(self, *operands: Type) -> CovarianceType:
        arrays = [x for x in operands if isinstance(x, ArrayType)]
        if len(arrays) != len(operands) or not arrays:
            raise VerifyError("given takes one or two input arrays")
        return CovarianceType.dense(arrays[0].dtype, tuple(x.batch for x in arrays), self.spatial)

    def fold(self, *numbers: float | None) -> float | None:
        return None

    def positions_below(self, wanted: Intervals, spatial: Spatial) -> Intervals | None:
        return None

    def cropped(self, kept: Intervals, below: Intervals, spatial: Spatial) -> KernelOp:
        return self

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        """Not known here: no number, so that nothing is computed of it by mistake."""
        return np.full((*(1 for _ in result.batch), *(n for size in self.spatial for n in (size, size))), np.nan)
