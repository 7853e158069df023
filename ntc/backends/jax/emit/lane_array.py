"""A value of the kernel graph while its program is traced: some examples, some lanes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import mul
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.ir.lanes import axes_of, residue_table
from ntc.ir.types import CovarianceType
from ntc.plan import Margins


def layout_of(type_: CovarianceType) -> tuple[Any, ...]:
    """What the places of entries depend on."""
    return type_.spatial, type_.offsets, type_.moduli


@dataclass(frozen=True)
class Lanes:
    """The lanes of a covariance that are at hand: all, or `count` of them beginning at `start`."""

    type: CovarianceType
    start: jax.Array | None = None
    count: int = 0

    @property
    def number(self) -> int:
        """How many they are."""
        return self.type.lanes if self.start is None else self.count

    @property
    def residues(self) -> Any:
        """Residue of every lane along every axis, (axes, lanes)."""
        return self.residues_of(range(len(self.type.spatial)))

    def residues_of(self, axes: Sequence[int]) -> Any:
        """Residue of every lane along some axes, (axes, lanes)."""
        table = residue_table(self.type)[list(axes)]
        if self.start is None:
            return table
        return lax.dynamic_slice_in_dim(jnp.asarray(table), self.start, self.count, 1, allow_negative_indices=False)

    def partners(self, axis: int) -> Any:
        """p' of every position and lane along one axis, (positions, lanes)."""
        layout = axes_of(self.type)[axis]
        return (layout.positions + self.residues[axis]) % layout.modulus

    def live(self, axis: int) -> Any:
        """Whether p' lies inside the image, (positions, lanes)."""
        return self.partners(axis) < axes_of(self.type)[axis].size

    def on_diagonal(self) -> Any:
        """Whether p' = p, (lanes,)."""
        return (self.residues == 0).all(0)

    def shifted(self, values: jax.Array) -> jax.Array:
        """values (*positions, columns, ...) at p' of every entry: (*positions, 1, lanes * columns, ...)."""
        rank = len(self.type.spatial)
        if all(axis.diagonal for axis in axes_of(self.type)):
            return jnp.expand_dims(values, rank)
        index: Any = 0
        for i, size in enumerate(self.type.spatial):
            partners = jnp.minimum(self.partners(i), size - 1)
            index = index * size + along_axis(partners, i, rank)
        flat = values.reshape(-1, *values.shape[rank:])
        taken = jnp.take(flat, jnp.asarray(index), axis=0, mode="clip")
        return taken.reshape(*self.type.spatial, 1, -1, *values.shape[rank + 1 :])

    @property
    def in_one_row(self) -> bool:
        """Whether the lanes at hand, which begin at a multiple of their number, differ along the last axis alone."""
        axes = axes_of(self.type)
        return len(axes) > 1 and len(axes[-1].residues) % self.count == 0

    def table(self, values: jax.Array) -> jax.Array:
        """values (*positions, columns, ...) for `from_table`: at p' along the last axis, and along the others at every
        position that any p' takes, so that one row of lanes is a slice: (*more, positions, lanes, columns, ...)."""
        *others, last = axes_of(self.type)
        for i, axis in enumerate(others):
            reached = np.minimum(np.arange(axis.size + axis.modulus - 1) % axis.modulus, axis.size - 1)
            values = jnp.take(values, reached, axis=i)
        return jnp.take(values, np.minimum(last.partners, last.size - 1), axis=len(others))

    def from_table(self, table: jax.Array) -> jax.Array:
        """What `shifted` gives, if the lanes at hand are in one row."""
        *others, last = axes_of(self.type)
        assert self.start is not None
        starts = [*self.residues[:-1, 0], 0, self.start % len(last.residues)]
        sizes = [*(axis.size for axis in others), last.size, self.count]
        rest = table.shape[len(sizes) :]
        starts = [jnp.asarray(x, jnp.int32) for x in (*starts, *(0,) * len(rest))]
        part = lax.dynamic_slice(table, starts, (*sizes, *rest), allow_negative_indices=False)
        return part.reshape(*self.type.spatial, 1, -1, *rest[1:])


def along_axis(values: Any, axis: int, rank: int) -> Any:
    """values (positions, lanes) of one axis as (1, ..., positions, ..., 1, lanes)."""
    shape = [1] * rank
    shape[axis] = values.shape[0]
    return values.reshape(*shape, values.shape[1])


@dataclass(frozen=True)
class Block:
    """Entries of a covariance: (*positions, rows, lanes * columns).

    Rows are examples of x1 and columns examples of x2; a marginal has one row. Columns are innermost, so that what
    differs from lane to lane is contiguous. Positions may have margins of zeros, which filters read.
    """

    array: jax.Array
    lanes: Lanes
    columns: Any
    margins: Margins = ()

    @property
    def type(self) -> CovarianceType:
        return self.lanes.type

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.type.spatial)

    @property
    def interior(self) -> jax.Array:
        """The entries without margins."""
        return without_margins(self.array, self.margins)

    def with_margins(self, margins: Margins) -> Block:
        """The same entries with other margins."""
        if margins == self.margins:
            return self
        return replace(self, array=with_margins(self.interior, margins), margins=margins)

    @property
    def separate(self) -> jax.Array:
        """The entries with lanes apart: (*positions, rows, lanes, columns)."""
        return self.interior.reshape(*self.array_shape[:-1], -1, self.columns)

    @property
    def array_shape(self) -> tuple[Any, ...]:
        return (*self.type.spatial, *self.array.shape[self.rank :])

    def masked(self, mask: Any) -> Any:
        """A mask (..., lanes), to multiply (..., lanes * columns)."""
        return repeat_columns(mask, self.columns)

    def positionwise(self) -> jax.Array:
        """The entries with p' = p, (*positions, rows, columns); all lanes must be at hand."""
        lane = int(np.flatnonzero(self.lanes.on_diagonal())[0])
        return self.separate[..., lane, :]


def repeat_columns(mask: Any, columns: Any) -> jax.Array:
    """(..., lanes) to (..., lanes * columns)."""
    mask = jnp.asarray(mask)
    wide = jnp.broadcast_to(mask[..., None], (*mask.shape, columns))
    return wide.reshape(*mask.shape[:-1], mask.shape[-1] * columns)


def without_margins(x: jax.Array, margins: Margins) -> jax.Array:
    """x without margins along its first axes."""
    if not margins:
        return x
    ends = [(low, n - high) for (low, high), n in zip(margins, x.shape, strict=False)]
    ends += [(0, n) for n in x.shape[len(ends) :]]
    return lax.slice(x, *zip(*ends, strict=True))


def with_margins(x: jax.Array, margins: Margins) -> jax.Array:
    """x with zeros around its first axes."""
    if not margins:
        return x
    widths = (*margins, *((0, 0),) * (x.ndim - len(margins)))
    return lax.pad(x, jnp.zeros((), x.dtype), [(low, high, 0) for low, high in widths])


def live_mask(lanes: Lanes, columns: Any) -> jax.Array | None:
    """Whether entries are inside the image, to multiply (*positions, rows, lanes * columns); None if all are."""
    rank = len(lanes.type.spatial)
    axes = [i for i, axis in enumerate(axes_of(lanes.type)) if axis.has_dead_entries]
    masks: Sequence[Any] = [along_axis(lanes.live(i), i, rank) for i in axes]
    if not masks:
        return None
    return jnp.expand_dims(repeat_columns(reduce(mul, masks), columns), rank)
