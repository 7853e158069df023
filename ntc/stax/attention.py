"""Self-attention, with the name and defaults of Neural Tangents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, reduce
from math import exp, inf, isclose, log, sqrt
from typing import Any

import jax
import numpy as np

from ntc import nn
from ntc.ir.op import TensorOp
from ntc.ir.types import Spatial
from ntc.stax.combinators import Layer, constructor, triple
from ntc.stax.enums import AttentionMechanism, PositionalEmbedding
from ntc.stax.part import Filters, Single, operation
from ntc.stax.tuned import Tuned
from ntc.stax.words import word

_MECHANISMS = {"SOFTMAX": "softmax", "IDENTITY": "linear", "ABS": "absolute", "RELU": "rectified"}
_EMBEDDINGS = {"NONE": None, "SUM": "added", "CONCAT": "concatenated"}
_DISTANCES = {1: "manhattan", 2: "squared_euclidean"}
_SLOTS = ("query", "key", "value", "out", "b", "embedding")


@constructor
def GlobalSelfAttention(  # noqa: N802
    n_chan_out: int,
    n_chan_key: int,
    n_chan_val: int,
    n_heads: int,
    linear_scaling: bool = True,
    W_key_std: float = 1.0,  # noqa: N803
    W_value_std: float = 1.0,  # noqa: N803
    W_query_std: float = 1.0,  # noqa: N803
    W_out_std: float = 1.0,  # noqa: N803
    b_std: float | None = None,
    attention_mechanism: str | AttentionMechanism = "SOFTMAX",
    pos_emb_type: str | PositionalEmbedding = "NONE",
    pos_emb_p_norm: float = 2,
    pos_emb_decay_fn: Callable[[Any], Any] | None = None,
    n_chan_pos_emb: int | None = None,
    W_pos_emb_std: float = 1.0,  # noqa: N803
    val_pos_emb: bool = False,
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> Layer:
    """Self-attention over all positions. See `ntc.ir.ops.SelfAttention`.

    `pos_emb_decay_fn` is a function of the sum over axes of |p - p'|^pos_emb_p_norm. Multiples of d -> 1 / (1 + r d),
    d -> exp(-r d) and d -> [d = 0] are recognised; of any other the values at the positions of the input are taken,
    and ParameterError is raised where they are no covariance.
    """
    embedding = _EMBEDDINGS[word("pos_emb_type", pos_emb_type, PositionalEmbedding)]
    decay = _decay(pos_emb_decay_fn, pos_emb_p_norm) if embedding is not None else {}
    scale = 1.0 if decay is None else decay.pop("scale", 1.0)
    given = Tuned.of(
        w_key_std=W_key_std,
        w_value_std=W_value_std,
        w_query_std=W_query_std,
        w_out_std=W_out_std,
        b_std=0.0 if b_std is None else b_std,
        embedding_std=W_pos_emb_std * scale,
    )
    layer = nn.self_attention(
        n_chan_out,
        n_chan_key,
        n_chan_val,
        n_heads,
        linear_scaling,
        _MECHANISMS[word("attention_mechanism", attention_mechanism, AttentionMechanism)],  # type: ignore[arg-type]
        **given.parameters,
        embedding=embedding,  # type: ignore[arg-type]
        embedding_channels=n_chan_pos_emb if embedding is not None else None,
        embed_values=val_pos_emb,
        **(decay or {}),
    )
    on = _on_positions(operation(layer), None if decay is not None else pos_emb_decay_fn, pos_emb_p_norm)
    shared: Any = {"axes": (batch_axis, channel_axis), "filters": Filters(_SLOTS), "hyper": given.hyper}
    return triple(Single("GlobalSelfAttention", lambda layout, spatial: (on(spatial),), **shared))


def _on_positions(op: TensorOp, fn: Callable[[Any], Any] | None, norm: float) -> Callable[[Spatial], TensorOp]:
    """Gives the op on images of some sizes, with the values of a function there."""

    @lru_cache(maxsize=4)
    def on(spatial: Spatial) -> TensorOp:
        if fn is None:
            return op
        return replace(op, decay_values=_table(fn, norm, spatial))  # type: ignore[type-var]

    return on


def _table(fn: Callable[[Any], Any], norm: float, spatial: Spatial) -> tuple[float, ...]:
    """Its values at all distances along axes of these sizes, the last axis fastest."""
    along = (np.arange(size, dtype=np.float64) ** norm for size in spatial)
    distances = reduce(np.add.outer, along, np.zeros(())).ravel()
    different, where = np.unique(distances, return_inverse=True)
    with jax.enable_x64(True):
        return tuple(np.array([float(fn(d)) for d in different])[where].tolist())


_PROBES = (0, 1, 2, 3, 4, 5, 8, 13, 40)
_TOLERANCE = 1e-6
"""Relative, as the function may compute in float32."""


def _decay(fn: Callable[[Any], Any] | None, norm: float) -> dict[str, Any] | None:
    """Parameters of the covariance of embeddings of positions, None for a function that is none of ours."""
    if fn is None:
        return {}
    at = {d: float(fn(d)) for d in _PROBES}
    scale = at[0]
    found: dict[str, Any] = {"scale": sqrt(scale) if scale > 0 else 0.0}
    if scale > 0 and all(at[d] == 0 for d in _PROBES[1:]):
        return found
    if norm not in _DISTANCES:
        return None
    found["distance"] = _DISTANCES[int(norm)]
    ratio = at[1] / scale if scale > 0 else inf
    if 0 < ratio <= 1:
        rates: dict[str, tuple[float, Callable[[float, int], float]]] = {
            "inverse": (1 / ratio - 1, lambda r, d: 1 / (1 + r * d)),
            "exponential": (-log(ratio), lambda r, d: exp(-r * d)),
        }
        for name, (rate, shape) in rates.items():
            if all(isclose(at[d], scale * shape(rate, d), rel_tol=_TOLERANCE, abs_tol=1e-30) for d in _PROBES):
                return {**found, "decay": name, "decay_rate": rate}
    return None
