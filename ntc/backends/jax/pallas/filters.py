"""Sums over the taps of a filter, on strips of a plane."""

from __future__ import annotations

from functools import reduce
from itertools import product
from operator import add, mul
from typing import TYPE_CHECKING, Any

import jax

from ntc.backends.jax.emit.lane_array import layout_of
from ntc.ir.graph import Node
from ntc.ir.op import covariance
from ntc.ir.sliding import Sliding

if TYPE_CHECKING:
    from ntc.backends.jax.pallas.body import Body

Rows = tuple[jax.Array, ...]
"""Sums along the last axis, of the rows that the next strip reads as well."""


class FilterSums:
    """One filter in one block of a kernel.

    Attributes:
      rolls: whether sums of rows are handed from strip to strip: where a strip is one row, which the next ones read
        again, and is so few numbers for each thread that keeping it costs nothing.
    """

    def __init__(self, body: Body, node: Node, block: Any) -> None:
        op: Any = node.op
        self._body, self._block = body, block
        self._type, below = covariance(node.type), body.graph.covariance_of(node.operands[0])
        self._geometry: tuple[Sliding, ...] = op.axes(below)
        self._key = node.operands[0], tuple(axis.stride for axis in self._geometry)
        self._count = body.fused.strip(self._type.spatial)
        outer, several = self._geometry[0], len(self._geometry) > 1
        alike = outer.stride == outer.dilation == self._count == 1
        self.rolls = not body.chip.slices and several and alike and outer.window > 1
        self._sliced = body.chip.slices and several and self._geometry[-1].stride == 1

    def first_rows(self) -> Rows:
        """What the first strip reads but for its last row."""
        return tuple(self._row(tap - self._geometry[0].pads[0]) for tap in range(self._geometry[0].window - 1))

    def sums(self, number: Any, rows: Rows) -> tuple[jax.Array, Rows]:
        """The sums at the positions of a strip, and the rows for the next one."""
        if not self.rolls:
            return (self._by_slices(number) if self._sliced else self._by_taps(number)), ()
        outer = self._geometry[0]
        rows = (*rows, self._row(number + outer.window - 1 - outer.pads[0]))
        terms = [_masked(row, self._mask(0, tap, number)) for tap, row in enumerate(rows)]
        return reduce(add, terms), rows[1:]

    def _row(self, position: Any) -> jax.Array:
        """Sums over the taps along the last axis, of one position of the first."""
        (inner,) = self._geometry[1:]
        sizes, terms = (1, *self._type.spatial[1:]), []
        for tap in range(inner.window):
            offsets = 0, tap * inner.dilation - inner.pads[0]
            term = self._body.tap(self._key, self._block, position, sizes, offsets)
            terms.append(_masked(term, self._mask(1, tap, 0)))
        return reduce(add, terms)

    def _by_taps(self, number: Any) -> jax.Array:
        """Every tap read from the plane."""
        sizes, terms = (self._count, *self._type.spatial[1:]), []
        for taps in product(*(range(axis.window) for axis in self._geometry)):
            offsets = [tap * axis.dilation - axis.pads[0] for tap, axis in zip(taps, self._geometry, strict=True)]
            term = self._body.tap(self._key, self._block, number * self._count, sizes, offsets)
            terms.append(_masked(term, *(self._mask(axis, tap, number) for axis, tap in enumerate(taps))))
        return reduce(add, terms)

    def _by_slices(self, number: Any) -> jax.Array:
        """Taps along the first axis from the plane, their sum with its margins; those along the last as parts of it."""
        outer, inner = self._geometry
        rows = []
        for tap in range(outer.window):
            offsets = tap * outer.dilation - outer.pads[0], -inner.pads[0]
            sizes = self._count, inner.outputs - 1 + inner.span
            row = self._body.tap(self._key, self._block, number * self._count, sizes, offsets)
            rows.append(_masked(row, self._mask(0, tap, number)))
        total, terms = reduce(add, rows), []
        for tap in range(inner.window):
            first = tap * inner.dilation
            terms.append(_masked(total[:, first : first + inner.outputs], self._mask(1, tap, number)))
        return reduce(add, terms)

    def _mask(self, axis: int, tap: int, number: Any) -> Any:
        """Where a tap along an axis reads inside both images, of those that may not; None if all do."""
        places = self._body.tables.masked.get((self._geometry, layout_of(self._type), axis), ())
        if tap not in places:
            return None
        key = "mask", axis, self._geometry, layout_of(self._type)
        return self._body.mask(key, axis, places.index(tap), self._type, number)


def _masked(x: jax.Array, *masks: Any) -> jax.Array:
    return reduce(mul, [mask for mask in masks if mask is not None], x)
