"""What a kernel of a whole stage reads and writes, and how that lies in the memory of a kind of accelerator.

A kernel computes, for some first examples, one row of lanes and some entries of it, all positions. An entry of a row of
lanes is a lane and a second example, `columns` of them for each lane, filled up to whole blocks. It goes over positions
in strips: some along the first axis, all along the others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from ntc.ir.types import Spatial
from ntc.plan import Fused


@dataclass(frozen=True)
class Grid:
    """The blocks of a kernel.

    Attributes:
      rows: number of first examples.
      lane_rows: number of rows of lanes.
      entries: entries of a row of lanes.
      block_rows, block: first examples and entries of a block.
    """

    rows: int
    lane_rows: int
    entries: int
    block_rows: int
    block: int

    @property
    def row_blocks(self) -> int:
        """Blocks along first examples."""
        return -(-self.rows // self.block_rows)

    @property
    def blocks(self) -> int:
        """Blocks along the entries of a row of lanes."""
        return -(-self.entries // self.block)

    @property
    def shape(self) -> tuple[int, int, int]:
        """How many blocks there are: of first examples, of rows of lanes, of their entries."""
        return self.row_blocks, self.lane_rows, self.blocks

    def filled(self, x: jax.Array) -> jax.Array:
        """x (..., entries) with zeros up to whole blocks."""
        return _padded(x, x.ndim - 1, self.blocks * self.block)

    def filled_rows(self, x: jax.Array, axis: int) -> jax.Array:
        """x with zeros along its axis of first examples up to whole blocks."""
        return _padded(x, axis, self.row_blocks * self.block_rows)


def _padded(x: jax.Array, axis: int, size: int) -> jax.Array:
    if x.shape[axis] == size:
        return x
    widths = [(0, 0)] * x.ndim
    widths[axis] = (0, size - x.shape[axis])
    return jnp.pad(x, widths)


def apart(x: jax.Array, strides: Sequence[int], others: int = 3) -> jax.Array:
    """x (*positions, ...), with `others` axes after them, and each axis of positions as one of multiples of its stride
    and one of residues; with zeros up to whole multiples."""
    for axis, stride in enumerate(strides):
        x = _padded(x, axis, -(-x.shape[axis] // stride) * stride)
    split = [n for size, s in zip(x.shape, strides, strict=False) for n in (size // s, s)]
    return x.reshape(*split, *x.shape[x.ndim - others :])


@dataclass(frozen=True)
class At:
    """Which block a kernel computes: of first examples, of rows of lanes, of entries."""

    row: Any
    lane_row: Any
    block: Any


@dataclass(frozen=True)
class Operand:
    """An array that a kernel reads.

    Attributes:
      array: the array.
      spec: which part of it is at hand in a block.
      read: (reference, block, *where) to a strip, or to a number.
    """

    array: jax.Array
    spec: Any
    read: Callable[..., Any]


@dataclass(frozen=True)
class Result:
    """An array that a kernel writes.

    Attributes:
      shape: of the array.
      spec: which part of it is at hand in a block.
      write: (reference, block, value, *where).
      finish: from the array to what is wanted: (*positions, rows, lane rows, entries), or (rows, entries) of sums.
    """

    shape: tuple[int, ...]
    spec: Any
    write: Callable[..., None]
    finish: Callable[[jax.Array], jax.Array]


def float32(shape: Sequence[int]) -> Any:
    """An array of this shape, of which there are no numbers yet."""
    return jax.ShapeDtypeStruct(tuple(shape), jnp.float32)  # type: ignore[no-untyped-call]


class Chip(ABC):
    """How arrays lie in the memory of a kind of accelerator, for one grid of blocks.

    Sizes of arrays are named: `lead` are axes of which one entry is read at a time, `positions` those of an image,
    `reached` positions along the first axis that any second position takes.
    """

    def __init__(self, grid: Grid, fused: Fused, interpret: bool) -> None:
        self.grid = grid
        self.fused = fused
        self.interpret = interpret

    def strip_shape(self, spatial: Spatial) -> tuple[int, ...]:
        """Of a strip of values of these positions."""
        return (self.fused.strip(spatial), *spatial[1:], *self.tail)

    @property
    @abstractmethod
    def tail(self) -> tuple[int, ...]:
        """Axes of entries in a strip, and in a plane."""

    @property
    @abstractmethod
    def slices(self) -> bool:
        """Whether a part of a strip along positions costs nothing, so that filters need not read it from memory."""

    @abstractmethod
    def zeros(self, shape: Sequence[int]) -> jax.Array:
        """A strip of zeros to which strips can be added."""

    @abstractmethod
    def legal(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function of strips, of primitives that the compiler has."""

    @abstractmethod
    def scratch(self, shape: Sequence[int]) -> Any:
        """Fast memory for planes."""

    @abstractmethod
    def call(
        self, kernel: Callable[..., None], operands: Sequence[Operand], results: Sequence[Result], planes: Any
    ) -> Any:
        """Runs a kernel of references: operands, results, planes."""

    @abstractmethod
    def first(self, x: jax.Array, lead: int) -> Operand:
        """What belongs to first examples, (*lead, *positions, rows); read at (*lead, first position, how many)."""

    @abstractmethod
    def second(self, x: jax.Array, lead: int) -> Operand:
        """What belongs to second examples, (*lead, reached, *others, entries); read likewise."""

    @abstractmethod
    def numbers(self, x: jax.Array) -> Operand:
        """Integers or masks, (lane rows, ...), read one at a time for the row of lanes at hand."""

    @abstractmethod
    def scalars(self, x: jax.Array) -> Operand:
        """Numbers (count,), read one at a time at their index."""

    @abstractmethod
    def over_first_axis(self, x: jax.Array, spatial: Spatial) -> Operand:
        """A mask (lead, lane rows, positions of the first axis), the same for all other positions and entries; read at
        (lead index, strip)."""

    @abstractmethod
    def over_other_axes(self, x: jax.Array, spatial: Spatial) -> Operand:
        """A mask (lead, *positions but the first, entries), the same for all positions of the first axis; read at the
        lead index."""

    @abstractmethod
    def over_lanes(self, x: jax.Array, spatial: Spatial) -> Operand:
        """A mask (rows or 1, lane rows, entries), the same at all positions; read without further indices."""

    @abstractmethod
    def value(self, x: jax.Array, strides: Sequence[int]) -> Operand:
        """A value (*positions, rows, lane rows, entries), its positions apart by their residues modulo strides; read at
        (residues, first position, how many)."""

    @abstractmethod
    def stored(self, spatial: Spatial) -> Result:
        """A value that is written strip by strip, at (first position, how many)."""

    @abstractmethod
    def summed(self, spatial: Spatial) -> Result:
        """Sums over all positions and rows of lanes, of which a kernel writes those over strips."""
