"""Expressions of x on JAX arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.ir.expression import Expression, evaluate
from ntc.ir.numpy_functions import SINC_NEAR, sinc_series


def _sinc(order: int) -> Callable[[jax.Array], jax.Array]:
    """Derivative `order` of sin(y) / y, as in `ntc.ir.numpy_functions`."""
    series = sinc_series(order)

    def function(y: jax.Array) -> jax.Array:
        near = jnp.abs(y) < SINC_NEAR
        small, large = jnp.where(near, y, 0), jnp.where(near, SINC_NEAR, y)
        value = jnp.zeros_like(small)
        for coefficient in reversed(series):
            value = value * small**2 + coefficient
        value = value * small if order % 2 else value
        beyond = jnp.sin(large) / large
        for n in range(1, order + 1):
            beyond = (jnp.sin(large + n * np.pi / 2) - n * beyond) / large
        return jnp.where(near, value, beyond)

    return function


EXPRESSIONS: Mapping[str, Callable[..., jax.Array]] = {
    "exp": jnp.exp,
    "expm1": jnp.expm1,
    "log": jnp.log,
    "log1p": jnp.log1p,
    "sqrt": jnp.sqrt,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "erf": lax.erf,
    "erfc": lax.erfc,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "sinc": _sinc(0),
    **{f"sinc{n}": _sinc(n) for n in range(1, 9)},
    "atan": jnp.arctan,
    "asinh": jnp.arcsinh,
    "abs": jnp.abs,
    "relu": lambda x: jnp.maximum(x, 0),
    "sign": jnp.sign,
    "floor": jnp.floor,
    "min": jnp.minimum,
    "max": jnp.maximum,
    "where": jnp.where,
}
"""The functions of expressions on arrays."""


def on_arrays(body: Expression, x: jax.Array) -> jax.Array:
    """The values of an expression, of the shape and type of x."""
    return jnp.broadcast_to(jnp.asarray(evaluate(body, x, EXPRESSIONS), x.dtype), x.shape)
