"""One row per kernel op: its entries as JAX arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from math import prod
from operator import add, mul
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntc.backends.jax.emit import distances
from ntc.backends.jax.emit.attention import attended, attention_weights, position_covariance
from ntc.backends.jax.emit.context import Entries
from ntc.backends.jax.emit.lane_array import Block, layout_of, live_mask, repeat_columns
from ntc.backends.jax.emit.linear import applied, permuted
from ntc.backends.jax.emit.relayout import (
    axis_mean,
    diagonal_mean,
    filtered_anywhere,
    from_dense,
    pooled,
    pooled_rows,
    relaid,
    to_dense,
)
from ntc.backends.jax.emit.windows import filtered
from ntc.backends.jax.inputs import read
from ntc.backends.jax.integrals import distance, family
from ntc.ir import kernel
from ntc.ir.graph import Node
from ntc.ir.kernel.inputs import FEW_CHANNELS
from ntc.ir.lanes import axes_of, keeps_lanes
from ntc.ir.op import KernelOp
from ntc.ir.platform import PLATFORMS
from ntc.ir.types import CovarianceType


def _gram(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    """Products of x1[n, p] and x2[m, p'], summed over channels."""
    op: Any = node.op
    rank = len(type_.spatial)
    if len(type_.batch) == 1:
        return _marginal_gram(scope, op, type_)
    second = scope.brought.shifted[("x2", op.reading), layout_of(type_)]
    features = jnp.moveaxis(read(op, scope.x1), 0, rank), jnp.squeeze(second, rank)
    products = _products(*features)
    if op.gives == "covariance":
        return products
    same = scope.same(type_)
    branches = PLATFORMS[scope.context.boundary.target].branches
    return distances.gram(*features, products, distances.own_entries(scope, type_), same, branches)


def _products(first: jax.Array, second: jax.Array) -> jax.Array:
    """(*positions, rows, channels) with (*positions, columns, channels): means of products over channels."""
    channels = first.shape[-1]
    if first.ndim > 2 and channels <= FEW_CHANNELS:  # small products: as additions, which XLA fuses
        terms = [first[..., :, None, c] * second[..., None, :, c] for c in range(channels)]
        return reduce(add, terms) / channels
    products = jnp.einsum("...nz,...mz->...nm", first, second, precision=jax.lax.Precision.HIGHEST)
    return products / channels


def _marginal_gram(scope: Entries, op: Any, type_: CovarianceType) -> jax.Array:
    rank = len(type_.spatial)
    x = jnp.moveaxis(read(op, scope.x1), 0, rank)
    second = scope.brought.shifted[("x2", op.reading), layout_of(type_)]  # (*positions, 1, lanes * examples, channels)
    lanes, channels = scope.lanes(type_).number, x.shape[-1]
    if not rank:
        return jnp.mean(x**2, -1)[None]
    first = jnp.broadcast_to(jnp.expand_dims(x, rank), (*x.shape[:rank], lanes, *x.shape[rank:]))
    first = first.reshape(*x.shape[:rank], 1, -1, channels)
    if channels <= FEW_CHANNELS:
        return reduce(add, [first[..., c] * second[..., c] for c in range(channels)]) / channels
    return (first * second).mean(-1)


def _constant(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    dtype = jnp.float32 if type_.dtype == "f32" else jnp.float64
    lanes = scope.lanes(type_).number
    rows = scope.rows if len(type_.batch) == 2 else 1
    op: Any = node.op
    return jnp.full((*type_.spatial, rows, lanes * scope.columns), op.value, dtype)


def _given(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    op: Any = node.op
    given = scope.context.given
    dense = given[op.key] if len(type_.batch) == 2 else given[op.variance_key(type_.batch[0])][None]
    return from_dense(dense, type_)


def _affine(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    op: Any = node.op
    return distances.with_bias(scope, type_, scale_shift(_aligned(operands[0], type_), op.w_std**2, 0), op.b_std)


def scale_shift(x: jax.Array, scale: float | jax.Array, shift: float | jax.Array) -> jax.Array:
    """scale * x + shift, of numbers one and zero x alone."""
    x = x if isinstance(scale, float) and scale == 1 else scale * x
    return x if isinstance(shift, float) and shift == 0 else x + shift


def _add(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    op: Any = node.op
    weights = op.weights or (1.0,) * len(operands)
    return reduce(add, [scale_shift(_aligned(x, type_), w, 0) for w, x in zip(weights, operands, strict=True)])


def _mul(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    return reduce(mul, [_aligned(x, type_) for x in operands])


def _div(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    above, below = (_aligned(x, type_) for x in operands)
    return jnp.where(below == 0, 0, above / jnp.where(below == 0, 1, below))


def _aligned(block: Block, type_: CovarianceType) -> jax.Array:
    """The block's entries in the lanes of a type."""
    if all(map(keeps_lanes, axes_of(block.type), axes_of(type_))):
        return block.interior
    return relaid(block, type_)


def _integral(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    op: Any = node.op
    first, second = scope.marginals(node)
    x = _aligned(operands[0], type_)
    if op.reads == "distance":  # that of an example and position with itself is zero, from the input on
        own = distances.own_entries(scope, type_)
        if op.derivative:
            return distance.dual_dot(op.phi, x, first, second, own)
        return distance.dual(op.phi, x, first, second, own, op.gives)
    integrals = family(op.phi, scope.context.series_alone)
    same = scope.same(type_)
    return (integrals.dual_dot if op.derivative else integrals.dual)(op.phi, x, first, second, same)


def _dual_mean(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    op: Any = node.op
    k = _aligned(operands[0], type_)
    mean = family(op.phi, scope.context.series_alone).dual(op.phi, jnp.zeros_like(k), *scope.marginals(node), None)
    return jnp.broadcast_to(mean, k.shape)


def _integral_apart(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    op: Any = node.op
    integrals = family(op.phi, scope.context.series_alone)
    k = _aligned(operands[0], type_)
    found = (integrals.dual_dot if op.derivative else integrals.dual)(op.phi, k, *scope.marginals(node), None)
    return jnp.broadcast_to(found, k.shape)


def _covariance(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    x = _aligned(operands[0], type_)
    return distance.covariance(x, *scope.marginals(node), distances.own_entries(scope, type_))


def _window(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    op: Any = node.op
    (block,) = operands
    geometry = op.axes(block.type)
    if all(map(keeps_lanes, axes_of(block.type), axes_of(type_), geometry)):
        masks = scope.brought.masks[geometry, layout_of(type_)]
        x = filtered(block, op, scope.lanes(type_), masks, scope.context.boundary)
    else:
        x = filtered_anywhere(block, geometry, type_)
    return distances.with_bias(scope, type_, scale_shift(x, op.w_std**2 / op.taps, 0), op.b_std)


def _window2(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    op: Any = node.op
    geometry = op.axes(operands[0].type)
    if operands[0].lanes.start is not None:
        return pooled_rows(operands[0], geometry[-1], op.divisor, type_)
    return pooled(operands[0], geometry, op.divisor, type_)


def _reduce(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    """Sums over positions and the lanes at hand; a mean is over those of the whole value."""
    op: Any = node.op
    (block,) = operands
    x, positions = block.interior, tuple(range(block.rank))
    size = prod(block.type.spatial)
    if op.reduction == "trace":
        return _on_diagonal(block, x).sum(positions) / size
    mask = live_mask(block.lanes, block.columns)
    total = (x if mask is None else x * mask.astype(x.dtype)).sum(positions)
    total = total.reshape(total.shape[0], -1, scope.columns).sum(1)
    return total if op.reduction == "sum" else total / size**2


def _select(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    op: Any = node.op
    return _on_diagonal(operands[0], operands[0].interior[op.position])


def _on_diagonal(block: Block, x: jax.Array) -> jax.Array:
    """Of x (..., rows, lanes * columns), the lane with p' = p: (..., rows, columns); zero if it is not at hand."""
    x = x.reshape(*x.shape[:-1], -1, block.columns)
    chosen = block.lanes.on_diagonal()
    if block.lanes.start is None:
        return x[..., int(np.flatnonzero(chosen)[0]), :]
    return jnp.where(jnp.asarray(chosen)[:, None], x, 0).sum(-2)


def _linear(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    op: Any = node.op
    return applied(operands[0], op.matrices(operands[0].type.spatial), type_)


def _permute(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    op: Any = node.op
    return permuted(operands[0], op.axes, type_)


def _mix(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    """Products with the matrix on both sides, on all entries."""
    op: Any = node.op
    before, after = op.orders(operands[0].type.spatial, 2)
    x = to_dense(operands[0]).transpose(before)
    kept = x.shape[: len(after) - 2 * len(op.outputs)]
    matrix = jnp.asarray(op.values, x.dtype)
    pairs = x.reshape(*kept, matrix.shape[1], matrix.shape[1])
    products = jnp.einsum("oq,...qr,pr->...op", matrix, pairs, matrix, precision=jax.lax.Precision.HIGHEST)
    return from_dense(products.reshape(*kept, *op.outputs, *op.outputs).transpose(after), type_)


def _positive(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    x = _aligned(operands[0], type_)
    return (x > 0).astype(x.dtype)


def _diagonal_only(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    op: Any = node.op
    x = _aligned(operands[0], type_)
    own = (scope.lanes(type_).residues_of(op.among(type_.spatial)) == 0).all(0)
    return jnp.where(repeat_columns(own, scope.columns), x, 0)


def _mirror(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    """Entry (n, p; m, p') with (n, p) after (m, p') in order takes the value of (m, p'; n, p).

    As a sum of what is kept and what is mirrored: XLA:CPU of jaxlib 0.10.2 crashes on a choice between a matrix and its
    transpose of 1,000 rows or more.
    """
    x = to_dense(operands[0])
    row = column = jnp.zeros((), jnp.int32)
    for first in range(0, x.ndim, 2):
        row = row * x.shape[first] + _index_along(x, first)
        column = column * x.shape[first + 1] + _index_along(x, first + 1)
    mirrored = jnp.where(row < column, x, 0)
    for first in range(0, x.ndim, 2):
        mirrored = jnp.swapaxes(mirrored, first, first + 1)
    return from_dense(jnp.where(row <= column, x, 0) + mirrored, type_)


def _edge_sum(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    """Products with the patterns of both examples, on all entries."""
    op: Any = node.op
    spatial = operands[0].type.spatial
    first, second = (op.patterns(x, spatial) for x in (scope.x1, scope.x2))
    before, after = op.apart(len(spatial), 2)
    x = to_dense(operands[0]).transpose(before)
    kept = x.shape[: x.ndim - 2 * len(op.axes)]
    matrices = x.reshape(*kept, first.shape[1], first.shape[1])
    rule = "mij,nm...iI,mIJ->nm...jJ" if len(type_.batch) == 1 else "nij,nm...iI,mIJ->nm...jJ"
    products = jnp.einsum(rule, first, matrices, second, precision=jax.lax.Precision.HIGHEST)
    sizes = tuple(spatial[axis] for axis in op.axes) if op.outputs is None else op.outputs
    return from_dense(products.reshape(*kept, *sizes, *sizes).transpose(after), type_)


def _index_along(x: jax.Array, axis: int) -> jax.Array:
    """The index along one axis, to broadcast against x."""
    shape = tuple(n if i == axis else 1 for i, n in enumerate(x.shape))
    return jax.lax.broadcasted_iota(jnp.int32, shape, axis)


def _diag_scale(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    """Between two inputs no example is itself, unless `equal` says that they are one."""
    op: Any = node.op
    x, same = _aligned(operands[0], type_), scope.same(type_)
    if same is None:
        return x
    return x / op.keep if same is True else jnp.where(same, x / op.keep, x)


def _diagonal_mean(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    op: Any = node.op
    return diagonal_mean(operands[0], op.axes, type_)


def _axis_mean(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    op: Any = node.op
    return axis_mean(operands[0], op.axis, type_)


def _attention_weights(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    op: Any = node.op
    v, *mask = map(to_dense, operands)
    return from_dense(attention_weights(op, v, mask[0] if mask else None), type_)


def _attend(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    k, first, second = map(to_dense, operands)
    return from_dense(attended(k, first, second, single=len(type_.batch) == 1), type_)


def _embed_positions(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    op: Any = node.op
    x = _aligned(operands[0], type_)
    own = jnp.expand_dims(position_covariance(op, scope.lanes(type_)), x.ndim - 2)
    return scale_shift(x, op.weight, 0) + repeat_columns(op.share * op.scale**2 * own.astype(x.dtype), scope.columns)


def _spread(scope: Entries, node: Node, type_: CovarianceType, operands: list[Block]) -> jax.Array:
    wide = jnp.tile(operands[0].interior, (1, scope.lanes(type_).number))
    return jnp.broadcast_to(wide, (*type_.spatial, *wide.shape))


EMITTERS: Mapping[type[KernelOp], Callable[[Entries, Node, CovarianceType, list[Block]], jax.Array]] = {
    kernel.Gram: _gram,
    kernel.Unmasked: _gram,
    kernel.Constant: _constant,
    kernel.Given: _given,
    kernel.Affine: _affine,
    kernel.Add: _add,
    kernel.Mul: _mul,
    kernel.Positive: _positive,
    kernel.Div: _div,
    kernel.Dual: _integral,
    kernel.DualDot: _integral,
    kernel.Covariance: _covariance,
    kernel.DualMean: _dual_mean,
    kernel.DualApart: _integral_apart,
    kernel.DualDotApart: _integral_apart,
    kernel.Window: _window,
    kernel.Window2: _window2,
    kernel.Reduce: _reduce,
    kernel.Select: _select,
    kernel.Mirror: _mirror,
    kernel.EdgeSum: _edge_sum,
    kernel.Dilate: _linear,
    kernel.Interpolate: _linear,
    kernel.Contract: _linear,
    kernel.MixPositions: _mix,
    kernel.Permute: _permute,
    kernel.OnDiagonal: _diagonal_only,
    kernel.DiagScale: _diag_scale,
    kernel.DiagonalMean: _diagonal_mean,
    kernel.AxisMean: _axis_mean,
    kernel.AttentionWeights: _attention_weights,
    kernel.Attend: _attend,
    kernel.EmbedPositions: _embed_positions,
    kernel.Spread: _spread,
}
