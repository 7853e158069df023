"""Kernel ops that slide a filter over the positions of both images."""

from __future__ import annotations

from math import prod
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ntc.errors import VerifyError
from ntc.ir.hyper import TunableReal
from ntc.ir.kernel.dense import bias, tap
from ntc.ir.offsets import Offsets
from ntc.ir.op import Array, KernelOp, OffsetsPerAxis, covariance, same_form
from ntc.ir.schema import MAX_EXTENT, Count, Extent, Padding, frozen
from ntc.ir.sliding import Sliding, per_axis, slide
from ntc.ir.types import CovarianceType, Form, Spatial, Type

Sizes = tuple[Count, ...]

Pads = tuple[Annotated[int, Field(ge=-MAX_EXTENT, le=MAX_EXTENT)], ...]
"""Before and after the first axis, before and after the second, and so on; empty for those of the padding."""

ConvLowering = Literal["separable", "direct", "matrix"]


def _slid(axes: tuple[Sliding, ...], operands: tuple[Type, ...]) -> CovarianceType:
    k = covariance(operands[0])
    spatial = tuple(axis.outputs for axis in axes)
    if any(size < 1 for size in spatial):
        raise VerifyError(f"filter does not fit into {k}")
    return CovarianceType.dense(k.dtype, k.batch, spatial)


def _filter_spatial(operands: tuple[Type, ...], window: Sizes, pads: Pads) -> Spatial:
    spatial = covariance(operands[0]).spatial
    if len(window) != len(spatial) or len(pads) not in (0, 2 * len(spatial)):
        raise VerifyError(f"a filter needs as many axes as its operand, which has {len(spatial)}")
    return spatial


@frozen
class Window(KernelOp):
    """w_std^2 / taps * sum over a of K[s p + a, s p' + a], + b_std^2: both pixels move with one tap.

    A convolution of shared weights; of a distance w_std^2 / taps * sum over a of D, as the bias cancels. Source: Novak
    et al. 2019, eq. 7 (the map A). `lowering` says how a backend sums: along one axis after the other, over all taps at
    once, or as products with banded matrices.
    `pads`, if given, are the positions that are read outside a cropped operand.
    """

    name: ClassVar[str] = "window"
    kernel: Sizes
    stride: Extent = 1
    dilation: Extent = 1
    padding: Padding = "same"
    w_std: TunableReal = 1.0
    b_std: TunableReal = 0.0
    lowering: ConvLowering = "separable"
    pads: Pads = ()

    def form(self, *operands: CovarianceType) -> Form:
        return same_form(self, operands)

    def axes(self, *operands: Type) -> tuple[Sliding, ...]:
        """Geometry per spatial axis."""
        return self.geometry(_filter_spatial(operands, self.kernel, self.pads))

    def geometry(self, spatial: Spatial) -> tuple[Sliding, ...]:
        """Geometry per spatial axis on an image of these sizes."""
        stride = per_axis("stride", self.stride, spatial)
        dilation = per_axis("dilation", self.dilation, spatial)
        return slide(spatial, self.kernel, stride, dilation, self.padding, self.pads)

    @property
    def taps(self) -> int:
        """Number of filter taps."""
        return prod(self.kernel)

    def result(self, *operands: Type) -> CovarianceType:
        return _slid(self.axes(*operands), operands)

    def operations(self, *operands: Type) -> int:
        """A sum over the taps of one axis after the other, and a scale."""
        return sum(2 * axis.window for axis in self.axes(*operands) if axis.window > 1) + 2

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
class Window2(KernelOp):
    """Sum over a, a' of K[s p + a, s p' + a']: the pixels move with independent taps.

    A pooling. `reduction` is `sum`; `mean`, which divides by window size squared; or `edge_mean`, which
    divides by the number of taps inside the image at p times that at p'. Source: Novak et al. 2019, §3.2.1.
    """

    name: ClassVar[str] = "window2"
    window: Sizes
    stride: Extent = 1
    padding: Padding = "valid"
    reduction: Literal["sum", "mean", "edge_mean"] = "mean"
    pads: Pads = ()

    def axes(self, *operands: Type) -> tuple[Sliding, ...]:
        """Geometry per spatial axis."""
        return self.geometry(_filter_spatial(operands, self.window, self.pads))

    def geometry(self, spatial: Spatial) -> tuple[Sliding, ...]:
        """Geometry per spatial axis on an image of these sizes."""
        stride = per_axis("stride", self.stride, spatial)
        return slide(spatial, self.window, stride, (1,) * len(spatial), self.padding, self.pads)

    def result(self, *operands: Type) -> CovarianceType:
        return _slid(self.axes(*operands), operands)

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
