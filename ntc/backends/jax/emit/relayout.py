"""Ops that mix lanes: poolings, filters that change offsets, conversions. They need all lanes.

Arrays are (*positions, rows, *lanes per axis, columns).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import lax

from ntc.backends.jax.emit.lane_array import Block
from ntc.ir.lanes import Axis, Indices, axes_of
from ntc.ir.sliding import Sliding
from ntc.ir.types import CovarianceType

Mask = npt.NDArray[np.bool_]


def split(block: Block) -> jax.Array:
    """The entries of a block with one array axis for the lanes of every spatial axis."""
    lanes = [len(axis.residues) for axis in axes_of(block.type)]
    return block.interior.reshape(*block.array_shape[:-1], *lanes, block.columns)


def merged(x: jax.Array, rank: int) -> jax.Array:
    """The inverse of `split`: (*positions, rows, lanes * columns)."""
    return x.reshape(*x.shape[: rank + 1], -1)


@dataclass(frozen=True)
class _View:
    """One spatial axis of an array: the array axes of its positions and of its lanes, which come later."""

    number: int
    lanes: int

    def mask(self, values: Any, ndim: int) -> Any:
        """values (positions, lanes), to broadcast against an array."""
        shape = [1] * ndim
        shape[self.number], shape[self.lanes] = values.shape
        return values.reshape(shape)

    def read(self, x: jax.Array, positions: Indices, lanes: Indices, wanted: Mask) -> jax.Array:
        """Entries at positions (P,) and lanes (P, R); zero where not wanted (P, R).

        A wanted entry may share its residue with a tracked offset under one modulus and not under the other; nothing
        reads it then, and it is zero.
        """
        wanted = wanted & (lanes >= 0)
        common = _common(lanes, wanted)
        if common is None:
            return self.gathered(x, np.where(wanted, positions[:, None], 0), lanes, wanted)
        size = x.shape[self.number]
        x = _take(_rows(x, self.number, positions), self.lanes, common)
        inside = (positions >= 0) & (positions < size)  # zero elsewhere already
        if (inside[:, None] & ~wanted).any():
            x = jnp.where(self.mask(wanted, x.ndim), x, 0)
        return x

    def gathered(self, x: jax.Array, positions: Indices, lanes: Indices, wanted: Mask) -> jax.Array:
        """Any entries, one by one."""
        x = jnp.moveaxis(x, self.lanes, self.number + 1)
        before, after = x.shape[: self.number], x.shape[self.number + 2 :]
        index = np.where(wanted, positions * x.shape[self.number + 1] + lanes, 0)
        taken = jnp.take(x.reshape(*before, -1, *after), jnp.asarray(index), axis=self.number)
        mask = np.expand_dims(wanted, (*range(self.number), *range(self.number + 2, taken.ndim)))
        return jnp.moveaxis(jnp.where(mask, taken, 0), self.number + 1, self.lanes)


def _view(rank: int, axis: int) -> _View:
    """A spatial axis of what `split` gives."""
    return _View(axis, rank + 1 + axis)


def _common(lanes: Indices, wanted: Mask) -> Indices | None:
    """The lane that every column reads, if it is the same at all positions that matter."""
    first = lanes[np.argmax(wanted, axis=0), np.arange(lanes.shape[1])]
    if np.any(wanted & (lanes != first)):
        return None
    return np.where(wanted.any(axis=0), first, 0)


def _take(x: jax.Array, axis: int, index: Indices) -> jax.Array:
    """Fixed entries along one axis, as slices of as long runs as there are."""
    if len(index) == x.shape[axis] and (index == np.arange(len(index))).all():
        return x
    breaks = np.flatnonzero(np.diff(index, n=2)) + 2 if len(index) > 2 else np.array([], int)
    runs, start = [], 0
    while start < len(index):
        step = int(index[start + 1] - index[start]) if start + 1 < len(index) else 1
        stop = int(min((b for b in breaks if b > start + 1), default=len(index))) if step > 0 else start + 1
        part = index[start:stop]
        runs.append(lax.slice_in_dim(x, int(part[0]), int(part[-1]) + 1, max(1, step), axis))
        start = stop
    return runs[0] if len(runs) == 1 else lax.concatenate(runs, axis)


def _rows(x: jax.Array, axis: int, positions: Indices) -> jax.Array:
    """Rows at positions; zero outside."""
    size = x.shape[axis]
    step = int(positions[1] - positions[0]) if len(positions) > 1 else 1
    if step < 1 or (np.diff(positions) != step).any():  # circular padding
        return jnp.take(x, jnp.asarray(positions), axis)
    low, high = max(0, -int(positions[0])), max(0, int(positions[-1]) - size + 1)
    if low or high:
        padding = [(0, 0, 0)] * x.ndim
        padding[axis] = (low, high, 0)
        x = lax.pad(x, jnp.zeros((), x.dtype), padding)
    return lax.slice_in_dim(x, int(positions[0]) + low, int(positions[-1]) + low + 1, step, axis)


def pooled(
    block: Block, geometry: tuple[Sliding, ...], divisor: Callable[[Sliding], Any], result: CovarianceType
) -> jax.Array:
    """Averages over a window of each image, one axis and one image after the other."""
    x = split(block)
    for i, (sliding, source, target) in enumerate(zip(geometry, axes_of(block.type), axes_of(result), strict=True)):
        view = _view(block.rank, i)
        x = _pooled_axis(x, view, sliding, divisor(sliding).astype(x.dtype), source, target)
    return merged(x, block.rank)


def pooled_rows(block: Block, sliding: Sliding, divisor: Callable[[Sliding], Any], result: CovarianceType) -> jax.Array:
    """Averages over a window along the last axis alone, of rows of lanes."""
    source, target, rank = axes_of(block.type)[-1], axes_of(result)[-1], block.rank
    x = block.interior.reshape(*block.array_shape[:-1], -1, len(source.residues), block.columns)
    x = _pooled_axis(x, _View(rank - 1, rank + 2), sliding, divisor(sliding).astype(x.dtype), source, target)
    return merged(x, rank)


def _pooled_axis(
    x: jax.Array, view: _View, sliding: Sliding, divisor: npt.NDArray[Any], source: Axis, target: Axis
) -> jax.Array:
    """The mean or sum over taps at p and, independently, at p'.

    Both at once reads (window / stride)^2 of the operand, one after the other less where windows overlap much.
    """
    window, stride = sliding.window, sliding.stride
    reads = [sliding.read_positions(tap) for tap in range(window)]
    if window <= _FEW_TAPS and window <= stride + 1:
        terms = [_pairs(x, view, source, target, first, second) for first in reads for second in reads]
        x = reduce(add, terms)
    else:
        x = _pooled_in_turn(x, view, stride, reads, source, target)
    divisors = divisor[:, None] * divisor[np.minimum(target.partners, target.size - 1)]
    if (divisors == divisors.flat[0]).all():
        return x if divisors.flat[0] == 1 else x * (1 / divisors.flat[0])
    return x * jnp.asarray(view.mask(1 / divisors, x.ndim))


_FEW_TAPS = 4


def _pooled_in_turn(
    x: jax.Array, view: _View, stride: int, reads: list[Indices], source: Axis, target: Axis
) -> jax.Array:
    """First over the taps at p, which leaves entries (P, p') in lanes of p' - s P, then over those at p'."""
    out, partners = target.positions, np.minimum(target.partners, target.size - 1)
    live = target.partners < target.size

    def inside(positions: Indices) -> Mask:
        return (positions >= 0) & (positions < source.size)

    wanted = [live & inside(read[partners]) for read in reads]
    offsets = [(read[partners] - stride * out) % source.modulus for read in reads]
    between = np.unique(np.concatenate([x[w] for x, w in zip(offsets, wanted, strict=True)]))
    second = (stride * out + between) % source.modulus  # p' of every (P, lane between)
    terms = [
        view.read(x, read, source.lanes(second - read[:, None]), inside(second) & inside(read)[:, None])
        for read in reads
    ]
    x = reduce(add, terms)
    lane_of = np.full(source.modulus, -1)
    lane_of[between] = np.arange(len(between))
    return reduce(add, [view.read(x, out[:, 0], lane_of[offset], w) for offset, w in zip(offsets, wanted, strict=True)])


def filtered_anywhere(block: Block, geometry: tuple[Sliding, ...], result: CovarianceType) -> jax.Array:
    """Sums over the taps of a filter whose taps move together, whatever it does to lanes."""
    x = split(block)
    for i, (sliding, source, target) in enumerate(zip(geometry, axes_of(block.type), axes_of(result), strict=True)):
        reads = [sliding.read_positions(tap) for tap in range(sliding.window)]
        terms = [_pairs(x, _view(block.rank, i), source, target, read, read) for read in reads]
        x = reduce(add, terms)
    return merged(x, block.rank)


def diagonal_mean(block: Block, axes: tuple[int, ...], result: CovarianceType) -> jax.Array:
    """Means over the positions of some axes of the entries with p' = p, the same for all entries of these axes."""
    return merged(_averaged(block, axes, result), block.rank)


def axis_mean(block: Block, axis: int, result: CovarianceType) -> jax.Array:
    """Means over the positions of one axis of the entries with p' = p, at these entries of the axis; zero elsewhere."""
    x, target = _averaged(block, (axis,), result), axes_of(result)[axis]
    own = np.broadcast_to(target.partners == target.positions, target.partners.shape)
    return merged(jnp.where(_view(block.rank, axis).mask(own, x.ndim), x, 0), block.rank)


def _averaged(block: Block, axes: tuple[int, ...], result: CovarianceType) -> jax.Array:
    x = split(block)
    for i, (source, target) in enumerate(zip(axes_of(block.type), axes_of(result), strict=True)):
        view, own = _view(block.rank, i), target.positions[:, 0]
        if i in axes:
            lane = int(source.lanes(np.zeros(1, int))[0])
            mean = lax.slice_in_dim(x, lane, lane + 1, axis=view.lanes).mean(view.number, keepdims=True)
            shape = list(mean.shape)
            shape[view.number], shape[view.lanes] = target.size, len(target.residues)
            x = jnp.broadcast_to(mean, shape)
        elif source != target:
            x = _pairs(x, view, source, target, own, own)
    return x


def relaid(block: Block, result: CovarianceType) -> jax.Array:
    """The entries in the layout of `result`, which tracks no others."""
    x = split(block)
    for i, (source, target) in enumerate(zip(axes_of(block.type), axes_of(result), strict=True)):
        if source != target:
            own = target.positions[:, 0]
            x = _pairs(x, _view(block.rank, i), source, target, own, own)
    return merged(x, block.rank)


def _pairs(x: jax.Array, view: _View, source: Axis, target: Axis, first: Indices, second: Indices) -> jax.Array:
    """For every entry (p, p') of the target, entry (first[p], second[p']) of the source; zero outside."""
    p, q = first[:, None], second[np.minimum(target.partners, target.size - 1)]
    wanted = (p >= 0) & (p < source.size) & (q >= 0) & (q < source.size) & (target.partners < target.size)
    return view.read(x, first, source.lanes(q - p), wanted)


def to_dense(block: Block) -> jax.Array:
    """All entries as (rows, columns, H, H', W, W', ...) of a block that tracks them."""
    x, rank = split(block), block.rank
    for i, axis in enumerate(axes_of(block.type)):
        x = squared(x, rank, i, axis)
    return x.transpose(rank, 2 * rank + 1, *(i for axis in range(rank) for i in (axis, rank + 1 + axis)))


def from_dense(dense: jax.Array, type_: CovarianceType) -> jax.Array:
    """The inverse of `to_dense`: (*positions, rows, lanes * columns)."""
    rank = len(type_.spatial)
    x = dense.transpose(*range(2, dense.ndim, 2), 0, *range(3, dense.ndim, 2), 1)
    for i, axis in enumerate(axes_of(type_)):
        x = skewed(x, rank, i, axis)
    return merged(x, rank)


def squared(x: jax.Array, rank: int, number: int, axis: Axis) -> jax.Array:
    """Of what `split` gives, one axis with p' in place of lanes; zero where it is not tracked."""
    every = np.arange(axis.size)[None, :] - axis.positions
    return _view(rank, number).read(x, axis.positions[:, 0], axis.lanes(every), np.ones(every.shape, bool))


def skewed(x: jax.Array, rank: int, number: int, axis: Axis) -> jax.Array:
    """The inverse of `squared`."""
    partners = np.minimum(axis.partners, axis.size - 1)
    positions = np.broadcast_to(axis.positions, partners.shape)
    return _view(rank, number).gathered(x, positions, partners, axis.partners < axis.size)


def gathered(x: jax.Array, rank: int, number: int, positions: Indices, lanes: Indices, wanted: Mask) -> jax.Array:
    """Of what `split` gives, any entries along one axis, (positions, lanes); zero where not wanted or not stored."""
    return _view(rank, number).gathered(x, positions, lanes, wanted & (lanes >= 0))
