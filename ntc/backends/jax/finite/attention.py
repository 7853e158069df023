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

from ntc.backends.jax.concrete import is_traced
from ntc.ir import ops
from ntc.ir.kernel import EmbedPositions
from ntc.ir.kernel.attention import decayed, distances, matrices

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
    embeddings = _einsum("pq,qi->pi", _root(_correlation(op, spatial)).astype(x.dtype), weights["embedding"])
    if op.embedding == "added":
        return x + embeddings
    return jnp.concatenate([x, jnp.broadcast_to(embeddings, (len(x), *embeddings.shape))], -1)


def _correlation(op: Any, spatial: tuple[int, ...]) -> Any:
    """R as a matrix of all pairs of positions; of a rate that is known, in float64."""
    if op.decay_values is not None:
        return matrices(EmbedPositions(values=op.decay_values, sizes=spatial).covariance(spatial), 0)
    numpy = jnp if is_traced(op.decay_rate) else np
    return decayed(op.decay, op.decay_rate, matrices(distances(op.distance, spatial), 0), numpy)


@jax.custom_jvp
def _root(r: Any) -> jax.Array:
    """The symmetric root of a matrix that is positive semi-definite."""
    values, vectors = (np if isinstance(r, np.ndarray) else jnp).linalg.eigh(r)
    return jnp.asarray((vectors * values.clip(0) ** 0.5) @ vectors.T)


@_root.defjvp
def _root_jvp(primals: Any, tangents: Any) -> Any:
    """Of S S = R: S dS + dS S = dR, in the basis of eigenvectors."""
    values, vectors = jnp.linalg.eigh(primals[0])
    sizes = jnp.sqrt(values.clip(0))
    sums = sizes[:, None] + sizes
    change = vectors.T @ tangents[0] @ vectors / jnp.where(sums > 0, sums, 1)
    return (vectors * sizes) @ vectors.T, vectors @ change @ vectors.T


ROWS: Mapping[type[Any], Callable[..., jax.Array]] = {ops.SelfAttention: _self_attention}
