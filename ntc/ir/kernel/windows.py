"""Kernel ops that slide a filter over the positions of both images."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from math import prod
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ntc.errors import VerifyError
from ntc.ir.hyper import TunableReal
from ntc.ir.kernel.dense import bias, tap
from ntc.ir.kernel.families import Plain, spatial_of
from ntc.ir.offsets import Offsets
from ntc.ir.op import Array, Interval, Intervals, KernelOp, Lanes, OffsetsPerAxis, covariance
from ntc.ir.schema import MAX_EXTENT, Count, Extent, Padding, frozen
from ntc.ir.sliding import Sliding, per_axis, slide
from ntc.ir.types import CovarianceType, Spatial, Type
from ntc.ir.work import Work

Sizes = tuple[Count, ...]

Pads = tuple[Annotated[int, Field(ge=-MAX_EXTENT, le=MAX_EXTENT)], ...]
"""Before and after the first axis, before and after the second, and so on; empty for those of the padding."""

ConvLowering = Literal["separable", "direct", "matrix"]


class Filter(Plain):
    """An op that slides a filter over the positions of both images.

    `pads`, if given, are the positions that are read outside a cropped operand.
    """

    rereads: ClassVar[bool] = True
    stride: Extent
    padding: Padding
    pads: Pads

    @property
    @abstractmethod
    def sizes(self) -> Sizes:
        """Number of taps along every axis."""

    @abstractmethod
    def geometry(self, spatial: Spatial) -> tuple[Sliding, ...]:
        """Geometry per spatial axis on an image of these sizes."""

    def axes(self, *operands: Type) -> tuple[Sliding, ...]:
        """Geometry per spatial axis. Raises VerifyError if the filter does not fit on the operand."""
        spatial = covariance(operands[0]).spatial
        if len(self.sizes) != len(spatial) or len(self.pads) not in (0, 2 * len(spatial)):
            raise VerifyError(f"a filter needs as many axes as its operand, which has {len(spatial)}")
        return self.geometry(spatial)

    def result(self, *operands: Type) -> CovarianceType:
        k = covariance(operands[0])
        spatial = tuple(axis.outputs for axis in self.axes(k))
        if any(size < 1 for size in spatial):
            raise VerifyError(f"filter does not fit into {k}")
        return CovarianceType.dense(k.dtype, k.batch, spatial)

    def slides(self, spatial: Spatial) -> tuple[Sliding | None, ...] | None:
        return self.geometry(spatial)

    def positions_below(self, wanted: Intervals, spatial: Spatial) -> Intervals | None:
        """None where windows wrap around."""
        if self.padding == "circular":
            return None
        return tuple(map(_read, wanted, self.geometry(spatial)))

    def cropped(self, kept: Intervals, below: Intervals, spatial: Spatial) -> KernelOp:
        pads = tuple(p for axis in map(_pads, kept, below, self.geometry(spatial)) for p in axis)
        implied = self.geometry(spatial_of(below))
        alike = spatial_of(kept) == tuple(axis.outputs for axis in implied)
        if alike and pads == tuple(p for axis in implied for p in axis.pads):
            return self
        op: KernelOp = replace(self, pads=pads)  # type: ignore[type-var]
        return op


def _read(interval: Interval, axis: Sliding) -> Interval:
    """Positions of the operand that are read, at least one."""
    first = axis.stride * interval[0] - axis.pads[0]
    stop = axis.stride * (interval[1] - 1) - axis.pads[0] + axis.span
    low = min(max(0, first), axis.size - 1)
    return low, max(low + 1, min(axis.size, stop))


def _pads(kept: Interval, below: Interval, axis: Sliding) -> tuple[int, int]:
    """What a filter reads before and after the positions of its operand that are there."""
    begin = axis.stride * kept[0] - axis.pads[0]
    end = axis.stride * (kept[1] - 1) - axis.pads[0] + axis.span
    return below[0] - begin, end - below[1]


@frozen
class Window(Filter):
    """w_std^2 / taps * sum over a of K[s p + a, s p' + a], + b_std^2: both pixels move with one tap.

    A convolution of shared weights; of a distance w_std^2 / taps * sum over a of D, as the bias cancels. Source: Novak
    et al. 2019, eq. 7 (the map A). `lowering` says how a backend sums: along one axis after the other, over all taps at
    once, or as products with banded matrices.
    """

    name: ClassVar[str] = "window"
    lanes: ClassVar[Lanes] = "same"
    kernel: Sizes
    stride: Extent = 1
    dilation: Extent = 1
    padding: Padding = "same"
    w_std: TunableReal = 1.0
    b_std: TunableReal = 0.0
    lowering: ConvLowering = "separable"
    pads: Pads = ()

    @property
    def elementary(self) -> bool:
        return True

    @property
    def sizes(self) -> Sizes:
        return self.kernel

    @property
    def linear_in_distances(self) -> bool:
        return self.w_std != 0

    def fold(self, *numbers: float | None) -> float | None:
        return self.b_std**2 if isinstance(self.b_std, float) and 0.0 in (self.w_std, numbers[0]) else None

    def geometry(self, spatial: Spatial) -> tuple[Sliding, ...]:
        stride = per_axis("stride", self.stride, spatial)
        dilation = per_axis("dilation", self.dilation, spatial)
        return slide(spatial, self.kernel, stride, dilation, self.padding, self.pads)

    @property
    def taps(self) -> int:
        """Number of filter taps."""
        return prod(self.kernel)

    def operations(self, *operands: Type) -> int:
        """A sum over the taps of one axis after the other, and a scale."""
        return sum(2 * axis.window for axis in self.axes(*operands) if axis.window > 1) + 2

    def work(self, result: CovarianceType, *operands: Type) -> Work:
        """For every axis, a mask and an addition per tap, and a value in between; with banded matrices, products."""
        moved = [axis for axis in self.axes(*operands) if axis.window > 1]
        if self.lowering == "matrix":
            return Work(additions=2.0 * len(moved), products=float(sum(axis.size for axis in moved)))
        if self.lowering == "direct":
            return Work(additions=2.0 * prod(axis.window for axis in moved))
        return Work(additions=sum(2.0 * axis.window + 2 for axis in moved))

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        return (tuple(map(self._below, offsets, self.axes(*operands))),)

    def _below(self, offsets: Offsets, axis: Sliding) -> Offsets:
        if self.padding == "circular" and not offsets.diagonal:
            return Offsets.full(axis.size)  # a tap pair that wraps around changes its offset
        return offsets.scaled(axis.stride).clipped(axis.size)

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        (k,) = operands
        for i, axis in enumerate(self.geometry(k.shape[len(result.batch) :: 2])):
            first = len(result.batch) + 2 * i
            k = np.sum([tap(tap(k, first, axis, a), first + 1, axis, a) for a in range(axis.window)], axis=0)
        return self.w_std**2 * k / self.taps + bias(result, self.b_std)


@frozen
class Window2(Filter):
    """Sum over a, a' of K[s p + a, s p' + a']: the pixels move with independent taps.

    A pooling. `reduction` is `sum`; `mean`, which divides by window size squared; or `edge_mean`, which
    divides by the number of taps inside the image at p times that at p'. Source: Novak et al. 2019, §3.2.1.
    """

    name: ClassVar[str] = "window2"
    lanes: ClassVar[Lanes] = "pooled"
    window: Sizes
    stride: Extent = 1
    padding: Padding = "valid"
    reduction: Literal["sum", "mean", "edge_mean"] = "mean"
    pads: Pads = ()

    @property
    def sizes(self) -> Sizes:
        return self.window

    def fold(self, *numbers: float | None) -> float | None:
        return 0.0 if numbers[0] == 0.0 else None

    def geometry(self, spatial: Spatial) -> tuple[Sliding, ...]:
        stride = per_axis("stride", self.stride, spatial)
        return slide(spatial, self.window, stride, (1,) * len(spatial), self.padding, self.pads)

    def operations(self, *operands: Type) -> int:
        """Sums over the taps of one axis of one image after the other, and a scale."""
        return sum(4 * axis.window for axis in self.axes(*operands) if axis.window > 1) + 2

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        return (tuple(map(self._below, offsets, self.axes(*operands))),)

    def _below(self, offsets: Offsets, axis: Sliding) -> Offsets:
        if self.padding == "circular" and axis.window > 1:
            return Offsets.full(axis.size)
        return offsets.scaled(axis.stride).widened(axis.window).clipped(axis.size)

    def divisor(self, axis: Sliding) -> Array:
        """What the sum along one axis of one image is divided by, per output position."""
        if self.reduction == "edge_mean":
            inside = [axis.sources(a)[1] for a in range(axis.window)]
            count: Array = np.sum(inside, axis=0).astype(np.float64)
            return count
        return np.full(axis.outputs, 1.0 if self.reduction == "sum" else float(axis.window))

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        (k,) = operands
        for i, axis in enumerate(self.geometry(k.shape[len(result.batch) :: 2])):
            for array_axis in (len(result.batch) + 2 * i, len(result.batch) + 2 * i + 1):
                k = np.sum([tap(k, array_axis, axis, a) for a in range(axis.window)], axis=0)
                shape = [1] * k.ndim
                shape[array_axis] = axis.outputs
                k = k / self.divisor(axis).reshape(shape)
        return k
