"""Integrals of polynomials and their halves."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from ntc.backends.jax.integrals.family import Family, Same, clamped, root, settled, variance, where
from ntc.backends.jax.integrals.relu import cosine_of, half_angle
from ntc.ir.ops import PolynomialFamily, RectifiedPower, Sign
from ntc.ir.ops.polynomial import moment_polynomials


def _value(coefficients: tuple[float, ...], x: jax.Array) -> jax.Array:
    """The value of a polynomial by Horner's rule."""
    value = jnp.zeros_like(x)
    for coefficient in reversed(coefficients):
        value = value * x + coefficient
    return value


def _products(phi: PolynomialFamily, v1: jax.Array, v2: jax.Array) -> list[jax.Array]:
    """q_l(v1) q_l(v2), by l."""
    return [_value(factor, v1 - phi.center) * _value(factor, v2 - phi.center) for factor in phi.factors]


def _horner(terms: list[jax.Array], k: jax.Array) -> jax.Array:
    total = jnp.zeros_like(k)
    for term in reversed(terms):
        total = total * k + term
    return total


def _dual(phi: PolynomialFamily, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    k, _ = settled(k, v1, v2, same)
    return _horner(_products(phi, v1, v2), k)


def _dual_dot(phi: PolynomialFamily, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    k, _ = settled(k, v1, v2, same)
    return _horner([level * term for level, term in enumerate(_products(phi, v1, v2))][1:], k)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _moment(n: int, cosine: jax.Array) -> jax.Array:
    """E[x^n y^n; x, y > 0] at unit variances and a correlation in [-1, 1]."""
    with_quadrant, with_sine = moment_polynomials(n)
    one = jnp.ones_like(cosine)
    sine = jnp.sqrt((1 - cosine) * (1 + cosine))
    return _value(with_quadrant, cosine) * half_angle(cosine, one, None) + _value(with_sine, cosine) * sine


@_moment.defjvp
def _moment_jvp(n: int, primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """The derivative of J_n / (2 pi) is n^2 J_(n-1) / (2 pi); of n = 0, zero at the ends, where it is infinite."""
    (cosine,), (tangent,) = primals, tangents
    if n > 0:
        return _moment(n, cosine), n**2 * _moment(n - 1, cosine) * tangent
    value, change = jax.jvp(lambda c: half_angle(c, jnp.ones_like(c), None), primals, tangents)
    return value, change


def _correlation(k: jax.Array, norm: jax.Array, same: Same) -> jax.Array:
    positive = norm > 0
    cosine = cosine_of(k, where(positive, norm, 1.0), same)
    return jnp.where(positive, clamped(cosine, -1, 1), 1)


def _half_dual(phi: RectifiedPower, k: jax.Array, root1: jax.Array, root2: jax.Array, same: Same) -> jax.Array:
    n, norm = phi.degree, root1 * root2
    moment = _moment(n, _correlation(k, norm, same))
    if n > 0:
        return norm**n * moment
    alone = jnp.where(jnp.maximum(root1, root2) > 0, 0.5, 1).astype(k.dtype)  # phi(0) = 1
    return jnp.where(norm > 0, moment, alone)


def _half_dual_dot(phi: RectifiedPower, k: jax.Array, root1: jax.Array, root2: jax.Array, same: Same) -> jax.Array:
    n, norm = phi.degree, root1 * root2
    if n == 0:
        return jnp.zeros_like(k)
    return n**2 * norm ** (n - 1) * _moment(n - 1, _correlation(k, norm, same))


def _sign_dual(phi: Sign, k: jax.Array, root1: jax.Array, root2: jax.Array, same: Same) -> jax.Array:
    norm = root1 * root2
    return jnp.where(norm > 0, 4 * _moment(0, _correlation(k, norm, same)) - 1, 0)


def _sign_dual_dot(phi: Sign, k: jax.Array, root1: jax.Array, root2: jax.Array, same: Same) -> jax.Array:
    return jnp.zeros_like(k)


POLYNOMIAL = Family(variance, _dual, _dual_dot)
RECTIFIED_MONOMIAL = Family(root, _half_dual, _half_dual_dot)
SIGN = Family(root, _sign_dual, _sign_dual_dot)
