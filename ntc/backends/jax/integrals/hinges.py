"""Integrals of functions of straight pieces: orthants of the Gaussian by Owen's function."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.backends.jax.integrals.family import Family, Same, clamped, root
from ntc.backends.jax.integrals.relu import half_angle, half_space
from ntc.ir.ops import Hinges
from ntc.ir.ops.hinges import FARTHEST

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(14)

_Orthant = tuple[jax.Array, jax.Array, jax.Array]
"""(h, g, c): what the variables exceed, in standard deviations and not below zero, and their correlation."""


def _tail(x: jax.Array) -> jax.Array:
    """Q(x), the chance that a standard Gaussian exceeds x."""
    chance: jax.Array = lax.erfc(x / sqrt(2)) / 2
    return chance


def _density(x: jax.Array) -> jax.Array:
    return jnp.exp(-(x**2) / 2) / sqrt(2 * pi)


def owen(h: jax.Array, other: jax.Array) -> jax.Array:
    """Owen's T(h, a) at h >= 0, a = other / h.

    As an integral only up to a slope of at most one, where 14 nodes give 1e-15; beyond by
    T(x, y / x) + T(y, x / y) = (Q(x) + Q(y)) / 2 - Q(x) Q(y), x and y >= 0. Source: Owen 1956, eq. 2.3 and table of
    properties.
    """
    size = jnp.abs(other)
    large, small = jnp.maximum(h, size), jnp.minimum(h, size)
    a = jnp.where(large > 0, small / jnp.where(large > 0, large, 1), 0)
    total = jnp.zeros_like(a)
    for node, weight in zip(_NODES.tolist(), _WEIGHTS.tolist(), strict=True):
        square = 1 + ((node + 1) / 2 * a) ** 2
        total += weight / 2 * jnp.exp(-(large**2) / 2 * square) / square
    inside = a * total / (2 * pi)
    outside = (_tail(h) + _tail(size)) / 2 - _tail(h) * _tail(size) - inside
    return jnp.sign(other) * jnp.where(size > h, outside, inside)


def _conditional(h: jax.Array, g: jax.Array, c: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """sqrt(1 - c^2), and h and g in standard deviations of the one variable where the other is at its bound."""
    sine = jnp.sqrt((1 - c) * (1 + c))
    safe = jnp.where(sine > 0, sine, float(np.finfo(c.dtype).tiny) ** 0.5)
    turn = jnp.sign(c)
    near = 1 - jnp.abs(c)  # exact where it is small
    parts = g - turn * h + turn * near * h, h - turn * g + turn * near * g
    first, second = (jnp.clip(x / safe, -2 * FARTHEST, 2 * FARTHEST) for x in parts)
    return sine, first, second


@jax.custom_jvp
def _chance(h: jax.Array, g: jax.Array, c: jax.Array) -> jax.Array:
    """L = P(U > h, V > g)."""
    _, first, second = _conditional(h, g, c)
    return (_tail(h) + _tail(g)) / 2 - owen(h, first) - owen(g, second)


@_chance.defjvp
def _chance_jvp(primals: _Orthant, tangents: _Orthant) -> tuple[jax.Array, jax.Array]:
    """By the correlation it is the density at (h, g): infinite at the ends, where it is set to zero."""
    h, g, c = primals
    sine, first, second = _conditional(h, g, c)
    safe = jnp.where(sine > 0, sine, 1)
    density = jnp.where(sine > 0, _density(h) * _density(first) / safe, 0)
    slopes = -_density(h) * _tail(first), -_density(g) * _tail(second), density
    return _chance(h, g, c), sum(x * t for x, t in zip(slopes, tangents, strict=True))  # type: ignore[return-value]


@jax.custom_jvp
def _product(h: jax.Array, g: jax.Array, c: jax.Array) -> jax.Array:
    """E[max(U - h, 0) max(V - g, 0)]."""
    sine, first, second = _conditional(h, g, c)
    edges = g * _density(h) * _tail(first) + h * _density(g) * _tail(second)
    return (c + h * g) * _chance(h, g, c) - edges + sine * _density(h) * _density(first)


@_product.defjvp
def _product_jvp(primals: _Orthant, tangents: _Orthant) -> tuple[jax.Array, jax.Array]:
    """By the correlation it is the chance (Price 1958); by h, -E[max(V - g, 0); U > h]."""
    h, g, c = primals
    _, first, second = _conditional(h, g, c)
    chance = _chance(h, g, c)
    of_h, of_l = _density(h) * _tail(first), _density(g) * _tail(second)
    slopes = g * chance - of_l - c * of_h, h * chance - of_h - c * of_l, chance
    return _product(h, g, c), sum(x * t for x, t in zip(slopes, tangents, strict=True))  # type: ignore[return-value]


def _distance(t: float | jax.Array, own: jax.Array) -> jax.Array:
    """t in standard deviations; where the variance is zero, zero if t is."""
    near = own * FARTHEST > t
    return jnp.where(near, t / jnp.where(near, own, 1), jnp.where(jnp.asarray(t) > 0, FARTHEST, 0))


def _correlation(k: jax.Array, norm: jax.Array, same: Same) -> jax.Array:
    positive = norm > 0
    cosine = jnp.where(positive, clamped(k / jnp.where(positive, norm, 1), -1, 1), 1)
    return cosine if same is None else jnp.where(same, 1, cosine)


def _mean_slope(phi: Hinges, own: jax.Array) -> jax.Array:
    """E[phi'] without the straight part."""
    return sum((x.weight * x.sign * _tail(_distance(x.distance, own)) for x in phi.hinges), jnp.zeros_like(own))


def _straight(phi: Hinges, root1: jax.Array, root2: jax.Array) -> jax.Array | float:
    """What the straight part adds to E[phi' phi'], and times k to E[phi phi]."""
    if phi.slope == 0:
        return 0.0
    return phi.slope**2 + phi.slope * (_mean_slope(phi, root1) + _mean_slope(phi, root2))


def _of_pairs(
    phi: Hinges,
    roots: tuple[jax.Array, jax.Array],
    cosine: jax.Array,
    integral: Callable[..., jax.Array],
    at_zero: Callable[..., jax.Array],
    slopes: bool,
) -> jax.Array:
    """The sum of an integral over all pairs of hinges at unit variances: `at_zero` of a pair of which both are there.

    All others are steps of a loop, as one of them is many operations: a program of each would take seconds to compile.
    """
    weights = [x.weight * (x.sign if slopes else 1) for x in phi.hinges]
    every = list(zip(phi.hinges, weights, strict=True))
    total, rest = jnp.zeros_like(cosine), dict[tuple[int, float, float], float]()
    for one, weight in every:
        for other, own in every:
            turn = one.sign * other.sign
            if one.distance == other.distance == 0:
                total += weight * own * at_zero(turn * cosine, jnp.ones_like(cosine))
            else:
                pair = turn, one.distance, other.distance
                rest[pair] = rest.get(pair, 0.0) + weight * own
    if not rest:
        return total
    _, root1, root2 = jnp.broadcast_arrays(cosine, *roots)

    @jax.checkpoint
    def step(total: jax.Array, pair: jax.Array) -> tuple[jax.Array, tuple[()]]:
        turn, first, second, weight = pair
        found = integral(_distance(first, root1), _distance(second, root2), turn * cosine)
        return total + weight * found, ()

    return lax.scan(step, total, jnp.asarray(np.array([(*x, weight) for x, weight in rest.items()]), cosine.dtype))[0]


def _dual(phi: Hinges, k: jax.Array, root1: jax.Array, root2: jax.Array, same: Same) -> jax.Array:
    norm = root1 * root2
    cosine = _correlation(k, norm, same)
    total = _of_pairs(phi, (root1, root2), cosine, _product, half_space, slopes=False)
    return norm * (total + _straight(phi, root1, root2) * cosine)


def _dual_dot(phi: Hinges, k: jax.Array, root1: jax.Array, root2: jax.Array, same: Same) -> jax.Array:
    cosine = _correlation(k, root1 * root2, same)
    total = _of_pairs(phi, (root1, root2), cosine, _chance, half_angle, slopes=True)
    return total + _straight(phi, root1, root2)


FAMILY = Family(root, _dual, _dual_dot)
