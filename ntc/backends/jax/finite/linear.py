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
    axes = [1 + axis for axis in rule.axes]
    first = list(range(1, 1 + len(axes)))
    moved = jnp.moveaxis(x, axes, first)
    vertices = moved.reshape(x.shape[0], rule.size(spatial), -1)
    summed = jnp.einsum("nij,nic->njc", rule.patterns(packed, spatial), vertices, precision=lax.Precision.HIGHEST)
    return jnp.moveaxis(summed.reshape(moved.shape), first, axes)


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
