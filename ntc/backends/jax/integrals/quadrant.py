"""Integrals of powers of two Gaussian variables over the quadrant in which both are above zero.

With (Y1, Y2) of means m1, m2, variances s11, s22 and covariance s12, A(m, n) = E[Y1^m Y2^n; Y1 > 0, Y2 > 0] obey, as
E[(Y1 - m1) f] = s11 E[df/dY1] + s12 E[df/dY2],

    A(m + 1, n) = m1 A(m, n) + s11 (m A(m - 1, n) + [m = 0] B(n)) + s12 (n A(m, n - 1) + [n = 0] C(m)),

where B(n) is the density of Y1 at zero times E[Y2^n; Y2 > 0 | Y1 = 0], and C(m) likewise. A(0, 0) is a chance, by
Owen's function (Owen 1956, eq. 2.3).

Two kinks P(y) w(y), Q(y) w'(y) at u and v of `ntc.ir.kinks`: the windows, times the density of u and v, are that of
other Gaussian variables, with variances v1 + v2 ... (see `_tilted`), and a factor.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.backends.jax.integrals.family import root, where
from ntc.backends.jax.integrals.hinges import owen
from ntc.ir.ops.hinges import FARTHEST


class Normal(NamedTuple):
    """Two Gaussian variables: means, variances, covariance, and the determinant of the covariance matrix."""

    m1: jax.Array
    m2: jax.Array
    s11: jax.Array
    s22: jax.Array
    s12: jax.Array
    determinant: jax.Array

    def swapped(self) -> Normal:
        """The variables in the other order."""
        return Normal(self.m2, self.m1, self.s22, self.s11, self.s12, self.determinant)


class Terms(NamedTuple):
    """Kinks as arrays: sign and distance (kinks), coefficients (kinks, powers), and 1 / width^2 (kinks)."""

    sign: jax.Array
    distance: jax.Array
    coefficients: jax.Array
    narrow: jax.Array


def of_terms(one: Terms, other: Terms, k: jax.Array, v1: jax.Array, v2: jax.Array, determinant: jax.Array) -> jax.Array:
    """E[K1(u) K2(v)] of one kink each (arrays without the axis of kinks), v1 and v2 above zero."""
    normal, factor = _tilted(one, other, one.sign * other.sign * k, v1, v2, determinant)
    moments = _moments(normal, one.coefficients.shape[0])
    total = jnp.zeros_like(k)
    for m, row in enumerate(moments):
        for n, moment in enumerate(row):
            total += one.coefficients[m] * other.coefficients[n] * moment
    return factor * total


def _tilted(
    one: Terms, other: Terms, k: jax.Array, v1: jax.Array, v2: jax.Array, determinant: jax.Array
) -> tuple[Normal, jax.Array]:
    """The variables y whose density is that of y times both windows, without a factor, which is the second result."""
    a, b, t, s = one.narrow, other.narrow, one.distance, other.distance
    d = 1 + a * v1 + b * v2 + a * b * determinant
    means = (k * b * s - (1 + b * v2) * t) / d, (k * a * t - (1 + a * v1) * s) / d
    normal = Normal(*means, (v1 + b * determinant) / d, (v2 + a * determinant) / d, k / d, determinant / d)
    power = (a * t**2 * (1 + b * v2) + b * s**2 * (1 + a * v1) - 2 * a * b * k * t * s) / d
    return normal, jnp.exp(-power / 2) / jnp.sqrt(d)


def _moments(x: Normal, count: int) -> list[list[jax.Array]]:
    """A(m, n) of m and n below count."""
    own1, own2 = (where(r > 0, r, 1.0) for r in (root(x.s11), root(x.s22)))
    h, g = (jnp.clip(-m / r, -FARTHEST, FARTHEST) for m, r in ((x.m1, own1), (x.m2, own2)))
    c, sine = jnp.clip(x.s12 / (own1 * own2), -1, 1), root(x.determinant) / (own1 * own2)
    beyond = _parts(h, g, c, sine)
    first, second = _edge(x, own1, beyond[0], count), _edge(x.swapped(), own2, beyond[1], count)
    found = [[_orthant(h, g, c, lax.stop_gradient(sine))]]
    for m in range(count):
        if m:
            found.append([_next(x, found, m - 1, 0, first, second)])
        for n in range(1, count):
            found[m].append(_next(x.swapped(), _transposed(found), n - 1, m, second, first))
    return found


def _transposed(rows: list[list[jax.Array]]) -> list[list[jax.Array]]:
    return [[row[n] for row in rows if n < len(row)] for n in range(len(rows[0]))]


def _next(
    x: Normal, known: list[list[jax.Array]], m: int, n: int, first: list[jax.Array], second: list[jax.Array]
) -> jax.Array:
    """A(m + 1, n)."""
    own = m * known[m - 1][n] if m else first[n]
    other = n * known[m][n - 1] if n else second[m]
    return x.m1 * known[m][n] + x.s11 * own + x.s12 * other


def _edge(x: Normal, own: jax.Array, z: jax.Array, count: int) -> list[jax.Array]:
    """B(n); own is the root of s11, and z what is zero in Y2 where Y1 is, in standard deviations."""
    deviation = root(x.determinant) / own
    mean = x.m2 - x.s12 / own * (x.m1 / own)
    density = jnp.exp(-((x.m1 / own) ** 2) / 2) / (sqrt(2 * pi) * own)
    found = [lax.erfc(z / sqrt(2)) / 2]
    for n in range(1, count):
        edge = deviation * jnp.exp(-(z**2) / 2) / sqrt(2 * pi) if n == 1 else (n - 1) * deviation**2 * found[n - 2]
        found.append(mean * found[n - 1] + edge)
    return [density * value for value in found]


def _ratio(x: jax.Array, below: jax.Array) -> jax.Array:
    """x / below, where below may be zero, within what matters to a Gaussian."""
    safe = where(below > 0, below, float(np.finfo(x.dtype).tiny) ** 0.5)
    return jnp.clip(x / safe, -2 * FARTHEST, 2 * FARTHEST)


def _parts(h: jax.Array, g: jax.Array, c: jax.Array, sine: jax.Array) -> tuple[jax.Array, jax.Array]:
    """g given U = h, and h given V = g, in standard deviations."""
    turn = jnp.sign(c)
    near = sine**2 / (1 + jnp.abs(c))  # 1 - |c|
    return _ratio(g - turn * h + turn * near * h, sine), _ratio(h - turn * g + turn * near * g, sine)


@jax.custom_jvp
def _orthant(h: jax.Array, g: jax.Array, c: jax.Array, sine: jax.Array) -> jax.Array:
    """P(U > h, V > g) at correlation c, of which sine is sqrt(1 - c^2)."""
    first, second = _parts(h, g, c, sine)
    tails = (lax.erfc(h / sqrt(2)) + lax.erfc(g / sqrt(2))) / 4
    turned = [where(x < 0, -owen(jnp.abs(x), y), owen(jnp.abs(x), y)) for x, y in ((h, first), (g, second))]
    apart = where((h < 0) != (g < 0), jnp.full_like(h, 0.5), 0.0)
    general = jnp.maximum(tails - turned[0] - turned[1] - apart, 0)
    middle = (pi - jnp.arctan2(sine, c)) / (2 * pi)
    return where((h == 0) & (g == 0), middle, general)


@_orthant.defjvp
def _orthant_jvp(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
    """By the correlation it is the density at (h, g): infinite at the ends, where it is set to zero."""
    h, g, c, sine = primals
    first, second = _parts(h, g, c, sine)
    density_h, density_g = (jnp.exp(-(x**2) / 2) / sqrt(2 * pi) for x in (h, g))
    safe = where(sine > 0, sine, 1.0)
    of_c = where(sine > 0, density_h * jnp.exp(-(first**2) / 2) / (sqrt(2 * pi) * safe), 0.0)
    of_h, of_g = -density_h * lax.erfc(first / sqrt(2)) / 2, -density_g * lax.erfc(second / sqrt(2)) / 2
    return _orthant(*primals), of_h * tangents[0] + of_g * tangents[1] + of_c * tangents[2]
