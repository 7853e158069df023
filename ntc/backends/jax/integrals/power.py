"""Integrals of powers of the absolute value: functions of the correlation alone, which are interpolated.

Away from one, by their power series in z = c^2; near one by those in 1 - z (DLMF 15.8.4), of which there are two with
powers that are q + 1 / 2 apart. Where that is a whole number there is a logarithm, and a polynomial of log(1 - |c|) is
fitted.
"""

from __future__ import annotations

from functools import lru_cache
from math import gamma, log, pi

import jax
import jax.numpy as jnp
import numpy as np
from numpy.polynomial import Chebyshev

from ntc.backends.jax.integrals.family import Family, Same, root, where
from ntc.backends.jax.integrals.gap import gap
from ntc.ir.op import Array
from ntc.ir.ops import PowerLaw
from ntc.ir.ops.power import even, odd

_NEAR = 0.25
"""1 - |c| below which it is near one."""

_CLOSEST = 1e-17
_CLOSEST_OF_LOGARITHM = 1e-14
"""Where the polynomial ends: below, a logarithm goes on as one."""

_DEGREE = 90
_TERMS = 64


def _closest(q: float) -> float:
    return _CLOSEST_OF_LOGARITHM if q == -0.5 else _CLOSEST


@lru_cache(maxsize=64)
def _chebyshev(is_odd: bool, q: float) -> tuple[float, ...]:
    """Of f(1 - near) in log(near)."""

    def values(t: Array) -> Array:
        return (odd if is_odd else even)(q, 2 * np.arcsin(np.sqrt(np.exp(t) / 2)))

    return tuple(Chebyshev.interpolate(values, _DEGREE, domain=[log(_closest(q)), log(_NEAR)]).coef.tolist())


def _inverse_gamma(x: float) -> float:
    return 0.0 if x <= 0 and x == round(x) else 1 / gamma(x)


def _has_logarithm(q: float) -> bool:
    """Whether q + 1 / 2 is a whole number, or so close to one that both series cancel."""
    return abs(q + 0.5 - round(q + 0.5)) < 1e-4


@lru_cache(maxsize=64)
def _two_series(is_odd: bool, q: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """In powers of 1 - z: of f, or f / c, the analytic part, and that with a factor (1 - z)^(q + 1 / 2)."""
    a, c = _parameters(is_odd, q)
    at_zero, apart = _series(is_odd, q)[0] * gamma(c), c - 2 * a
    found = []
    for first, power, factor in (
        (a, -apart, gamma(apart) * _inverse_gamma(c - a) ** 2),
        (c - a, apart, gamma(-apart) * _inverse_gamma(a) ** 2),
    ):
        terms = [float(at_zero * factor)]
        for n in range(_TERMS):
            terms.append(terms[-1] * (first + n) ** 2 / (power + 1 + n) / (n + 1))
        found.append(tuple(terms))
    return found[0], found[1]


def _parameters(is_odd: bool, q: float) -> tuple[float, float]:
    """a and c of the hypergeometric function F(a, a; c; z)."""
    return ((1 - q) / 2, 1.5) if is_odd else (-q / 2, 0.5)


@lru_cache(maxsize=64)
def _series(is_odd: bool, q: float) -> tuple[float, ...]:
    """Of f(c), or f(c) / c, in powers of c^2."""
    a, c = _parameters(is_odd, q)
    found = [2 ** (q + 1) * gamma(q / 2 + 1) ** 2 / pi if is_odd else 2**q * gamma((q + 1) / 2) ** 2 / pi]
    for n in range(_TERMS):
        found.append(found[-1] * (a + n) ** 2 / (c + n) / (n + 1))
    return tuple(found)


def _value(is_odd: bool, q: float, cosine: jax.Array, near: jax.Array) -> jax.Array:
    """G_q or H_q; near is 1 - |c|."""
    size = jnp.minimum(1 - near, 1 - _NEAR + 0.01)
    total = _horner(_series(is_odd, q), size**2)
    total = total * size if is_odd else total
    close = (_close if _has_logarithm(q) else _beside_one)(is_odd, q, near)
    found = where(near < _NEAR, close, total)
    return where(cosine < 0, -found, found) if is_odd else found


def _horner(coefficients: tuple[float, ...], x: jax.Array) -> jax.Array:
    total = jnp.zeros_like(x)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total


def _beside_one(is_odd: bool, q: float, near: jax.Array) -> jax.Array:
    near = jnp.minimum(near, _NEAR)
    rest = near * (2 - near)  # 1 - z
    positive = rest > 0
    analytic, other = (_horner(x, rest) for x in _two_series(is_odd, q))
    factor = where(positive, where(positive, rest, 1.0) ** (q + 0.5), 0.0 if q > -0.5 else jnp.inf)
    value = analytic + factor * other
    return value * (1 - near) if is_odd else value


def _close(is_odd: bool, q: float, near: jax.Array) -> jax.Array:
    inside = jnp.clip(near, _closest(q), _NEAR)
    low, high = log(_closest(q)), log(_NEAR)
    t = (2 * jnp.log(inside) - low - high) / (high - low)
    above, here = jnp.zeros_like(t), jnp.zeros_like(t)
    coefficients = _chebyshev(is_odd, q)
    for coefficient in reversed(coefficients[1:]):
        above, here = here, 2 * t * here - above + coefficient
    value = t * here - above + coefficients[0]
    if q > -0.5:
        return value
    safe = where(near > 0, near, 1.0)
    a, c = _parameters(is_odd, q)
    steep = gamma(c) / gamma(a) ** 2 * _series(is_odd, q)[0]
    return where(near > 0, value - steep * (jnp.log(jnp.minimum(safe, inside)) - jnp.log(inside)), jnp.inf)


def _correlation(k: jax.Array, root1: jax.Array, root2: jax.Array, same: Same) -> tuple[jax.Array, ...]:
    """The product of roots, the correlation, and what it is short of one or minus one."""
    k, root1, root2 = jnp.broadcast_arrays(k, root1, root2)
    norm = root1 * root2
    safe = where(norm > 0, norm, 1.0)
    cosine = jnp.clip(where(norm > 0, k / safe, 1.0), -1, 1)
    short = where(norm > 0, gap(k, root1**2, root2**2), 0.0)
    if same is not None:
        cosine, short = jnp.where(same, 1, cosine), jnp.where(same, 0, short)
    near = short / safe**2 / (1 + jnp.abs(cosine))
    return norm, cosine, jnp.minimum(near, 1)


def _mixed(first: tuple[bool, float], second: tuple[bool, float], q: float, c: jax.Array, near: jax.Array) -> jax.Array:
    """The sum of weights times G_q or H_q, those that are not zero."""
    total = jnp.zeros_like(c)
    for is_odd, weight in (first, second):
        if weight:
            total += weight * _value(is_odd, q, c, near)
    return total


def _dual(phi: PowerLaw, k: jax.Array, root1: jax.Array, root2: jax.Array, same: Same) -> jax.Array:
    (e, o), p = phi.halves, phi.exponent
    norm, cosine, near = _correlation(k, root1, root2, same)
    found = _mixed((False, e**2), (True, o**2), p, cosine, near)
    return where(norm > 0, where(norm > 0, norm, 1.0) ** p * found, 0.0)


def _dual_dot(phi: PowerLaw, k: jax.Array, root1: jax.Array, root2: jax.Array, same: Same) -> jax.Array:
    (e, o), q = phi.halves, phi.exponent - 1
    norm, cosine, near = _correlation(k, root1, root2, same)
    found = _mixed((True, e**2), (False, o**2), q, cosine, near)
    return where(norm > 0, (q + 1) ** 2 * where(norm > 0, norm, 1.0) ** q * found, 0.0)


FAMILY = Family(root, _dual, _dual_dot)
