"""`DotGeneral`: products of the input with a constant, along positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ntc import nn
from ntc.errors import ParameterError, ShapeError, UnsupportedError
from ntc.ir.op import TensorOp
from ntc.ir.types import Spatial
from ntc.stax.combinators import Layer, single, triple
from ntc.stax.layout import Layout
from ntc.stax.part import Single, operation


def DotGeneral(  # noqa: N802
    *,
    lhs: Any = None,
    rhs: Any = None,
    dimension_numbers: Any = (((), ()), ((), ())),
    precision: Any = None,
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> Layer:
    """`lax.dot_general(x, rhs, dimension_numbers)`, or of `lhs` and x: x times a constant, summed over positions.

    See `ntc.ir.ops.Matrix` and `ntc.ir.ops.Mix`. Without a constant it is the identity. Products are in full precision,
    whatever `precision` is. Raises UnsupportedError where `dimension_numbers` name the axis of examples or of channels.
    """
    if lhs is not None and rhs is not None:
        raise ParameterError("DotGeneral takes lhs or rhs, got both")
    axes = (batch_axis, channel_axis)
    if lhs is None and rhs is None:
        return single("DotGeneral", nn.identity(), axes)
    constant = np.asarray(lhs if rhs is None else rhs, np.float64)
    contracted, batch = (tuple(map(tuple, pair))[:: -1 if rhs is None else 1] for pair in dimension_numbers)
    dot = _Dot(constant, contracted[0], batch[0], contracted[1], batch[1], lhs is not None)
    if constant.ndim == 0:
        return single("DotGeneral", nn.scale(float(constant)), axes)
    return triple(Single("DotGeneral", dot.ops, axes, dot.result))


@dataclass(frozen=True, eq=False)
class _Dot:
    """A product with a constant.

    Attributes:
      constant: what x is multiplied by.
      contracted, batch: axes of x that are summed over, and that are axes of the result together with those of the
        constant.
      own_contracted, own_batch: the same of the constant, in the same order.
      first: whether the constant is on the left, so that its other axes come before those of x.
    """

    constant: Any
    contracted: tuple[int, ...]
    batch: tuple[int, ...]
    own_contracted: tuple[int, ...]
    own_batch: tuple[int, ...]
    first: bool

    def ops(self, layout: Layout, spatial: Spatial) -> tuple[TensorOp, ...]:
        """A matrix along the axes that are named, and the order of axes that `lax.dot_general` gives."""
        named = self._spatial(layout, (*self.batch, *self.contracted))
        shared = named[: len(self.batch)]
        matrix, sizes = self._matrix([spatial[axis] for axis in shared], [spatial[axis] for axis in named])
        values = tuple(map(tuple, matrix.tolist()))
        left = [axis for axis in range(len(spatial)) if axis not in named]
        if len(named) == len(sizes) == 1:
            mapped = operation(nn.matrix(values, named[0]))
            found = [("y", 0) if axis in named else ("x", axis) for axis in range(len(spatial))]
        else:
            mapped = operation(nn.mix(tuple(named), sizes, values))
            found = [*(("x", axis) for axis in left), *(("y", number) for number in range(len(sizes)))]
        wanted = [axis for axis in self._order(layout) if axis[0] != "other"]
        order = tuple(found.index(axis) for axis in wanted)
        return (mapped,) if order == tuple(range(len(order))) else (mapped, operation(nn.transpose(order)))

    def result(self, layout: Layout, count: int) -> Layout:
        """Where examples and channels are behind the product."""
        order = self._order(layout)
        return Layout(len(order), order.index(("other", layout.batch)), order.index(("other", layout.channel)))

    def _order(self, layout: Layout) -> list[tuple[str, int]]:
        """The axes of the result: ("x", spatial axis), ("y", axis of the matrix), ("other", examples or channels)."""
        named = {axis % layout.axes for axis in (*self.batch, *self.contracted)}
        free = [axis for axis in range(layout.axes) if axis not in named]
        mine = [("x", layout.spatial.index(axis)) if axis in layout.spatial else ("other", axis) for axis in free]
        shared = len(self.batch)
        others = [("y", shared + number) for number in range(len(self._free))]
        return [*(("y", number) for number in range(shared)), *(others + mine if self.first else mine + others)]

    @property
    def _free(self) -> list[int]:
        """Axes of the constant that are in the result alone."""
        rank = self.constant.ndim
        named = {axis % rank for axis in (*self.own_batch, *self.own_contracted)}
        return [axis for axis in range(rank) if axis not in named]

    def _spatial(self, layout: Layout, axes: Sequence[int]) -> list[int]:
        found = [layout.position("DotGeneral", axis) - 1 for axis in axes]
        if not all(0 <= axis < layout.axes - 2 for axis in found):
            raise UnsupportedError("DotGeneral along the axis of examples or of channels")
        return found

    def _matrix(self, shared: list[int], named: list[int]) -> tuple[Any, tuple[int, ...]]:
        """The matrix from positions along the named axes to the shared and the free ones, and the sizes of these."""
        rank = self.constant.ndim
        own = [axis % rank for axis in (*self.own_batch, *self.own_contracted)]
        values = self.constant.transpose(*own, *self._free)
        if len(own) != len(named) or values.shape[: len(own)] != tuple(named):
            raise ShapeError(f"DotGeneral: sizes {tuple(named)} of the input meet {values.shape[: len(own)]}")
        free, together = values.shape[len(own) :], prod(shared)
        values = values.reshape(together, -1, prod(free))  # shared, summed over, free
        blocks = np.zeros((together, prod(free), together, values.shape[1]))
        blocks[np.arange(together), :, np.arange(together), :] = values.swapaxes(1, 2)
        return blocks.reshape(together * prod(free), -1), (*shared, *free)
