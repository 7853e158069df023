"""Forward passes on inputs of which positions are masked. A mask is (N, *spatial), true at positions that are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ntc.backends.jax.finite.linear import summed
from ntc.backends.jax.finite.positions import mixed
from ntc.backends.jax.inputs import is_missing
from ntc.errors import UnsupportedError
from ntc.ir import kernel, ops
from ntc.ir.op import TensorOp
from ntc.ir.types import TensorType

Mask = jax.Array | None

READ_MASK = (ops.GlobalAvgPool, ops.SelfAttention)
"""Ops whose row takes the mask of its input."""


def _mask(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    return jnp.where(is_missing(op.value, x), 0, x)


def moved(op: TensorOp, type_: TensorType, x: jax.Array, mask: Mask, packed: Any = None) -> Mask:
    """The mask of the output, from input and mask of the first operand; `packed` is what aggregate reads."""
    if isinstance(op, ops.Mask):
        return ~is_missing(op.value, x).all(-1)
    if mask is None:
        return None
    if op.reads(type_.spatial) is not None:
        return reached(op, mask, packed)
    positions = op.visible(type_)
    if positions is None:
        return None
    slices = [slice(p.first, p.first + (p.count - 1) * p.stride + 1, p.stride) for p in positions]
    return mask[(slice(None), *slices)]


def joined(masks: Sequence[Mask]) -> Mask:
    """Of several operands, which are masked alike, or of which one has something at every position."""
    return None if any(mask is None for mask in masks) else masks[0]


def reached(op: TensorOp, mask: jax.Array, packed: Any = None) -> jax.Array:
    """Which positions of the output read one that is there, (n, *spatial), of an op that says what it reads.

    `packed` is the input with the patterns of its graphs. Raises UnsupportedError for an op that reads these, if it is
    not given.
    """
    rule: Any = op.reads(mask.shape[1:])
    family = next(cls for cls in type(rule).__mro__ if cls in _REACHED)
    return _REACHED[family](rule, mask.astype(jnp.float32), packed, op.name) > 0


def _by_matrices(rule: Any, present: jax.Array, packed: Any, layer: str) -> jax.Array:
    for axis, taps in enumerate(rule.matrices(present.shape[1:])):
        if taps is not None:
            matrix = jnp.asarray(taps.matrix, jnp.float32)
            present = jnp.moveaxis(jnp.tensordot(matrix, present, (1, 1 + axis)), 0, 1 + axis)
    return present


def _by_edges(rule: Any, present: jax.Array, packed: Any, layer: str) -> jax.Array:
    if packed is None:
        raise UnsupportedError(f"a Kernel of masked values after {layer}", hint='get=("nngp", "ntk")')
    return summed(rule, rule.patterns(packed, present.shape[1:]), present[..., None])[..., 0]


def _permuted(rule: Any, present: jax.Array, packed: Any, layer: str) -> jax.Array:
    return present.transpose(0, *(1 + axis for axis in rule.axes))


def _mixed(rule: Any, present: jax.Array, packed: Any, layer: str) -> jax.Array:
    return mixed(present[..., None], rule.axes, rule.outputs, rule.values)[..., 0]


_REACHED: Mapping[type[Any], Callable[[Any, jax.Array, Any, str], jax.Array]] = {
    kernel.Permute: _permuted,
    kernel.MixPositions: _mixed,
    kernel.EdgeSum: _by_edges,
    kernel.Linear: _by_matrices,
}
"""By the map from input to output positions: how many positions that are there an output reads."""


def masked(op: TensorOp, y: jax.Array, mask: Mask) -> jax.Array:
    """Zero at masked positions."""
    return y if mask is None or not op.fills_masked else jnp.where(mask[..., None], y, 0)


ROWS: Mapping[type[Any], Callable[..., jax.Array]] = {ops.Mask: _mask}
