"""`DotGeneral`: products of the input with a constant, along positions."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ntc import nn
from ntc.errors import ParameterError, ShapeError, UnsupportedError
from ntc.ir.op import TensorOp
from ntc.ir.types import Spatial
from ntc.stax.combinators import Layer, constructor, single, triple
from ntc.stax.layout import Layout
from ntc.stax.part import Single, operation
from ntc.stax.tuned import tuned


@constructor
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
    whatever `precision` is. A constant may have an axis of examples, of which there are then as many in x1 and x2.
    Raises UnsupportedError for sums over examples, and along the axis of channels.
    """
    if lhs is not None and rhs is not None:
        raise ParameterError("DotGeneral takes lhs or rhs, got both")
    axes = (batch_axis, channel_axis)
    if lhs is None and rhs is None:
        return single("DotGeneral", nn.identity(), axes)
    if np.shape(lhs if rhs is None else rhs) == ():
        return tuned("DotGeneral", nn.scale, axes, factor=lhs if rhs is None else rhs)
    constant = np.asarray(lhs if rhs is None else rhs, np.float64)
    contracted, batch = (tuple(map(tuple, pair))[:: -1 if rhs is None else 1] for pair in dimension_numbers)
    example = next((own for axis, own in zip(*batch, strict=True) if axis == batch_axis), None)
    dot = _Dot(constant, contracted[0], batch[0], contracted[1], batch[1], example, lhs is not None)
    return triple(Single("DotGeneral", dot.ops, axes, dot.result, dense=None if example is None else dot.of_examples))


@dataclass(frozen=True, eq=False)
class _Dot:
    """A product with a constant.

    Attributes:
      constant: what x is multiplied by.
      contracted, batch: axes of x that are summed over, and that are axes of the result together with those of the
        constant.
      own_contracted, own_batch: the same of the constant, in the same order.
      example: the axis of the constant that is that of examples, if one is.
      first: whether the constant is on the left, so that its other axes come before those of x.
    """

    constant: Any
    contracted: tuple[int, ...]
    batch: tuple[int, ...]
    own_contracted: tuple[int, ...]
    own_batch: tuple[int, ...]
    example: int | None
    first: bool

    def ops(self, layout: Layout, spatial: Spatial) -> tuple[TensorOp, ...]:
        """A matrix along the axes that are named, and the order of axes that `lax.dot_general` gives."""
        named = self._named(layout)
        matrices, sizes = self._matrices([spatial[axis] for axis in named])
        found = [("x", axis) for axis in range(len(spatial)) if axis not in named]
        found += [("y", number) for number in range(len(sizes))]
        if self.example is not None:
            mapped = operation(nn.aggregate(tuple(named), sizes))
        elif len(named) == len(sizes) == 1:
            mapped = operation(nn.matrix(_rows(matrices[0]), named[0]))
            found = [("y", 0) if axis in named else ("x", axis) for axis in range(len(spatial))]
        else:
            mapped = operation(nn.mix(tuple(named), sizes, _rows(matrices[0])))
        order = tuple(found.index(axis) for axis in self._order(layout) if axis[0] != "other")
        return (mapped,) if order == tuple(range(len(order))) else (mapped, operation(nn.transpose(order)))

    def of_examples(self, pattern: Any, sizes: tuple[int, ...]) -> Any:
        """The matrix of every example (n, *sizes, *outputs), where the constant has an axis of examples."""
        matrices, outputs = self._matrices(list(sizes))
        return matrices.swapaxes(1, 2).reshape(len(matrices), *sizes, *outputs)

    def result(self, layout: Layout, count: int) -> Layout:
        """Where examples and channels are behind the product."""
        order = self._order(layout)
        return Layout(len(order), order.index(("other", layout.batch)), order.index(("other", layout.channel)))

    def _order(self, layout: Layout) -> list[tuple[str, int]]:
        """The axes of the result: ("x", spatial axis), ("y", axis of the matrix), ("other", examples or channels)."""
        named = {axis % layout.axes for axis in (*self.batch, *self.contracted)}
        free = [axis for axis in range(layout.axes) if axis not in named]
        mine = [("x", layout.spatial.index(axis)) if axis in layout.spatial else ("other", axis) for axis in free]
        shared = [axis % layout.axes for axis in self.batch]
        spatial = [axis for axis in shared if axis != layout.batch]
        before = [("other", axis) if axis == layout.batch else ("y", spatial.index(axis)) for axis in shared]
        others = [("y", len(spatial) + number) for number in range(len(self._free))]
        return [*before, *(others + mine if self.first else mine + others)]

    @property
    def _free(self) -> list[int]:
        """Axes of the constant that are in the result alone."""
        rank = self.constant.ndim
        named = {axis % rank for axis in (*self.own_batch, *self.own_contracted)}
        return [axis for axis in range(rank) if axis not in named]

    def _named(self, layout: Layout) -> list[int]:
        """The spatial axes that meet axes of the constant: first those of the result. Raises UnsupportedError."""
        shared = [axis for axis in self.batch if axis % layout.axes != layout.batch]
        found = [layout.position("DotGeneral", axis) - 1 for axis in (*shared, *self.contracted)]
        if not all(0 <= axis < layout.axes - 2 for axis in found):
            raise UnsupportedError("DotGeneral that sums over examples, or along the axis of channels")
        return found

    def _matrices(self, named: list[int]) -> tuple[Any, tuple[int, ...]]:
        """Matrices (examples or 1, outputs, positions along the named axes), and the sizes of the axes of outputs."""
        rank, example = self.constant.ndim, self.example
        own = [axis % rank for axis in (*self.own_batch, *self.own_contracted) if axis != example]
        lead = [] if example is None else [example % rank]
        values = self.constant.transpose(*lead, *own, *self._free)
        values = values if lead else values[None]
        if values.shape[1 : 1 + len(own)] != tuple(named):
            raise ShapeError(f"DotGeneral: sizes {tuple(named)} of the input meet {values.shape[1 : 1 + len(own)]}")
        shared, free = tuple(named[: len(self.batch) - len(lead)]), values.shape[1 + len(own) :]
        count = prod(shared)
        values = values.reshape(len(values), count, -1, prod(free))  # examples, shared, summed over, free
        blocks = np.zeros((len(values), count, prod(free), count, values.shape[2]))
        blocks[:, np.arange(count), :, np.arange(count), :] = values.transpose(1, 0, 3, 2)
        return blocks.reshape(len(values), count * prod(free), -1), (*shared, *free)


def _rows(matrix: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, matrix.tolist()))
