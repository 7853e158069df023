"""Forward passes of nonlinearities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import sqrt
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.backends.jax.expressions import on_arrays
from ntc.errors import UnsupportedError
from ntc.ir import ops
from ntc.ir.ops.activation import PiecewiseLinear

Weights = Mapping[str, jax.Array]


def _piecewise_linear(op: Any, weights: Weights, x: jax.Array) -> jax.Array:
    below, above = op.slopes
    y: jax.Array = below * jnp.minimum(x, 0) + above * jnp.maximum(x, 0)
    return y


def _erf(op: Any, weights: Weights, x: jax.Array) -> jax.Array:
    y: jax.Array = op.a * lax.erf(op.b * x) + op.c
    return y


def _gelu(op: Any, weights: Weights, x: jax.Array) -> jax.Array:
    y: jax.Array = x * lax.erfc(-x / sqrt(2)) / 2
    return y


def _sign(op: Any, weights: Weights, x: jax.Array) -> jax.Array:
    return jnp.sign(x)


def _sin(op: Any, weights: Weights, x: jax.Array) -> jax.Array:
    y: jax.Array = op.a * jnp.sin(op.b * x + op.c)
    return y


def _cos(op: Any, weights: Weights, x: jax.Array) -> jax.Array:
    y: jax.Array = op.a * jnp.cos(op.b * x + op.c)
    return y


def _rbf(op: Any, weights: Weights, x: jax.Array) -> jax.Array:
    y: jax.Array = sqrt(2) * jnp.sin((2 * op.gamma) ** 0.5 * x + np.pi / 4)
    return y


def _gabor(op: Any, weights: Weights, x: jax.Array) -> jax.Array:
    return jnp.exp(-(x**2)) * jnp.sin(x)


def _gaussian(op: Any, weights: Weights, x: jax.Array) -> jax.Array:
    y: jax.Array = op.a * jnp.exp(op.b * x**2)
    return y


def _exp(op: Any, weights: Weights, x: jax.Array) -> jax.Array:
    y: jax.Array = op.a * jnp.exp(op.b * x)
    return y


def _exp_normalized(op: Any, weights: Weights, x: jax.Array) -> jax.Array:
    square = jnp.mean(x**2, axis=-1, keepdims=True)
    positive = square > 0
    size = jnp.sqrt(jnp.where(positive, square, 1))
    y = size * jnp.exp(op.gamma**0.5 * x / size + op.gamma * (op.shift - 1) / 2)
    return jnp.where(positive, y, 0)


def _polynomial(op: Any, weights: Weights, x: jax.Array) -> jax.Array:
    y = jnp.zeros_like(x)
    for coefficient in reversed(op.coefficients):
        y = y * x + coefficient
    return y


def _monomial(op: Any, weights: Weights, x: jax.Array) -> jax.Array:
    y: jax.Array = x**op.degree
    return y


def _rectified_monomial(op: Any, weights: Weights, x: jax.Array) -> jax.Array:
    return jnp.where(x >= 0, x**op.degree, 0)


def _hermite(op: Any, weights: Weights, x: jax.Array) -> jax.Array:
    """By the recurrence sqrt(n + 1) h_(n+1) = x h_n - sqrt(n) h_(n-1)."""
    below, y = jnp.zeros_like(x), jnp.ones_like(x)
    for n in range(op.degree):
        below, y = y, (x * y - sqrt(n) * below) / sqrt(n + 1)
    return y


def _hinges(op: Any, weights: Weights, x: jax.Array) -> jax.Array:
    kinks = (one.weight * jnp.maximum(one.sign * x - one.distance, 0) for one in op.hinges)
    y: jax.Array = sum(kinks, op.slope * x)
    return y


def _formula(op: Any, weights: Weights, x: jax.Array) -> jax.Array:
    return on_arrays(op.body, x)


def _given(op: Any, weights: Weights, x: jax.Array) -> jax.Array:
    raise UnsupportedError(f"{op.name} has no finite networks: only its integrals are given")


def row_of(op: Any) -> Callable[..., jax.Array]:
    """The forward pass of a nonlinearity, or of the family it belongs to."""
    return next(ROWS[cls] for cls in type(op).__mro__ if cls in ROWS)


def _exponential_linear(op: Any, weights: Weights, x: jax.Array) -> jax.Array:
    below: jax.Array = op.depth * jnp.expm1(jnp.minimum(x, 0) / op.decay)
    y: jax.Array = op.above * jnp.maximum(x, 0) + below
    return y


ROWS: Mapping[type[Any], Callable[..., jax.Array]] = {
    PiecewiseLinear: _piecewise_linear,
    ops.ErrorFunction: _erf,
    ops.Gelu: _gelu,
    ops.Sign: _sign,
    ops.Sin: _sin,
    ops.Cos: _cos,
    ops.Rbf: _rbf,
    ops.Gabor: _gabor,
    ops.Gaussian: _gaussian,
    ops.Exp: _exp,
    ops.ExpNormalized: _exp_normalized,
    ops.Polynomial: _polynomial,
    ops.Monomial: _monomial,
    ops.RectifiedPower: _rectified_monomial,
    ops.Hermite: _hermite,
    ops.Analytic: _formula,
    ops.Kinked: _formula,
    ops.Hinges: _hinges,
    ops.ExponentialLinear: _exponential_linear,
    ops.CustomActivation: _formula,
    ops.GivenActivation: _given,
}
