"""Fixed matrices along the axes of both images, and axes in another order, on whole values."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.backends.jax.emit.lane_array import Block
from ntc.backends.jax.emit.relayout import gathered, merged, skewed, split, squared
from ntc.ir.kernel.linear import Taps
from ntc.ir.lanes import Axis, Indices, axes_of
from ntc.ir.types import CovarianceType

_FEW_PAIRS = 4
"""Up to so many pairs of taps are read one by one."""


def applied(block: Block, matrices: Sequence[Taps | None], result: CovarianceType) -> jax.Array:
    """M K M^T, one axis after the other."""
    x = split(block)
    for i, (taps, source, target) in enumerate(zip(matrices, axes_of(block.type), axes_of(result), strict=True)):
        if taps is None:
            x = x if source == target else _moved(x, block.rank, i, source, target)
        elif len(taps.sources) ** 2 <= _FEW_PAIRS:
            x = _by_pairs(x, block.rank, i, taps, source, target)
        elif 2 * len(source.residues) <= source.size:
            x = _in_turn(x, block.rank, i, taps, source, target)
        else:
            x = _by_matrix(x, block.rank, i, taps, source, target)
    return merged(x, block.rank)


def permuted(block: Block, axes: Sequence[int], result: CovarianceType) -> jax.Array:
    """The entries with axis `axes[i]` as axis i."""
    x, rank = split(block), block.rank
    x = x.transpose(*axes, rank, *(rank + 1 + axis for axis in axes), 2 * rank + 1)
    below = axes_of(block.type)
    for i, (axis, target) in enumerate(zip(axes, axes_of(result), strict=True)):
        x = x if below[axis] == target else _moved(x, rank, i, below[axis], target)
    return merged(x, rank)


def _moved(x: jax.Array, rank: int, number: int, source: Axis, target: Axis) -> jax.Array:
    own = np.arange(target.size)
    return _picked(x, rank, number, source, target, own, own)


def _picked(
    x: jax.Array, rank: int, number: int, source: Axis, target: Axis, first: Indices, second: Indices
) -> jax.Array:
    """For every entry (p, p') of the target, entry (first[p], second[p']) of the source; zero if not stored."""
    p, q = first[:, None], second[np.minimum(target.partners, target.size - 1)]
    return gathered(x, rank, number, p, source.lanes(q - p), target.partners < target.size)


def _by_pairs(x: jax.Array, rank: int, number: int, taps: Taps, source: Axis, target: Axis) -> jax.Array:
    """The sum over every tap of p and every tap of p'."""
    partners = np.minimum(target.partners, target.size - 1)
    pairs = list(zip(taps.sources, taps.weights, strict=True))
    terms = []
    for first, weight in pairs:
        for second, other in pairs:
            weights = weight[:, None] * other[partners]
            term = _picked(x, rank, number, source, target, first, second)
            terms.append(term if (weights == 1).all() else term * _along(weights, rank, number, x))
    return reduce(add, terms)


def _along(weights: Any, rank: int, number: int, x: jax.Array) -> jax.Array:
    """weights (positions, lanes) of one axis, to multiply what `split` gives."""
    shape = [1] * x.ndim
    shape[number], shape[rank + 1 + number] = weights.shape
    return jnp.asarray(weights.reshape(shape), x.dtype)


def _in_turn(x: jax.Array, rank: int, number: int, taps: Taps, source: Axis, target: Axis) -> jax.Array:
    """First over the taps q of p, for the few q' that matter to p, in lanes of q' - (first tap of p); then over those
    of p'. For a band of offsets, of which the matrix would make all pairs of positions."""
    first = taps.sources[0][:, None]
    partners, live = np.minimum(target.partners, target.size - 1), target.partners < target.size
    wanted = [live & (weight[partners] != 0) for weight in taps.weights]
    offsets = [(read[partners] - first) % source.modulus for read in taps.sources]
    between = np.unique(np.concatenate([[0], *(x[w] for x, w in zip(offsets, wanted, strict=True))]).astype(int))
    second = (first + between) % source.modulus
    terms = []
    for read, weight in zip(taps.sources, taps.weights, strict=True):
        here = (second < source.size) & (weight != 0)[:, None]
        term = gathered(x, rank, number, read[:, None], source.lanes(second - read[:, None]), here)
        terms.append(term * _along(np.broadcast_to(weight[:, None], here.shape), rank, number, x))
    x = reduce(add, terms)
    lane_of = np.full(source.modulus, -1)
    lane_of[between] = np.arange(len(between))
    own = np.arange(target.size)[:, None]
    return reduce(
        add,
        [
            gathered(x, rank, number, own, lane_of[offset], w) * _along(weight[partners], rank, number, x)
            for offset, w, weight in zip(offsets, wanted, taps.weights, strict=True)
        ],
    )


def _by_matrix(x: jax.Array, rank: int, number: int, taps: Taps, source: Axis, target: Axis) -> jax.Array:
    """Products with the matrix along p and along p'; what is not tracked below meets only weights of zero."""
    matrix = jnp.asarray(taps.matrix, x.dtype)
    x = squared(x, rank, number, source)
    for axis in (number, rank + 1 + number):
        x = jnp.moveaxis(jnp.tensordot(matrix, x, (1, axis), precision=lax.Precision.HIGHEST), 0, axis)
    return skewed(x, rank, number, target)
