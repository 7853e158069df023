"""Gaussian integrals of the nonlinearities in JAX, stable in float32, finite and differentiable at the ends.

One row per family of nonlinearities. What depends on one example alone is computed once per example and not per
pair: `marginal` of its variances; `dual` and `dual_dot` take that of both examples. `same` marks the entries of an
example and position with themselves, whose correlation is one whatever the rounding of k: None if there are none,
True if there are no others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import pi
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ntc.backends.jax.polynomials import HALF_ANGLE, HALF_SPACE, polynomial
from ntc.ir.op import Activation
from ntc.ir.ops import Erf, LayerNorm, PiecewiseLinear

Same = Any
Integral = Callable[[Any, jax.Array, jax.Array, jax.Array, Same], jax.Array]


@dataclass(frozen=True)
class Family:
    """How the integrals of a family of nonlinearities are computed: (phi, k, m1, m2, same) -> integral."""

    marginal: Callable[[jax.Array], jax.Array]
    dual: Integral
    dual_dot: Integral


def _where(condition: jax.Array, x: jax.Array | float, y: jax.Array | float) -> jax.Array:
    """`jnp.where` of arrays of one shape, or numbers: it is traced and lowered in a fraction of the time."""
    array = x if isinstance(x, jax.Array) else y
    return lax.select(condition, *(z if isinstance(z, jax.Array) else lax.full_like(array, z) for z in (x, y)))


def _root(v: jax.Array) -> jax.Array:
    """Square root, with derivative zero at zero."""
    positive = v > 0
    return _where(positive, lax.sqrt(_where(positive, v, 1.0)), 0.0)


def _angle(k: jax.Array, norm: jax.Array, same: Same) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The angle of correlation, its cosine and sine. A variance of zero counts as correlation one.

    At correlation +-1 the derivatives of angle and sine are infinite but cancel in the integrals; they are set
    to zero there.
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
    angle, cosine, sine = _angle(k, norm, same)
    return (sine + (pi - angle) * cosine) / (2 * pi)


def _half_angle(k: jax.Array, norm: jax.Array, same: Same = None) -> jax.Array:
    """(pi - angle) / (2 pi): the dual_dot of relu."""
    return (pi - _angle(k, norm, same)[0]) / (2 * pi)


def _cosine(k: jax.Array, norm: jax.Array, same: Same) -> jax.Array:
    """The correlation, in [-1, 1] up to rounding."""
    cosine = _where(norm > 0, k / norm, 1.0)
    return cosine if same is None else jnp.where(same, 1, cosine)


def _fast_half_space(k: jax.Array, norm: jax.Array, same: Same = None) -> jax.Array:
    """The same in float32 with one square root and one polynomial: max(cos, 0) / 2 + (sin - angle cos) / (2 pi)
    of the acute angle."""
    cosine = _cosine(k, norm, same)
    size = lax.min(lax.abs(cosine), lax.full_like(cosine, 1))
    rest = 1 - size
    return _where(cosine > 0, size, 0.0) / 2 + rest * lax.sqrt(rest) * polynomial(HALF_SPACE, size)


def _fast_half_angle(k: jax.Array, norm: jax.Array, same: Same = None) -> jax.Array:
    cosine = _cosine(k, norm, same)
    size = lax.min(lax.abs(cosine), lax.full_like(cosine, 1))
    acute = lax.sqrt(1 - size) * polynomial(HALF_ANGLE, size)
    return _where(cosine < 0, acute, 0.5 - acute)


def _in_float32(exact: Callable[..., jax.Array], fast: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """`fast` for float32, with the derivatives of `exact`; else `exact`."""
    differentiable = jax.custom_jvp(fast)
    once = jax.jit(differentiable)  # traced once for all layers of one shape

    def derivative(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
        return jax.jvp(lambda k, norm: exact(k, norm, *primals[2:]), primals[:2], tangents[:2])

    differentiable.defjvp(derivative)

    def function(k: jax.Array, norm: jax.Array, same: Same) -> jax.Array:
        form = once if k.dtype == jnp.float32 else exact
        return form(k, norm) if same is None else form(k, norm, same)

    return function


_dual_of_relu = _in_float32(_half_space, _fast_half_space)
_dual_dot_of_relu = _in_float32(_half_angle, _fast_half_angle)


def _piecewise_linear_dual(
    phi: PiecewiseLinear, k: jax.Array, root1: jax.Array, root2: jax.Array, same: Same
) -> jax.Array:
    a, b = phi.slopes
    norm = root1 * root2
    if same is True:
        return (a**2 + b**2) / 2 * norm
    if a == b:
        return a**2 * k
    exact = k if same is None else jnp.where(same, norm, k)
    dual = (b - a) ** 2 * norm * _dual_of_relu(k, norm, same)
    return dual if a * b == 0 else dual + a * b * exact


def _piecewise_linear_dual_dot(
    phi: PiecewiseLinear, k: jax.Array, root1: jax.Array, root2: jax.Array, same: Same
) -> jax.Array:
    a, b = phi.slopes
    if same is True:
        return jnp.full_like(k, (a**2 + b**2) / 2)
    if a == b:
        return jnp.full_like(k, a**2)
    return (b - a) ** 2 * _dual_dot_of_relu(k, root1 * root2, same) + a * b


def _erf_determinant(s: float, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    """(1 + s v1) (1 + s v2) - s^2 k^2, summed without cancellation: it is never below 1."""
    gap = jnp.maximum(v1 * v2 - k**2, 0)
    if same is not None:
        gap = jnp.where(same, 0, gap)
    return 1 + s * (v1 + v2) + s**2 * gap


def _erf_dual(phi: Erf, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    """asin(s k / sqrt(p)) = atan2(s k, sqrt(p - s^2 k^2)), which keeps its digits near one."""
    s = 2 * phi.b**2
    angle = jnp.arctan2(s * k, jnp.sqrt(_erf_determinant(s, k, v1, v2, same)))
    return 2 / pi * phi.a**2 * angle + phi.c**2


def _erf_dual_dot(phi: Erf, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    s = 2 * phi.b**2
    return 2 / pi * phi.a**2 * s / jnp.sqrt(_erf_determinant(s, k, v1, v2, same))


def _normalized(phi: LayerNorm, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    return k * _normalizer(phi, k, v1, v2, same)


def _normalizer(phi: LayerNorm, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    """1 / sqrt((v1 + eps) (v2 + eps)), of which each root is of one example, and whose product may underflow."""
    return jnp.broadcast_to(1 / lax.sqrt(v1 + phi.eps) / lax.sqrt(v2 + phi.eps), k.shape)


FAMILIES: Mapping[type[Any], Family] = {
    PiecewiseLinear: Family(_root, _piecewise_linear_dual, _piecewise_linear_dual_dot),
    Erf: Family(lambda v: v, _erf_dual, _erf_dual_dot),
    LayerNorm: Family(lambda v: v, _normalized, _normalizer),
}


def family(phi: Activation) -> Family:
    """The row of a nonlinearity, or of the family it belongs to."""
    return next(FAMILIES[cls] for cls in type(phi).__mro__ if cls in FAMILIES)
