"""What follows for an op from how its entries depend on those of its operands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ntc.ir.hyper import hypers_of
from ntc.ir.op import Intervals, KernelOp, Lanes, OffsetsPerAxis, same_type
from ntc.ir.sliding import Sliding
from ntc.ir.types import CovarianceType, DType, Spatial, Type
from ntc.ir.work import Work


class Plain(KernelOp):
    """An op on whichever operands, all of which matter, that needs no array beside its result."""

    integral: ClassVar[bool] = False
    derivative: ClassVar[bool] = False
    temporaries: ClassVar[int] = 1

    @property
    def neutral(self) -> float | None:
        return None

    @property
    def identity(self) -> bool:
        return False

    @property
    def linear_in_distances(self) -> bool:
        return False

    @property
    def elementary(self) -> bool:
        return False

    @property
    def steep(self) -> bool:
        return False

    @property
    def large(self) -> bool:
        return False

    @property
    def reading(self) -> KernelOp | None:
        return None

    def typed(self, dtype: DType, batch: tuple[str, ...]) -> KernelOp:
        return self

    def on_some(self, operands: Sequence[int]) -> KernelOp:
        return self

    def giving_distance(self) -> KernelOp | None:
        return self if self.linear_in_distances else None

    def reading_distance(self) -> KernelOp | None:
        return None

    def variance_operands(self, operands: tuple[str, ...], side: int) -> tuple[str, ...] | None:
        return None

    def work(self, result: CovarianceType, *operands: Type) -> Work:
        return Work(additions=self.operations(*operands))


class Source(Plain):
    """An op without operands that are covariances."""

    lanes: ClassVar[Lanes] = "none"
    rereads: ClassVar[bool] = False

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        return ()

    def slides(self, spatial: Spatial) -> tuple[Sliding | None, ...] | None:
        return None

    def positions_below(self, wanted: Intervals, spatial: Spatial) -> Intervals | None:
        return wanted


class Entrywise(Plain):
    """An op whose result at an entry depends on its operands at that entry, and perhaps on which entry that is."""

    lanes: ClassVar[Lanes] = "same"
    rereads: ClassVar[bool] = False

    def result(self, *operands: Type) -> CovarianceType:
        return same_type(operands)

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        return (offsets,) * len(operands)

    def operations(self, *operands: Type) -> int:
        return 2 * len(operands)

    def slides(self, spatial: Spatial) -> tuple[Sliding | None, ...] | None:
        return (None,) * len(spatial)

    def positions_below(self, wanted: Intervals, spatial: Spatial) -> Intervals | None:
        return wanted

    def cropped(self, kept: Intervals, below: Intervals, spatial: Spatial) -> KernelOp:
        return self


class Uniform(Entrywise):
    """An op that is the same function at every entry."""

    @property
    def elementary(self) -> bool:
        return True

    def fold(self, *numbers: float | None) -> float | None:
        """The function of these numbers; None as well where that is not finite."""
        known = [x for x in numbers if x is not None]
        if len(known) < len(numbers) or any(hypers_of(self)):
            return None
        one = CovarianceType.dense("f64", ("N",), ())
        value = float(self.reference(one, *(np.full((1,), x) for x in known)).item())
        return value if np.isfinite(value) else None


class Mixing(Plain):
    """An op that reads entries at other positions and offsets than that of its result: it is computed whole."""

    lanes: ClassVar[Lanes] = "mixed"
    rereads: ClassVar[bool] = False

    def slides(self, spatial: Spatial) -> tuple[Sliding | None, ...] | None:
        return None

    def positions_below(self, wanted: Intervals, spatial: Spatial) -> Intervals | None:
        return None

    def cropped(self, kept: Intervals, below: Intervals, spatial: Spatial) -> KernelOp:
        return self


class MatrixProduct(Mixing):
    """An op that multiplies matrices from both sides: its work is multiply-adds."""

    def fold(self, *numbers: float | None) -> float | None:
        return 0.0 if numbers[0] == 0.0 else None

    def work(self, result: CovarianceType, *operands: Type) -> Work:
        return Work(products=self.operations(*operands) / 2)


class Readout(Plain):
    """An op that leaves no positions."""

    lanes: ClassVar[Lanes] = "removed"
    rereads: ClassVar[bool] = False

    def slides(self, spatial: Spatial) -> tuple[Sliding | None, ...] | None:
        return None

    def work(self, result: CovarianceType, *operands: Type) -> Work:
        return Work(additions=self.operations(*operands) / 2)


def spatial_of(intervals: Intervals) -> Spatial:
    """Sizes of the axes of which these positions are kept."""
    return tuple(stop - start for start, stop in intervals)


def every(spatial: Spatial) -> Intervals:
    """All positions of axes of these sizes."""
    return tuple((0, size) for size in spatial)
