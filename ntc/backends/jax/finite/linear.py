"""Forward passes of linear layers without weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.ir import ops
from ntc.ir.sliding import Sliding


def _identity(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    return x


def _flatten(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    return x.reshape(x.shape[0], -1)


def _index(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    position = tuple(n // 2 for n in x.shape[1:-1]) if op.position == "center" else op.position
    return x[(slice(None), *position)]


def _avg_pool(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    total = _window_sum(op, x)
    if op.normalize_edges and op.padding == "same":
        return total / _window_sum(op, jnp.ones_like(x))
    return total / prod(axis.window for axis in _geometry(op, x))


def _sum_pool(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    return _window_sum(op, x)


def _window_sum(op: Any, x: jax.Array) -> jax.Array:
    axes = _geometry(op, x)
    pads = [(0, 0), *(axis.pads for axis in axes), (0, 0)]
    if op.padding == "circular":
        x, pads = jnp.pad(x, pads, mode="wrap"), [(0, 0)] * x.ndim
    window, stride = (1, *(axis.window for axis in axes), 1), (1, *(axis.stride for axis in axes), 1)
    zero = np.zeros((), x.dtype)  # not traced, or JAX would not see a sum and could not differentiate it
    total: jax.Array = lax.reduce_window(x, zero, lax.add, window, stride, pads)
    return total


def _geometry(op: Any, x: jax.Array) -> tuple[Sliding, ...]:
    spatial = x.shape[1:-1]
    geometry: tuple[Sliding, ...] = op.kernel_op(spatial).geometry(spatial)
    return geometry


def _global_avg_pool(
    op: Any, weights: Mapping[str, jax.Array], x: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
    axes = tuple(range(1, x.ndim - 1))
    return x.mean(axes) if mask is None else x.sum(axes) / jnp.maximum(mask[..., None].sum(axes), 1)


def _global_sum_pool(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    return x.sum(tuple(range(1, x.ndim - 1)))


def _aggregate(op: Any, weights: Mapping[str, jax.Array], x: jax.Array, packed: jax.Array) -> jax.Array:
    """`packed` is the input with its pattern in the last channels."""
    spatial = x.shape[1:-1]
    rule = op.kernel_op(spatial)
    return summed(rule, rule.patterns(packed, spatial), x)


def summed(rule: Any, patterns: jax.Array, x: jax.Array) -> jax.Array:
    """x (n, *spatial, channels) times the matrix of every example, as `ntc.ir.kernel.EdgeSum` has the axes."""
    moved = [1 + axis for axis in rule.axes]
    left = [axis for axis in range(x.ndim) if axis not in moved]
    apart = x.transpose(*left, *moved)
    kept = apart.shape[: len(left)]
    y = jnp.einsum("nij,n...i->n...j", patterns, apart.reshape(*kept, -1), precision=lax.Precision.HIGHEST)
    if rule.outputs is None:
        return y.reshape(apart.shape).transpose([[*left, *moved].index(axis) for axis in range(x.ndim)])
    return jnp.moveaxis(y.reshape(*kept, *rule.outputs), len(left) - 1, -1)


ROWS: Mapping[type[Any], Callable[..., jax.Array]] = {
    ops.Identity: _identity,
    ops.Aggregate: _aggregate,
    ops.Flatten: _flatten,
    ops.Index: _index,
    ops.AvgPool: _avg_pool,
    ops.SumPool: _sum_pool,
    ops.GlobalAvgPool: _global_avg_pool,
    ops.GlobalSumPool: _global_sum_pool,
}
