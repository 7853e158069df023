"""Forward passes of layer scale, biases and embeddings, and class tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ntc.ir import ops


def _layer_scale(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    return weights["g"] * x


def _bias(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    return x + weights["b"]


def _class_token(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    token = jnp.broadcast_to(weights["e"].astype(x.dtype), (len(x), *weights["e"].shape))
    both = (x, token) if op.last else (token, x)
    return jnp.concatenate(both, axis=1 + op.axis)


ROWS: Mapping[type[Any], Callable[..., jax.Array]] = {
    ops.LayerScale: _layer_scale,
    ops.Bias: _bias,
    ops.ClassToken: _class_token,
}
