"""Integrals of relu and its kin."""

from __future__ import annotations

from collections.abc import Callable
from math import pi
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ntc.backends.jax.integrals.family import Family, Same, root, where
from ntc.backends.jax.integrals.minimax import HALF_ANGLE, HALF_SPACE, polynomial
from ntc.ir.hyper import is_number
from ntc.ir.ops import PiecewiseLinear


def angle_of(k: jax.Array, norm: jax.Array, same: Same) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The angle of correlation, its cosine and sine. A variance of zero counts as correlation one.

    At correlation +-1 the derivatives of angle and sine are infinite; they are set to zero there.
    """
    positive = norm > 0
    cosine = jnp.where(positive, k / jnp.where(positive, norm, 1), 1)
    if same is not None:
        cosine = jnp.where(same, 1, cosine)
    inside = jnp.abs(cosine) < 1
    cosine = jnp.clip(cosine, -1, 1)
    safe = jnp.where(inside, cosine, 0)
    angle = jnp.where(inside, jnp.arccos(safe), jnp.where(cosine > 0, 0, pi).astype(k.dtype))
    sine = jnp.where(inside, jnp.sqrt((1 - safe) * (1 + safe)), 0)
    return angle, cosine, sine


def _half_space(k: jax.Array, norm: jax.Array, same: Same = None) -> jax.Array:
    """(sin + (pi - angle) cos) / (2 pi) at the angle of correlation: the dual of relu at unit variances."""
    angle, cosine, sine = angle_of(k, norm, same)
    return (sine + (pi - angle) * cosine) / (2 * pi)


def _half_angle(k: jax.Array, norm: jax.Array, same: Same = None) -> jax.Array:
    """(pi - angle) / (2 pi): the dual_dot of relu."""
    return (pi - angle_of(k, norm, same)[0]) / (2 * pi)


def cosine_of(k: jax.Array, norm: jax.Array, same: Same) -> jax.Array:
    """The correlation, in [-1, 1] up to rounding."""
    cosine = where(norm > 0, k / norm, 1.0)
    return cosine if same is None else jnp.where(same, 1, cosine)


def _fast_half_space(k: jax.Array, norm: jax.Array, same: Same = None) -> jax.Array:
    """The same in float32 with one square root and one polynomial: max(cos, 0) / 2 + (sin - angle cos) / (2 pi)
    of the acute angle."""
    cosine = cosine_of(k, norm, same)
    size = lax.min(lax.abs(cosine), lax.full_like(cosine, 1))
    rest = 1 - size
    return where(cosine > 0, size, 0.0) / 2 + rest * lax.sqrt(rest) * polynomial(HALF_SPACE, size)


def _fast_half_angle(k: jax.Array, norm: jax.Array, same: Same = None) -> jax.Array:
    cosine = cosine_of(k, norm, same)
    size = lax.min(lax.abs(cosine), lax.full_like(cosine, 1))
    acute = lax.sqrt(1 - size) * polynomial(HALF_ANGLE, size)
    return where(cosine < 0, acute, 0.5 - acute)


_Integral = Callable[..., jax.Array]
"""Of (k, norm, same)."""


def _differentiable(exact: _Integral, fast: _Integral, slope: _Integral) -> _Integral:
    """`fast` for float32, else `exact`; `slope` is the derivative by the correlation.

    An entry with itself, and one of variance zero, keep a correlation of one whatever the inputs.
    """

    def value(k: jax.Array, norm: jax.Array, same: Same = None) -> jax.Array:
        return (fast if k.dtype == jnp.float32 else exact)(k, norm, same)

    def derivative(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
        (k, norm, same), (dk, dnorm, _) = primals, tangents
        fixed = norm <= 0 if same is None else same | (norm <= 0)
        safe = where(fixed, 1.0, norm)
        change = (dk - cosine_of(k, safe, None) * dnorm) / safe
        return differentiable(*primals), slope(k, norm, same) * jnp.where(fixed, 0, change)

    differentiable = jax.custom_jvp(value)
    differentiable.defjvp(derivative)
    once = jax.jit(differentiable)  # traced once for all layers of one shape

    def function(k: jax.Array, norm: jax.Array, same: Same = None) -> jax.Array:
        form = once if k.dtype == jnp.float32 else differentiable
        return form(k, norm) if same is None else form(k, norm, same)

    return function


def _inverse_sine(k: jax.Array, norm: jax.Array, same: Same = None) -> jax.Array:
    """1 / (2 pi sin), the derivative of half_angle by the correlation; zero at +-1, where the integral has a cusp."""
    cosine = cosine_of(k, norm, same)
    square = (1 - cosine) * (1 + cosine)
    inside = square > 0
    return jnp.where(inside, 1 / (2 * pi * jnp.sqrt(jnp.where(inside, square, 1))), 0)


_dual_dot_of_relu = _differentiable(_half_angle, _fast_half_angle, _inverse_sine)
_dual_of_relu = _differentiable(_half_space, _fast_half_space, _dual_dot_of_relu)


def half_space(k: jax.Array, norm: jax.Array, same: Same = None) -> jax.Array:
    """(sin + (pi - angle) cos) / (2 pi): the mean of the product of both variables where they are above zero."""
    return _dual_of_relu(k, norm, same)


def half_angle(k: jax.Array, norm: jax.Array, same: Same = None) -> jax.Array:
    """(pi - angle) / (2 pi): the probability that both variables are above zero."""
    return _dual_dot_of_relu(k, norm, same)


def _piecewise_linear_dual(
    phi: PiecewiseLinear, k: jax.Array, root1: jax.Array, root2: jax.Array, same: Same
) -> jax.Array:
    a, b = phi.slopes
    norm = root1 * root2
    if same is True:
        return (a**2 + b**2) / 2 * norm
    if is_number(a, b):
        return a**2 * k
    exact = k if same is None else jnp.where(same, norm, k)
    dual = (b - a) ** 2 * norm * _dual_of_relu(k, norm, same)
    return dual if is_number(a * b, 0) else dual + a * b * exact


def _piecewise_linear_dual_dot(
    phi: PiecewiseLinear, k: jax.Array, root1: jax.Array, root2: jax.Array, same: Same
) -> jax.Array:
    a, b = phi.slopes
    if same is True:
        return jnp.full_like(k, (a**2 + b**2) / 2)
    if is_number(a, b):
        return jnp.full_like(k, a**2)
    return (b - a) ** 2 * _dual_dot_of_relu(k, root1 * root2, same) + a * b


FAMILY = Family(root, _piecewise_linear_dual, _piecewise_linear_dual_dot)
