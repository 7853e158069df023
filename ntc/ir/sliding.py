"""Geometry of a filter that slides along one spatial axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ntc.errors import ShapeError
from ntc.ir.schema import Extent, Padding
from ntc.ir.types import Spatial


@dataclass(frozen=True)
class Sliding:
    """`window` taps, `dilation` apart, moved by `stride` along an axis of `size` positions.

    Tap a of output position p reads input position stride * p + dilation * a - before. Positions outside
    read zero (`same`), do not occur (`valid`), or wrap around (`circular`). As in XLA, `same` and
    `circular` give ceil(size / stride) outputs and put the odd padding position after. Where only a part of an image
    is computed, `explicit` has the positions read before its first and after its last, less than zero where the filter
    begins or ends inside.
    """

    size: int
    window: int
    stride: int
    dilation: int
    padding: Padding
    explicit: tuple[int, int] | None = None

    @property
    def span(self) -> int:
        """Distance from the first to the last tap, both included."""
        return (self.window - 1) * self.dilation + 1

    @property
    def outputs(self) -> int:
        """Number of output positions; not positive if the filter does not fit."""
        if self.explicit is not None:
            return (self.size + sum(self.explicit) - self.span) // self.stride + 1
        if self.padding == "valid":
            return (self.size - self.span) // self.stride + 1
        return -(-self.size // self.stride)

    @property
    def pads(self) -> tuple[int, int]:
        """Positions read before the first and after the last input position."""
        if self.explicit is not None:
            return self.explicit
        if self.padding == "valid":
            return 0, 0
        total = max(0, (self.outputs - 1) * self.stride + self.span - self.size)
        return total // 2, total - total // 2

    def read_positions(self, tap: int) -> npt.NDArray[np.intp]:
        """Input position that `tap` reads for every output; below 0 or beyond the size where it lies outside."""
        read: npt.NDArray[np.intp] = self.stride * np.arange(self.outputs) + self.dilation * tap - self.pads[0]
        return read % self.size if self.padding == "circular" else read

    def sources(self, tap: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
        """Input position that `tap` reads for every output, and whether it lies inside."""
        read = self.read_positions(tap)
        return read, (read >= 0) & (read < self.size)


def per_axis(name: str, extent: Extent, spatial: Spatial) -> Spatial:
    """One number per spatial axis. Raises ShapeError if `extent` has another number of axes."""
    if isinstance(extent, int):
        return (extent,) * len(spatial)
    if len(extent) != len(spatial):
        raise ShapeError(
            f"{name} has {len(extent)} axes, its input has {len(spatial)} spatial axes",
            parameter=name,
            hint=f"give one number, or {len(spatial)}",
        )
    return extent


def compact(sizes: Spatial) -> Extent:
    """One number if all are 1, so that the IR need not print them."""
    return 1 if set(sizes) == {1} else sizes


def slide(
    spatial: Spatial,
    window: Spatial,
    stride: Spatial,
    dilation: Spatial,
    padding: Padding,
    explicit: tuple[int, ...] = (),
) -> tuple[Sliding, ...]:
    """The geometry per axis of filters whose parameters are already per axis, `explicit` as (before, after, ...)."""
    pads: list[tuple[int, int] | None] = [None] * len(spatial)
    if explicit:
        pads = list(zip(explicit[::2], explicit[1::2], strict=True))
    axes = zip(spatial, window, stride, dilation, pads, strict=True)
    return tuple(Sliding(n, w, s, d, padding, pad) for n, w, s, d, pad in axes)


def slid_spatial(name: str, axes: tuple[Sliding, ...]) -> Spatial:
    """Output sizes. Raises ShapeError, blaming parameter `name`, where the filter does not fit."""
    sizes = tuple(axis.outputs for axis in axes)
    if any(size < 1 for size in sizes):
        show = "x".join
        spans = show(str(axis.span) for axis in axes)
        inputs = show(str(axis.size) for axis in axes)
        raise ShapeError(
            f"{name} {spans} is larger than its input {inputs} (padding=valid)",
            parameter=name,
            hint="use padding=same, or pool and stride less before this layer",
        )
    return sizes


@dataclass(frozen=True)
class Strided:
    """Positions first, first + stride, ...: `count` of them."""

    first: int
    stride: int
    count: int

    @classmethod
    def every(cls, spatial: Spatial) -> tuple[Strided, ...]:
        """All positions of every axis."""
        return tuple(cls(0, 1, size) for size in spatial)

    def of(self, below: Strided) -> Strided:
        """These positions of what `below` are positions of."""
        return Strided(below.first + below.stride * self.first, below.stride * self.stride, self.count)

    def pads(self, size: int) -> tuple[int, int]:
        """What a filter of one tap that reads these positions of an axis reads outside it, at both ends."""
        return -self.first, self.first + (self.count - 1) * self.stride + 1 - size


def centers(axes: tuple[Sliding, ...]) -> tuple[Strided, ...]:
    """The input position in the middle of every window."""
    return tuple(Strided((x.window - 1) // 2 * x.dilation - x.pads[0], x.stride, x.outputs) for x in axes)
