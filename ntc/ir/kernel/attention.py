"""Kernel ops of attention: every position reads every other."""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar, Literal

import numpy as np

from ntc.errors import VerifyError
from ntc.ir.hyper import Tunable
from ntc.ir.kernel.dense import spread_positions
from ntc.ir.kernel.families import Entrywise, MatrixProduct, Mixing
from ntc.ir.offsets import DIAGONAL, Offsets
from ntc.ir.op import Array, Lanes, OffsetsPerAxis, covariance, same_type
from ntc.ir.schema import Count, Finite, Scale, frozen
from ntc.ir.types import CovarianceType, Spatial, Type

Mechanism = Literal["softmax", "linear", "absolute", "rectified"]
"""How scores become the weights of values: softmax over positions, or x, |x| or max(x, 0) of each score."""

Decay = Literal["inverse", "exponential"]
Distance = Literal["manhattan", "squared_euclidean"]


def _everywhere(spatial: Spatial) -> OffsetsPerAxis:
    return tuple(map(Offsets.full, spatial))


@frozen
class AttentionWeights(Mixing):
    """G[p, q] = mechanism(s V[p, q]), s = w_query_std w_key_std, of each example alone, V its covariance of positions.

    softmax: e^(s V[p, q]) / sum over r of e^(s V[p, r]); linear, absolute and rectified: s V, |s V| and max(s V, 0).
    G is not symmetric. A second operand says which positions q are not masked, by its entries with q = q'; the weights
    of others are zero, and softmax leaves them out. Source: Hron et al. 2020 (arXiv:2006.10540).
    """

    name: ClassVar[str] = "attention_weights"
    arity: ClassVar[tuple[int, int]] = (1, 2)
    mechanism: Mechanism = "softmax"
    w_query_std: Tunable = 1.0
    w_key_std: Tunable = 1.0

    def fold(self, *numbers: float | None) -> float | None:
        return None

    def result(self, *operands: Type) -> CovarianceType:
        v = same_type(operands)
        if len(v.batch) != 1 or not v.spatial:
            raise VerifyError(f"attention_weights takes a marginal with positions, got {v}")
        return CovarianceType.dense(v.dtype, v.batch, v.spatial)

    def operations(self, *operands: Type) -> int:
        """An exponential and a quotient."""
        return 10

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        diagonal = (DIAGONAL,) * len(operands[0].spatial)
        return _everywhere(operands[0].spatial), *(diagonal for _ in operands[1:])

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        scores = self.w_query_std * self.w_key_std * matrices(operands[0], 1)
        there = np.ones(scores.shape)
        if len(operands) == 2:
            there = there * np.einsum("nqq->nq", matrices(operands[1], 1))[:, None]
        match self.mechanism:
            case "softmax":
                exponentials = there * np.exp(scores - scores.max(-1, keepdims=True))
                total = exponentials.sum(-1, keepdims=True)
                weights = exponentials / np.where(total == 0, 1, total)
            case "linear":
                weights = scores
            case "absolute":
                weights = np.abs(scores)
            case "rectified":
                weights = np.maximum(scores, 0.0)
        return from_matrices(there * weights, result.spatial)


@frozen
class Attend(MatrixProduct):
    """sum over q, q' of G1[p, q] K[q, q'] G2[p', q'], for attention weights G1, G2 of both examples.

    Source: Hron et al. 2020 (arXiv:2006.10540): d^-1 scaling.
    """

    name: ClassVar[str] = "attend"
    temporaries: ClassVar[int] = 4  # the operand and half of the result in the layout of matrices
    arity: ClassVar[tuple[int, int]] = (3, 3)

    def result(self, *operands: Type) -> CovarianceType:
        k, g1, g2 = map(covariance, operands)
        weights = (g1.batch, g2.batch) == (k.batch[:1], k.batch[-1:])
        if not weights or {g1.spatial, g2.spatial} != {k.spatial} or not k.spatial:
            raise VerifyError(f"attend: {g1} and {g2} are not attention weights for {k}")
        return CovarianceType.dense(k.dtype, k.batch, k.spatial)

    def operations(self, *operands: Type) -> int:
        """Two products of matrices."""
        return 4 * prod(covariance(operands[0]).spatial)

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        return (_everywhere(operands[0].spatial),) * 3

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        batch = len(result.batch)
        k, g1, g2 = matrices(operands[0], batch), matrices(operands[1], 1), matrices(operands[2], 1)
        subscripts = "npq,nqr,nsr->nps" if batch == 1 else "npq,nmqr,msr->nmps"
        return from_matrices(np.einsum(subscripts, g1, k, g2, optimize=True), result.spatial)


@frozen
class EmbedPositions(Entrywise):
    """weight K + share scale^2 R[p, p'], with R the covariance of random embeddings of positions.

    With d = |p - p'| (manhattan) or |p - p'|^2 (squared_euclidean), R is 1 / (1 + rate d) (inverse) or e^(-rate d)
    (exponential); without a decay it is 1 where p = p' and else 0. Both are positive definite (Schoenberg 1938).
    Where `values` are given, R is values[|p - p'|] instead: one for every distance along axes of these `sizes`, the
    last axis fastest. Source: Hron et al. 2020 (arXiv:2006.10540).
    """

    name: ClassVar[str] = "embed_positions"
    weight: Scale = 1.0
    share: Scale = 1.0
    scale: Tunable = 1.0
    decay: Decay | None = None
    rate: Tunable = 1.0
    distance: Distance = "squared_euclidean"
    values: tuple[Finite, ...] = ()
    sizes: tuple[Count, ...] = ()

    def fold(self, *numbers: float | None) -> float | None:
        return None

    def result(self, *operands: Type) -> CovarianceType:
        k = same_type(operands)
        if self.values and (len(self.values) != prod(self.sizes) or not fits(k.spatial, self.sizes)):
            raise VerifyError(f"embed_positions: {len(self.values)} values for sizes {self.sizes} on positions of {k}")
        return k

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        return self.weight * operands[0] + self.share * self.scale**2 * self.covariance(result.spatial)

    def covariance(self, spatial: Spatial) -> Array:
        """R, (H, H', W, W', ...)."""
        if self.values:
            entries: Array = np.reshape(self.values, self.sizes)[tuple(_offsets(spatial))]
            return entries
        r: Array = decayed(self.decay, self.rate, distances(self.distance, spatial), np)
        return r


def _offsets(spatial: Spatial) -> list[Array]:
    """|p - p'| along every axis, to broadcast as (H, H', W, W', ...)."""
    along = (np.abs(np.arange(size)[None, :] - np.arange(size)[:, None]) for size in spatial)
    return [spread_positions(offset, axis, spatial) for axis, offset in enumerate(along)]


def distances(kind: Distance, spatial: Spatial) -> Array:
    """d of all pairs of positions, (H, H', W, W', ...)."""
    order = 1 if kind == "manhattan" else 2
    total: Array = sum(offset**order for offset in _offsets(spatial))  # type: ignore[assignment]
    return total


def decayed(decay: Decay | None, rate: Any, distance: Any, numpy: Any) -> Any:
    """R at these distances, by the functions of NumPy or JAX."""
    match decay:
        case "inverse":
            return 1 / (1 + rate * distance)
        case "exponential":
            return numpy.exp(-rate * distance)
        case None:
            return 1.0 * (distance == 0)


@frozen
class Spread(Mixing):
    """K, which has no positions, at every pair of positions of images of sizes `spatial`.

    A sum over positions that scales every entry. Source: Hron et al. 2020 (arXiv:2006.10540).
    """

    name: ClassVar[str] = "spread"
    lanes: ClassVar[Lanes] = "none"
    spatial: Spatial

    def fold(self, *numbers: float | None) -> float | None:
        return numbers[0]

    def result(self, *operands: Type) -> CovarianceType:
        (k,) = map(covariance, operands)
        if k.spatial or any(size < 1 for size in self.spatial):
            raise VerifyError(f"spread: {k} already has positions, or {self.spatial} are not sizes")
        return CovarianceType.dense(k.dtype, k.batch, self.spatial)

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        return ((),)

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        (k,) = operands
        return np.expand_dims(k, tuple(range(k.ndim, k.ndim + 2 * len(result.spatial))))


def fits(spatial: Spatial, sizes: Spatial) -> bool:
    """Whether images of these spatial axes are no larger than the sizes."""
    return len(spatial) == len(sizes) and all(own <= size for own, size in zip(spatial, sizes, strict=True))


def matrices(x: Array, batch_axes: int) -> Array:
    """(*batch, H, H', W, W', ...) as (*batch, positions, positions)."""
    batch, positions = tuple(range(batch_axes)), prod(x.shape[batch_axes::2])
    order = (*batch, *range(batch_axes, x.ndim, 2), *range(batch_axes + 1, x.ndim, 2))
    return x.transpose(order).reshape(*x.shape[:batch_axes], positions, positions)


def from_matrices(x: Array, spatial: Spatial) -> Array:
    """The inverse of `matrices`."""
    batch, axes = x.ndim - 2, len(spatial)
    order = [axis for i in range(axes) for axis in (batch + i, batch + axes + i)]
    return x.reshape(*x.shape[:-2], *spatial, *spatial).transpose(*range(batch), *order)
