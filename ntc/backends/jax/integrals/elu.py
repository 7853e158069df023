"""Integrals of functions that are an exponential below zero: quadrature over the angle of correlation.

See `ntc.ir.ops.ExponentialLinear`. The integrand is smooth at every correlation, so that few nodes do; the sum over
them runs in a loop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import pi, sqrt

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.polynomial import Chebyshev, Polynomial

from ntc.backends.jax.integrals.family import Family, Same, root
from ntc.backends.jax.integrals.minimax import Coefficients, polynomial
from ntc.backends.jax.integrals.relu import angle_of
from ntc.ir.op import Array
from ntc.ir.ops import ExponentialLinear
from ntc.ir.ops.elu import LARGEST, mills_drop

NODES = {"float32": 24, "float64": 40}
"""In the angle: with these the integrals are good to 1e-6 and 1e-10 up to the largest standard deviation, and to the
rounding of float32 and 1e-13 up to ten times the decay."""

_DEGREE = {"float32": 12, "float64": 28}
_MIDDLE = 4.0


@lru_cache
def _drop(dtype: str) -> Coefficients:
    """Of the polynomial of t = (p - 4) / (p + 4) that is (p + 4) / p (m(0) - m(p)), m the Mills ratio."""

    def function(t: Array) -> Array:
        p = _MIDDLE * (1 + t) / (1 - t)
        return (p + _MIDDLE) / p * mills_drop(p)

    fitted = Chebyshev.interpolate(function, _DEGREE[dtype])
    return tuple(fitted.convert(kind=Polynomial).coef.tolist())


def _mills_drop(p: jax.Array) -> jax.Array:
    """m(0) - m(p), p >= 0."""
    return p / (p + _MIDDLE) * polynomial(_drop(str(p.dtype)), (p - _MIDDLE) / (p + _MIDDLE))


def _damped(p: jax.Array) -> jax.Array:
    """The integral of r exp(-r^2 / 2 - p r) over r > 0."""
    return 1 - p * (sqrt(pi / 2) - _mills_drop(p))


def _mixed(p: jax.Array) -> jax.Array:
    """The integral of r^2 (exp(-p r) - 1) exp(-r^2 / 2) over r > 0."""
    drop = _mills_drop(p)
    return -drop - p * (1 - p * (sqrt(pi / 2) - drop))


def _both(p: jax.Array, q: jax.Array) -> jax.Array:
    """The integral of r (exp(-p r) - 1) (exp(-q r) - 1) exp(-r^2 / 2) over r > 0."""
    together = _mills_drop(p + q)
    return p * (together - _mills_drop(p)) + q * (together - _mills_drop(q))


def _over_angle(integrand: Callable[[jax.Array, jax.Array], jax.Array], width: jax.Array) -> jax.Array:
    """The integral over (0, width) of a function of an angle and of the rest, at nodes that gather at both ends."""
    s, weights = np.polynomial.legendre.leggauss(NODES[str(width.dtype)])
    s = (s + 1) / 2
    parts, weights = s**2 * (3 - 2 * s), 3 * s * (1 - s) * weights
    nodes = tuple(jnp.asarray(x, width.dtype) for x in (parts, parts[::-1], weights))

    def step(total: jax.Array, node: tuple[jax.Array, ...]) -> tuple[jax.Array, tuple[()]]:
        part, rest, weight = node
        return total + weight * integrand(width * part, width * rest), ()

    total, _ = lax.scan(step, jnp.zeros_like(width), nodes)
    return total * width


def _known(value: jax.Array, p1: jax.Array, p2: jax.Array) -> jax.Array:
    return jnp.where(jnp.maximum(p1, p2) <= LARGEST, value, jnp.nan)


def _dual(phi: ExponentialLinear, k: jax.Array, root1: jax.Array, root2: jax.Array, same: Same) -> jax.Array:
    norm = root1 * root2
    theta, cosine, sine = angle_of(k, norm, same)
    p1, p2 = root1 / phi.decay, root2 / phi.decay

    def both_below(x: jax.Array, rest: jax.Array) -> jax.Array:
        return _both(p1 * jnp.sin(x), p2 * jnp.sin(rest))

    def one_below(x: jax.Array, rest: jax.Array) -> jax.Array:
        at1, at2 = jnp.sin(x), jnp.sin(rest)
        return root1 * at1 * _mixed(p2 * at2) + root2 * at2 * _mixed(p1 * at1)

    total = phi.above**2 * norm * (sine + (pi - theta) * cosine)
    total += phi.depth**2 * _over_angle(both_below, pi - theta)
    total += phi.above * phi.depth * _over_angle(one_below, theta)
    return _known(jnp.where(norm > 0, total / (2 * pi), 0), p1, p2)


def _dual_dot(phi: ExponentialLinear, k: jax.Array, root1: jax.Array, root2: jax.Array, same: Same) -> jax.Array:
    theta, _, _ = angle_of(k, root1 * root2, same)
    p1, p2, steepest = root1 / phi.decay, root2 / phi.decay, phi.depth / phi.decay

    def both_below(x: jax.Array, rest: jax.Array) -> jax.Array:
        return _damped(p1 * jnp.sin(x) + p2 * jnp.sin(rest))

    def one_below(x: jax.Array, rest: jax.Array) -> jax.Array:
        return _damped(p2 * jnp.sin(rest)) + _damped(p1 * jnp.sin(x))

    total = phi.above**2 * (pi - theta)
    total += steepest**2 * _over_angle(both_below, pi - theta)
    total += phi.above * steepest * _over_angle(one_below, theta)
    return _known(total / (2 * pi), p1, p2)


FAMILY = Family(root, _dual, _dual_dot)
