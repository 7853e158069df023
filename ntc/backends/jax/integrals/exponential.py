"""Integrals of exponentials, sinusoids and Gaussians."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ntc.backends.jax.integrals.family import Family, Same, clamped, root, settled, variance, where
from ntc.backends.jax.integrals.relu import cosine_of
from ntc.backends.jax.integrals.single import in_single, per_example
from ntc.ir.hyper import is_known, is_number
from ntc.ir.ops import Exp, ExpNormalized, Gabor, Gaussian, Rbf, Sinusoid


def _odd_wave(k: jax.Array, total: jax.Array) -> jax.Array:
    """exp(-total / 2) sinh(k), total = v1 + v2: E[sin(u) sin(v)], without overflow or cancellation.

    One of the two terms is zero, as is its part of k.
    """
    above, below = jnp.maximum(k, 0), jnp.minimum(k, 0)
    positive = -jnp.exp(above - total / 2) * jnp.expm1(-2 * above)
    negative = jnp.exp(-below - total / 2) * jnp.expm1(2 * below)
    return (positive + negative) / 2


def _waves(s: Any, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    """E[sin(u) sin(v)] of variables with s times these covariances."""
    k, _ = settled(k, v1, v2, same)
    return _odd_wave(s * k, s * (v1 + v2))


_NEAR = 0.25
"""Below, sinh is three terms of its series: the next is 5e-8 of it."""


def _fast_waves(s: Any, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    """The difference of two exponentials, or a series where that would cancel."""
    k, _ = settled(k, v1, v2, same)
    decay1, decay2 = per_example(k, lambda v: jnp.exp(-s * v / 2), v1, v2)
    x, total = s * k, s * (v1 + v2)
    near = x * (1 + x * x * (1 / 6 + x * x / 120)) * (decay1 * decay2)
    apart = (jnp.exp(x - total / 2) - jnp.exp(-x - total / 2)) / 2
    return where(lax.abs(x) < _NEAR, near, apart)


_waves_of = in_single(_waves, _fast_waves)


def _mixed(phi: Sinusoid, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same, weight: Any) -> jax.Array:
    square = phi.b**2
    odd = _waves_of(square, k, v1, v2, same)
    if is_number(weight, 0):
        return odd
    k, _ = settled(k, v1, v2, same)
    even: jax.Array = weight * jnp.exp(-(square * k) - square * (v1 + v2) / 2)  # as in `_fast_waves`
    return odd + even


def _weight(phi: Sinusoid) -> Any:
    return phi.weight if is_known(phi.phase) else jnp.sin(phi.phase) ** 2


def _sinusoid_dual(phi: Sinusoid, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    return phi.a**2 * _mixed(phi, k, v1, v2, same, _weight(phi))


def _sinusoid_dual_dot(phi: Sinusoid, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    return (phi.a * phi.b) ** 2 * _mixed(phi, k, v1, v2, same, 1 - _weight(phi))


def _rbf_dual(phi: Rbf, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    k, _ = settled(k, v1, v2, same)
    return jnp.exp(-phi.gamma * clamped(v1 + v2 - 2 * k, 0, None))


def _rbf_dual_dot(phi: Rbf, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    return 2 * phi.gamma * _rbf_dual(phi, k, v1, v2, same)


def _gabor_dual(phi: Gabor, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    k, gap = settled(k, v1, v2, same)
    d = 1 + 2 * (v1 + v2) + 4 * gap
    return _odd_wave(k / d, (v1 + v2 + 4 * gap) / d) / jnp.sqrt(d)


def _gabor_dual_dot(phi: Gabor, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    k, gap = settled(k, v1, v2, same)
    total = v1 + v2
    d = 1 + 2 * total + 4 * gap
    sines = _odd_wave(k / d, (total + 4 * gap) / d)
    cosines = sines + jnp.exp(-((total + 4 * gap) / 2 + k) / d)
    p, q = 1 + 2 * total + 4 * (v1 * v2 + k**2), 4 * k * (2 + 3 * total + 4 * gap)
    return (p / d * cosines + q / d * sines) / (d * jnp.sqrt(d))


def _determinant(phi: Gaussian, gap: jax.Array, v1: jax.Array, v2: jax.Array) -> jax.Array:
    """NaN where there is no integral, which is so for b > 0 alone."""
    found = 1 - 2 * phi.b * (v1 + v2) + 4 * phi.b**2 * gap
    if is_known(phi.b) and phi.b <= 0:
        return found
    return jnp.where((found > 0) & (2 * phi.b * jnp.maximum(v1, v2) < 1), found, jnp.nan)


def _gaussian_dual(phi: Gaussian, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    _, gap = settled(k, v1, v2, same)
    return phi.a**2 / jnp.sqrt(_determinant(phi, gap, v1, v2))


def _gaussian_dual_dot(phi: Gaussian, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    k, gap = settled(k, v1, v2, same)
    determinant = _determinant(phi, gap, v1, v2)
    return 4 * (phi.a * phi.b) ** 2 * k / (determinant * jnp.sqrt(determinant))


def _exp_dual(phi: Exp, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    k, _ = settled(k, v1, v2, same)
    return phi.a**2 * jnp.exp(phi.b**2 * ((v1 + v2) / 2 + k))


def _exp_dual_dot(phi: Exp, k: jax.Array, v1: jax.Array, v2: jax.Array, same: Same) -> jax.Array:
    return phi.b**2 * _exp_dual(phi, k, v1, v2, same)


def _normalized(phi: ExpNormalized, k: jax.Array, norm: jax.Array, same: Same) -> jax.Array:
    positive = norm > 0
    cosine = cosine_of(k, where(positive, norm, 1.0), same)
    cosine = jnp.where(positive, clamped(cosine, -1, 1), 1)
    return jnp.exp(phi.gamma * (cosine + phi.shift))


def _normalized_dual(phi: ExpNormalized, k: jax.Array, root1: jax.Array, root2: jax.Array, same: Same) -> jax.Array:
    norm = root1 * root2
    return norm * _normalized(phi, k, norm, same)


def _normalized_dual_dot(phi: ExpNormalized, k: jax.Array, root1: jax.Array, root2: jax.Array, same: Same) -> jax.Array:
    return phi.gamma * _normalized(phi, k, root1 * root2, same)


SINUSOID = Family(variance, _sinusoid_dual, _sinusoid_dual_dot)
RBF = Family(variance, _rbf_dual, _rbf_dual_dot)
GABOR = Family(variance, _gabor_dual, _gabor_dual_dot)
GAUSSIAN = Family(variance, _gaussian_dual, _gaussian_dual_dot)
EXP = Family(variance, _exp_dual, _exp_dual_dot)
EXP_NORMALIZED = Family(root, _normalized_dual, _normalized_dual_dot)
