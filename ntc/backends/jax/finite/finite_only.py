"""Forward passes of layers without a rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.ir import ops


def _max_pool(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    axes = op.kernel_op(x.shape[1:-1]).geometry(x.shape[1:-1])
    pads = [(0, 0), *(axis.pads for axis in axes), (0, 0)]
    if op.padding == "circular":
        x, pads = jnp.pad(x, pads, mode="wrap"), [(0, 0)] * x.ndim
    window, stride = (1, *(axis.window for axis in axes), 1), (1, *(axis.stride for axis in axes), 1)
    least = np.asarray(-np.inf, x.dtype)  # not traced, or JAX would not see a maximum and could not differentiate it
    largest: jax.Array = lax.reduce_window(x, least, lax.max, window, stride, pads)
    return largest


def _softmax(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    return jax.nn.softmax(x, axis=-1)


def _log_softmax(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    return jax.nn.log_softmax(x, axis=-1)


def _batch_norm(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    if op.mode == "test":
        return x / jnp.sqrt(jnp.asarray(op.variance + op.eps, x.dtype))
    axes = tuple(range(x.ndim - 1))
    centred = x - x.mean(axes)
    return centred / jnp.sqrt((centred**2).mean(axes) + op.eps)


ROWS: Mapping[type[Any], Callable[..., jax.Array]] = {
    ops.MaxPool: _max_pool,
    ops.Softmax: _softmax,
    ops.LogSoftmax: _log_softmax,
    ops.BatchNorm: _batch_norm,
}
