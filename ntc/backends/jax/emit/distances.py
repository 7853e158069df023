"""Squared distances between inputs, to the precision wherever it matters, and values in the distance form."""

from __future__ import annotations

from functools import reduce
from operator import add

import jax
import jax.numpy as jnp
from jax import lax

from ntc.backends.jax.emit.context import Entries
from ntc.backends.jax.emit.lane_array import layout_of
from ntc.backends.jax.integrals.distance import Own
from ntc.backends.jax.integrals.family import Same
from ntc.ir.kernel.inputs import FEW_CHANNELS
from ntc.ir.types import CovarianceType

_NEAR = 2.0**-10
"""Of the mean variance. Above it, D is the difference of variances and product: an error eps of K is one of eps / t of
the angle t = sqrt(2 D / v), 20 times eps at most. Below, it is summed from differences."""


def own_entries(scope: Entries, type_: CovarianceType) -> Own:
    """Mask of the entries with p' = p, (lanes * columns); True if there are no others."""
    return True if type_.lanes == 1 else scope.brought.own[layout_of(type_)] > 0


def gram(first: jax.Array, second: jax.Array, products: jax.Array, own: Own, same: Same, branches: bool) -> jax.Array:
    """The distance form of the input: half of the mean squared difference over channels where p' = p.

    Args:
      first: (*positions, rows, channels).
      second: (*positions, columns, channels).
      products: means of products over channels, (*positions, rows, columns).
      own: which columns have p' = p.
      same: marks examples and positions with themselves.
      branches: whether each row is summed from differences or left, or all are as soon as one is.
    """
    channels = first.shape[-1]
    if first.ndim > 2 and channels <= FEW_CHANNELS:
        distances = reduce(add, [_squares(first, second, c) for c in range(channels)]) / (2 * channels)
    else:
        distances = _from_products(first, second, products, own, same, branches)
    return distances if own is True else jnp.where(own, distances, -products)


def _from_products(
    first: jax.Array, second: jax.Array, products: jax.Array, own: Own, same: Same, branches: bool
) -> jax.Array:
    """Half of the mean squared differences, where they are small not by products."""
    squares = (_mean_square(first), _mean_square(second)) if branches else _together(first, second)
    mean = (squares[0][..., :, None] + squares[1][..., None, :]) / 2
    other = jnp.asarray(own) if same is None else own & ~same
    near = (mean - products < _NEAR * mean) & other
    known = mean - products
    found = _exact_rows(first, known, second, near) if branches else _exact(first, known, second, near)
    return found if same is None else jnp.where(same, 0, found)


def _together(first: jax.Array, second: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The mean squares of both in the form of marginals of both inputs, so that XLA computes them once: accelerators
    read inputs less; on a CPU, k(x, x) takes a tenth longer."""
    squares = _mean_square(jnp.concatenate([first, second], -2))
    return squares[..., : first.shape[-2]], squares[..., first.shape[-2] :]


def _squares(first: jax.Array, second: jax.Array, channel: int) -> jax.Array:
    return (first[..., :, None, channel] - second[..., None, :, channel]) ** 2


def _mean_square(x: jax.Array) -> jax.Array:
    return jnp.mean(x**2, -1)


def _exact(first: jax.Array, found: jax.Array, second: jax.Array, near: jax.Array) -> jax.Array:
    """All entries summed from differences of channels, if any is near; else as they are."""

    def differences() -> jax.Array:
        return _mean_square(first[..., :, None, :] - second[..., None, :, :]) / 2

    result: jax.Array = lax.cond(near.any(), differences, lambda: found)
    return result


def _exact_rows(first: jax.Array, found: jax.Array, second: jax.Array, near: jax.Array) -> jax.Array:
    """The rows with near entries summed from differences of channels, the others as they are."""
    rank = first.ndim - 2
    rows = jnp.any(near, axis=(*range(rank), rank + 1))
    by_row, known = (jnp.moveaxis(x, rank, 0) for x in (first, found))
    return jnp.moveaxis(_chosen_rows(by_row, known, second, rows), 0, rank)


def _chosen_rows(first: jax.Array, found: jax.Array, second: jax.Array, rows: jax.Array) -> jax.Array:
    """Some of the rows (rows, *positions, columns) summed from differences of channels, the others as they are."""

    def row(values: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        one, known, wanted = values
        chosen: jax.Array = lax.cond(wanted, lambda: _mean_square(one[..., None, :] - second) / 2, lambda: known)
        return chosen

    result: jax.Array = lax.cond(rows.any(), lambda: lax.map(row, (first, found, rows)), lambda: found)
    return result


def with_bias(scope: Entries, type_: CovarianceType, x: jax.Array, b_std: float | jax.Array) -> jax.Array:
    """x with the variance of a bias added: where p' = p, to a distance nothing; elsewhere that holds -K."""
    if isinstance(b_std, float) and b_std == 0:
        return x
    if type_.form == "covariance":
        return x + b_std**2
    own = own_entries(scope, type_)
    return x if own is True else x - jnp.where(own, 0, b_std**2).astype(x.dtype)
