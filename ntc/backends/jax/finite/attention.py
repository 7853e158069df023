"""Forward pass of attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.ir import ops
from ntc.ir.kernel.attention import matrices

_einsum = partial(jnp.einsum, precision=lax.Precision.HIGHEST)


def _self_attention(
    op: Any, weights: Mapping[str, jax.Array], x: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
    spatial = x.shape[1:-1]
    own = x.reshape(len(x), prod(spatial), x.shape[-1])
    with_positions = embedded(op, weights, own, spatial) if op.embedding else own
    keys = _einsum("npi,hid->nhpd", with_positions, weights["key"])
    queries = keys if op.linear_scaling else _einsum("npi,hid->nhpd", with_positions, weights["query"])
    values = _einsum("npi,hid->nhpd", with_positions if op.embed_values else own, weights["value"])
    scores = op.score_scale * _einsum("nhpd,nhqd->nhpq", queries, keys)
    there = jnp.ones(own.shape[:2], bool) if mask is None else mask.reshape(own.shape[:2])
    attention = _MECHANISMS[op.mechanism](scores, there[:, None, None])
    heads = _einsum("nhpq,nhqd->nphd", jnp.where(there[:, None, None], attention, 0), values)
    y = _einsum("npi,ij->npj", heads.reshape(*heads.shape[:2], -1), weights["out"])
    y = y + weights["b"] if "b" in weights else y
    return y.reshape(len(x), *spatial, -1)


_MECHANISMS: Mapping[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "softmax": lambda scores, there: jax.nn.softmax(scores, axis=-1, where=there),
    "linear": lambda scores, there: scores,
    "absolute": lambda scores, there: jnp.abs(scores),
    "rectified": lambda scores, there: jnp.maximum(scores, 0),
}


def embedded(op: Any, weights: Mapping[str, jax.Array], x: jax.Array, spatial: tuple[int, ...]) -> jax.Array:
    """x with random embeddings of positions, whose covariance is R as they are independent before a root of R."""
    values, vectors = np.linalg.eigh(matrices(op.embeddings(spatial).covariance(spatial), 0))
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    embeddings = _einsum("pq,qi->pi", jnp.asarray(root, x.dtype), weights["embedding"])
    if op.embedding == "added":
        return x + embeddings
    return jnp.concatenate([x, jnp.broadcast_to(embeddings, (len(x), *embeddings.shape))], -1)


ROWS: Mapping[type[Any], Callable[..., jax.Array]] = {ops.SelfAttention: _self_attention}
