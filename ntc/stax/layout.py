"""Where the axes of examples and of channels are in an array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from ntc.errors import InputError, ParameterError

Axes = tuple[int, int | None]
"""`batch_axis` and `channel_axis` as users give them: negative ones count from the end; None for any, the last."""

LAST: Axes = (0, -1)
"""Examples first, channels last: the standard order."""


@dataclass(frozen=True)
class Layout:
    """Of an array of `axes` axes, which are those of examples and of channels; all others are spatial, in order."""

    axes: int
    batch: int
    channel: int

    @classmethod
    def of(cls, axes: int, given: Axes = LAST) -> Layout:
        """Raises ParameterError where there are no such axes."""
        if axes < 2:
            raise ParameterError(f"inputs must have at least two axes, of examples and of channels, got {axes}")
        first, last = given
        if last is None:
            last = -2 if first in (-1, axes - 1) else -1
        batch, channel = (axis + axes if axis < 0 else axis for axis in (first, last))
        if batch == channel or not (0 <= batch < axes and 0 <= channel < axes):
            raise ParameterError(
                f"batch_axis={given[0]} and channel_axis={given[1]} are not two axes of an array of {axes}"
            )
        return cls(axes, batch, channel)

    @property
    def order(self) -> tuple[int, ...]:
        """The axes in standard order: examples, spatial axes, channels."""
        return self.batch, *self.spatial, self.channel

    @property
    def spatial(self) -> tuple[int, ...]:
        """The spatial axes."""
        return tuple(axis for axis in range(self.axes) if axis not in (self.batch, self.channel))

    @property
    def inverse(self) -> tuple[int, ...]:
        """For every axis of the array, where it is in standard order."""
        return tuple(self.order.index(axis) for axis in range(self.axes))

    def resized(self, spatial: int) -> Layout:
        """That of an output with so many spatial axes: the same, or examples and channels in their order."""
        if spatial + 2 == self.axes:
            return self
        first = self.batch < self.channel
        return Layout(spatial + 2, *((0, spatial + 1) if first else (spatial + 1, 0)))

    def without(self, removed: Sequence[int]) -> Layout:
        """That of an output without these spatial axes, which are numbered among themselves."""
        gone = [self.spatial[axis] for axis in removed]
        batch, channel = (axis - sum(one < axis for one in gone) for axis in (self.batch, self.channel))
        return Layout(self.axes - len(gone), batch, channel)

    def position(self, name: str, axis: int) -> int:
        """Place of an axis of the array, which may count from the end, in standard order. Raises ParameterError."""
        if not -self.axes <= axis < self.axes:
            raise ParameterError(f"{name}: axis {axis} of an array of {self.axes} axes")
        return self.order.index(axis % self.axes)

    def standard(self, x: Any) -> Any:
        """The array, or shape, in standard order."""
        if isinstance(x, tuple):
            return tuple(x[axis] for axis in self.order)
        return x if self.order == tuple(range(self.axes)) else jnp.transpose(x, self.order)

    def stored(self, x: Any) -> Any:
        """The array, or shape, from standard order."""
        if isinstance(x, tuple):
            return tuple(x[axis] for axis in self.inverse)
        return x if self.order == tuple(range(self.axes)) else jnp.transpose(x, self.inverse)


def in_order(x: Any, layout: Any) -> list[Any]:
    """The arrays of one or several inputs in standard order. Raises InputError where there are others."""
    if not isinstance(layout, tuple):
        return [layout.standard(x)]
    if not isinstance(x, tuple | list) or len(x) != len(layout):
        raise InputError(f"the network has {len(layout)} inputs", hint="give a tuple with an array for each")
    return [array for each in zip(x, layout, strict=True) for array in in_order(*each)]


def input_names(count: int) -> list[str]:
    """What the inputs are called in the graph."""
    return ["x"] if count == 1 else [f"x{number}" for number in range(count)]
