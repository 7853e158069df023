"""Kernel ops that remove spatial axes, and the one that finishes k(x, x)."""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar, Literal

import numpy as np

from ntc.errors import VerifyError
from ntc.ir.kernel.dense import diagonal
from ntc.ir.kernel.families import Mixing, Readout, every
from ntc.ir.offsets import DIAGONAL, Offsets
from ntc.ir.op import Array, Intervals, KernelOp, OffsetsPerAxis, covariance
from ntc.ir.schema import frozen
from ntc.ir.types import CovarianceType, Spatial, Type


@frozen
class Reduce(Readout):
    """Removes all spatial axes.

    `trace` is the mean of K[p, p] over positions (a vectorisation followed by a dense layer sees that);
    `mean` and `sum` run over all pairs (p, p'). Source: Novak et al. 2019, §3.1 and §3.2.1.
    """

    name: ClassVar[str] = "reduce"
    reduction: Literal["trace", "mean", "sum"]

    def result(self, *operands: Type) -> CovarianceType:
        (k,) = map(covariance, operands)
        return CovarianceType.dense(k.dtype, k.batch, ())

    @property
    def elementary(self) -> bool:
        return True

    @property
    def linear_in_distances(self) -> bool:
        return self.reduction == "trace"

    def fold(self, *numbers: float | None) -> float | None:
        return numbers[0] if self.reduction != "sum" or numbers[0] == 0.0 else None

    def positions_below(self, wanted: Intervals, spatial: Spatial) -> Intervals | None:
        return every(spatial)

    def cropped(self, kept: Intervals, below: Intervals, spatial: Spatial) -> KernelOp:
        return self

    def operations(self, *operands: Type) -> int:
        return covariance(operands[0]).entries

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        if self.reduction == "trace":
            return ((DIAGONAL,) * len(operands[0].spatial),)
        return (tuple(map(Offsets.full, operands[0].spatial)),)

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        (k,) = operands
        batch = len(result.batch)
        if self.reduction == "trace":
            k = diagonal(k, batch)
        entries = k.reshape(*k.shape[:batch], -1)
        reduced: Array = entries.sum(-1) if self.reduction == "sum" else entries.mean(-1)
        return reduced


@frozen
class Select(Readout):
    """K[q, q] at one position q, the same in both images. Source: Novak et al. 2019, §3.2.2."""

    name: ClassVar[str] = "select"
    position: Spatial

    def result(self, *operands: Type) -> CovarianceType:
        (k,) = map(covariance, operands)
        inside = len(self.position) == len(k.spatial) and all(
            0 <= p < size for p, size in zip(self.position, k.spatial, strict=True)
        )
        if not inside:
            raise VerifyError(f"select: position {self.position} is not one of {k}")
        return CovarianceType.dense(k.dtype, k.batch, ())

    @property
    def linear_in_distances(self) -> bool:
        return True

    def fold(self, *numbers: float | None) -> float | None:
        return numbers[0]

    def positions_below(self, wanted: Intervals, spatial: Spatial) -> Intervals | None:
        return tuple((p, p + 1) for p in self.position)

    def cropped(self, kept: Intervals, below: Intervals, spatial: Spatial) -> KernelOp:
        return Select(tuple(p - low for p, (low, _) in zip(self.position, below, strict=True)))

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        return ((DIAGONAL,) * len(operands[0].spatial),)

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        both: tuple[int, ...] = tuple(p for position in self.position for p in (position, position))
        entry: Array = operands[0][(Ellipsis, *both)]  # type: ignore[arg-type]
        return entry


@frozen
class Mirror(Mixing):
    """Replaces the entries below the diagonal of k(x, x) by those above: symmetric to the last bit.

    The diagonal runs over (example, position) pairs: entry (n, p; m, p') equals entry (m, p'; n, p).
    """

    name: ClassVar[str] = "mirror"
    rereads: ClassVar[bool] = True

    def fold(self, *numbers: float | None) -> float | None:
        return numbers[0]

    def result(self, *operands: Type) -> CovarianceType:
        (k,) = map(covariance, operands)
        if len(set(k.batch)) != 1 or len(k.batch) != 2:
            raise VerifyError(f"mirror takes a covariance of one input with itself, got {k}")
        return CovarianceType.dense(k.dtype, k.batch, k.spatial)

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        return (tuple(o.join(Offsets(-o.high, -o.low, o.step)) for o in offsets),)

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        symmetric: Array = mirrored(operands[0])
        return symmetric


def mirrored(k: Any, numpy: Any = np) -> Any:
    """k(x, x) of shape (n, n, H, H, W, W, ...) with what is below the diagonal replaced by what is above.

    `numpy` is the module of the array, NumPy or one like it.
    """
    order = (*range(0, k.ndim, 2), *range(1, k.ndim, 2))
    rows = prod(k.shape[::2])
    matrix = k.transpose(order).reshape(rows, rows)
    upper = numpy.triu(matrix) + numpy.triu(matrix, 1).T
    shape = (*k.shape[::2], *k.shape[1::2])
    return upper.reshape(shape).transpose(np.argsort(order))


def transposed(k: Array) -> Array:
    """k(b, a) (m, n, ...) from k(a, b) (n, m, ...): both axes of every pair change places."""
    return k.transpose([axis + 1 if axis % 2 == 0 else axis - 1 for axis in range(k.ndim)])
