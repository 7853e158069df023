"""Attention between dense covariances (rows, columns, H, H', W, W', ...); those of single examples have one row."""

from __future__ import annotations

from functools import reduce
from math import prod
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.backends.jax.emit.lane_array import Lanes, along_axis
from ntc.ir.kernel.attention import decayed


def attention_weights(op: Any, v: jax.Array, mask: jax.Array | None) -> jax.Array:
    """mechanism(s V), a softmax over p' of every p; zero where p' is masked."""
    scores = op.w_query_std * op.w_key_std * _matrices(v)
    there = jnp.ones_like(scores) if mask is None else jnp.einsum("...qq->...q", _matrices(mask))[..., None, :]
    match op.mechanism:
        case "softmax":
            exponentials = there * jnp.exp(scores - lax.stop_gradient(scores.max(-1, keepdims=True)))
            total = exponentials.sum(-1, keepdims=True)
            weights = exponentials / jnp.where(total == 0, 1, total)
        case "linear":
            weights = scores
        case "absolute":
            weights = jnp.abs(scores)
        case "rectified":
            weights = jnp.maximum(scores, 0)
        case _:
            raise NotImplementedError(op.mechanism)
    return _from_matrices(there * weights, v.shape)


def attended(k: jax.Array, g1: jax.Array, g2: jax.Array, single: bool) -> jax.Array:
    """G1 K G2^T for every pair of examples, or of every example with itself."""
    values, first, second = _matrices(k), _matrices(g1)[0], _matrices(g2)[0]
    high = lax.Precision.HIGHEST
    right = jnp.einsum("nmqr,msr->nmqs", values, second, precision=high)
    rows = "mpq" if single else "npq"
    return _from_matrices(jnp.einsum(f"{rows},nmqs->nmps", first, right, precision=high), k.shape)


def position_covariance(op: Any, lanes: Lanes) -> jax.Array:
    """R[p, p'] of the embeddings of positions in the lanes at hand: (*positions, lanes)."""
    rank = len(lanes.type.spatial)
    dtype = jnp.float32 if lanes.type.dtype == "f32" else jnp.float64
    apart = [
        along_axis(jnp.abs(jnp.asarray(lanes.partners(i)) - jnp.arange(size)[:, None]), i, rank)
        for i, size in enumerate(lanes.type.spatial)
    ]
    if op.values:
        table = jnp.asarray(np.reshape(op.values, op.sizes), dtype)
        return table.at[tuple(apart)].get(mode="clip")  # entries that are dead have partners outside of the image
    order = 1 if op.distance == "manhattan" else 2
    distance: jax.Array = reduce(add, [d**order for d in apart]).astype(dtype)
    return jnp.asarray(decayed(op.decay, op.rate, distance, jnp), dtype)


def _matrices(x: jax.Array) -> jax.Array:
    """(rows, columns, H, H', W, W', ...) as (rows, columns, positions, positions)."""
    positions = prod(x.shape[2::2])
    return x.transpose(0, 1, *range(2, x.ndim, 2), *range(3, x.ndim, 2)).reshape(*x.shape[:2], positions, positions)


def _from_matrices(x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The inverse of `_matrices`, for arrays that had this shape."""
    axes = (len(shape) - 2) // 2
    order = [axis for i in range(axes) for axis in (2 + i, 2 + axes + i)]
    return x.reshape(*x.shape[:2], *shape[2::2], *shape[2::2]).transpose(0, 1, *order)
