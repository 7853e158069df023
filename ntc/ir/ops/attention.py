"""Self-attention."""

from __future__ import annotations

from functools import lru_cache
from math import prod, sqrt
from typing import ClassVar, Literal

import numpy as np

from ntc.errors import ParameterError, ShapeError, UnsupportedError
from ntc.ir.hyper import Hyper, Tunable, parts
from ntc.ir.kernel import Add, Affine, Attend, AttentionWeights, EmbedPositions, Mul, Reduce, Spread
from ntc.ir.kernel.attention import Decay, Distance, Mechanism, matrices
from ntc.ir.op import Emit, Pair, TensorOp, Value, Weight
from ntc.ir.schema import Count, Finite, frozen
from ntc.ir.sliding import Strided
from ntc.ir.types import Distribution, Spatial, TensorType

_ROUNDING = 2e-7
"""Of an eigenvalue, times the root of the number of positions: values may have been computed in float32."""


@frozen
class SelfAttention(TensorOp):
    """y[p] = sum over heads and positions q of mechanism(<query[p], key[q]>) value[q] out + b_std b, in ntk scaling.

    With s = w_query_std w_key_std, o = w_value_std w_out_std and e(K) = K, or K with the covariance of embeddings:
    linear_scaling: scores are divided by key_channels, queries share the weights of keys; heads, keys -> infinity:
        K'[p, p'] = o^2 sum over q, q' of G1[p, q] K[q, q'] G2[p', q'] + b_std^2,  G = mechanism(s e(V)) of one example
        T' = o^2 (G1 T G2^T + 2 G1 K G2^T) + b_std^2;  values embedded: e(K), e(T) for K, T
    otherwise they are divided by its root, and the mechanism must be linear; heads -> infinity:
        K' = (s o)^2 c(e(K), K) e(K) + b_std^2,  c(A, B) = sum over q, q' of A[q, q'] B[q, q']
        T' = (s o)^2 ((c(e(T), K) + c(e(K), T)) e(K) + c(e(K), K) (e(T) + 4 e(K))) + b_std^2;  values likewise
    Embeddings are random and trained; `added` to the input, or `concatenated`, with covariance R[p, p']:
        e(K) = a K + c R: added a = 1, c = embedding_std^2;
        concatenated a = n / (n + m), c = m / (n + m) embedding_std^2.
    Source: Hron et al. 2020 (arXiv:2006.10540); Neural Tangents 0.6.5, GlobalSelfAttention.

    Parameters: channels of the output, of keys and of the values of each head; heads; embedding and its m channels
    (default: n, those of the input), whether values have it, and decay of R with distance (see `embed_positions`), or
    in its place `decay_values`, R at every distance |p - p'| along all axes of the input, which must be a covariance.
    """

    name: ClassVar[str] = "self_attention"
    channels: Count
    key_channels: Count
    value_channels: Count
    heads: Count
    linear_scaling: bool = True
    mechanism: Mechanism = "softmax"
    w_key_std: Tunable = 1.0
    w_value_std: Tunable = 1.0
    w_query_std: Tunable = 1.0
    w_out_std: Tunable = 1.0
    b_std: Tunable = 0.0
    embedding: Literal["added", "concatenated"] | None = None
    embedding_channels: Count | None = None
    embedding_std: Tunable = 1.0
    embed_values: bool = False
    decay: Decay | None = None
    decay_rate: Tunable = 1.0
    distance: Distance = "squared_euclidean"
    decay_values: tuple[Finite, ...] | None = None

    @property
    def has_weights(self) -> bool:
        return True

    @property
    def closed_form(self) -> bool:
        return self.linear_scaling or self.mechanism == "linear"

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        if not x.spatial:
            raise ShapeError("self_attention: its input has no spatial axes", hint="attend before flatten or pooling")
        if self.embedding:
            self._check_embeddings(x)
        return x.spatial, self.channels

    def distribution(self, *xs: TensorType) -> Distribution:
        return Distribution.GAUSSIAN

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        if self.embedding and not self.linear_scaling:
            raise UnsupportedError(
                "self_attention: linear_scaling = false has no rule for embeddings of masked positions",
                hint="linear_scaling = true, or embedding = none",
            )
        return Strided.every(x.spatial)

    def weights(self, x: TensorType) -> dict[str, Weight]:
        own = self.embedding_width(x) if self.embedding == "concatenated" else 0
        n, values = x.channels + own, x.channels + (own if self.embed_values else 0)
        keys = Weight((self.heads, n, self.key_channels), 1.0, 1 / sqrt(n))
        every = self.heads * self.value_channels
        found = {"key": keys} if self.linear_scaling else {"key": keys, "query": keys}
        found["value"] = _weight((self.heads, values, self.value_channels), self.w_value_std, values)
        found["out"] = _weight((every, self.channels), self.w_out_std, every)
        if self.b_std:
            found["b"] = _weight((self.channels,), self.b_std, 1)
        if self.embedding:
            found["embedding"] = _weight((prod(x.spatial), self.embedding_width(x)), self.embedding_std, 1)
        return found

    def embedding_width(self, x: TensorType) -> int:
        """Channels of the embeddings."""
        return self.embedding_channels or x.channels

    @property
    def score_scale(self) -> float:
        """What scores are multiplied by, keys and queries being of unit weights."""
        width = self.key_channels if self.linear_scaling else sqrt(self.key_channels)
        return self.w_query_std * self.w_key_std / width

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        (x,) = xs
        if self.linear_scaling:
            return self._scaled(emit, self._attended(emit, x, x.k))
        if self.mechanism != "linear":
            raise UnsupportedError(
                f"self_attention: linear_scaling = false with mechanism = {self.mechanism} has no closed form",
                hint="linear_scaling = true, or mechanism = linear; or Monte Carlo with finite networks (ntc.finite)",
            )
        e = self._embedded(emit, x, x.k)
        total = self._total(emit, emit(Mul(), e, self._values(emit, x, x.k)), x)
        return self._scaled(emit, emit(Mul(), total, e))

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        (x,) = xs
        if self.linear_scaling:
            terms = self._attended(emit, x, x.t), self._attended(emit, x, x.k)
            return self._scaled(emit, emit(Add((1.0, 2.0)), *terms))
        e, e_t = self._embedded(emit, x, x.k), self._embedded(emit, x, x.t)
        values, values_t = self._values(emit, x, x.k), self._values(emit, x, x.t)
        total = self._total(emit, emit(Mul(), e, values), x)
        total_t = self._total(emit, emit(Add(), emit(Mul(), e_t, values), emit(Mul(), e, values_t)), x)
        terms = emit(Mul(), total_t, e), emit(Mul(), total, emit(Add((1.0, 4.0)), e_t, e))
        return self._scaled(emit, emit(Add(), *terms))

    def _scaled(self, emit: Emit, k: Value) -> Value:
        """Emits k times the squares of all scales that it lacks, plus the variance of biases."""
        scales = (
            self.w_value_std,
            self.w_out_std,
            *(() if self.linear_scaling else (self.w_query_std, self.w_key_std)),
        )
        known = prod(scale for scale in scales if not isinstance(scale, Hyper))
        for hyper in (scale for scale in scales if isinstance(scale, Hyper)):
            k = emit(Affine(hyper), k, name="scaled")  # type: ignore[arg-type]
        return emit(Affine(known, self.b_std), k)

    def _attended(self, emit: Emit, x: Pair, k: Value) -> Value:
        weights = AttentionWeights(self.mechanism, self.w_query_std, self.w_key_std)
        sides = (x.v1, x.mask1), (x.v2, x.mask2)
        g1, g2 = (
            emit(weights, self._embedded(emit, x, v), *(() if mask is None else (mask,)), name="weights")
            for v, mask in sides
        )
        return emit(Attend(), self._values(emit, x, k), g1, g2)

    def _total(self, emit: Emit, k: Value, x: Pair) -> Value:
        return emit(Spread(x.type.spatial), emit(Reduce("sum"), k, name="sum"), name="total")

    def _values(self, emit: Emit, x: Pair, k: Value) -> Value:
        return self._embedded(emit, x, k) if self.embed_values else k

    def _embedded(self, emit: Emit, x: Pair, k: Value) -> Value:
        if self.embedding is None:
            return k
        share = self.embedding_width(x.type) / (self.embedding_width(x.type) + x.type.channels)
        own, others = (1.0, 1.0) if self.embedding == "added" else (share, 1 - share)
        return emit(self._embeddings(x.type.spatial, others, own), k, name="embedded")

    def _embeddings(self, spatial: Spatial, weight: float, share: float) -> EmbedPositions:
        """weight K + share embedding_std^2 R on images of these sizes."""
        if self.decay_values is not None:
            return EmbedPositions(weight, share, self.embedding_std, values=self.decay_values, sizes=spatial)
        return EmbedPositions(weight, share, self.embedding_std, self.decay, self.decay_rate, self.distance)

    def _check_embeddings(self, x: TensorType) -> None:
        """Raises ShapeError or ParameterError where there are no such embeddings of the positions of x."""
        if self.embedding == "added" and self.embedding_channels not in (None, x.channels):
            raise ShapeError(
                f"self_attention: embeddings of {self.embedding_channels} channels cannot be added to {x}",
                hint=f"embedding_channels = {x.channels}, or embedding = concatenated",
                parameter="embedding_channels",
            )
        if self.decay_values is None:
            return
        if len(self.decay_values) != prod(x.spatial):
            raise ShapeError(
                f"self_attention: {len(self.decay_values)} decay_values for {prod(x.spatial)} positions",
                hint="one for every distance |p - p'| along all spatial axes, the last axis fastest",
                parameter="decay_values",
            )
        least = least_eigenvalue(self.decay_values, x.spatial)
        if least < 0:
            raise ParameterError(
                "self_attention: decay_values are no covariance of embeddings: the matrix of all pairs of positions "
                f"has an eigenvalue of {least:.2g} times its diagonal",
                hint="a positive semi-definite function of the distance, as 1 / (1 + d) or exp(-d)",
                parameter="decay_values",
            )


def _weight(shape: tuple[int, ...], scale: float | Hyper, count: int) -> Weight:
    """Of entries that are scaled by this, and by the number of them that are summed."""
    constant, hyper = parts(scale)
    return Weight(shape, 1.0, constant / sqrt(count), hyper=hyper)


@lru_cache(maxsize=8)
def least_eigenvalue(values: tuple[float, ...], spatial: Spatial) -> float:
    """That of the matrix values[|p - p'|] of all pairs of positions, over its diagonal; zero where it is rounding."""
    r = matrices(EmbedPositions(values=values, sizes=spatial).covariance(spatial), 0)
    size = max(float(np.abs(r).max()), 1e-300)
    least = float(np.linalg.eigvalsh(r / size)[0])
    return 0.0 if least >= -sqrt(len(r)) * _ROUNDING else least
