"""Forward passes of fixed linear maps of the spatial axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ntc.ir import ops


def _slice(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    read = op.ranges(x.shape[1:-1])
    return x[(slice(None), *(slice(axis.start, axis.stop, axis.step) for axis in read))]


def _pad(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    return jnp.pad(x, [(0, 0), *op.margins(x.shape[1:-1]), (0, 0)])


def _resize(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    spatial = op.outputs(x.shape[1:-1])
    shape = (x.shape[0], *spatial, x.shape[-1])
    y: jax.Array = jax.image.resize(x, shape, op.method, op.antialias, precision=lax.Precision.HIGHEST)
    return y


def _matrix(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    matrix = jnp.asarray(op.values, x.dtype)
    y = jnp.tensordot(matrix, x, (1, 1 + op.axis), precision=lax.Precision.HIGHEST)
    return jnp.moveaxis(y, 0, 1 + op.axis)


def _mix(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    return mixed(x, op.axes, op.sizes, op.values)


def mixed(x: jax.Array, axes: Sequence[int], sizes: Sequence[int], values: Any) -> jax.Array:
    """x (n, *spatial, channels) with a matrix applied to positions along some axes together, as in `ntc.ir.ops.Mix`."""
    moved = [1 + axis for axis in axes]
    left = [axis for axis in range(1, x.ndim - 1) if axis not in moved]
    pixels = x.transpose(0, *left, x.ndim - 1, *moved)
    kept = pixels.shape[: len(left) + 2]
    matrix = jnp.asarray(values, x.dtype)
    y = jnp.einsum("oq,...q->...o", matrix, pixels.reshape(*kept, matrix.shape[1]), precision=lax.Precision.HIGHEST)
    return jnp.moveaxis(y.reshape(*kept, *sizes), len(left) + 1, -1)


def _transpose(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    order = op.order(x.shape[1:-1])
    return x.transpose(0, *(1 + axis for axis in order), x.ndim - 1)


def _scale(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    y: jax.Array = op.factor * x
    return y


def _concat_spatial(op: Any, weights: Mapping[str, jax.Array], *xs: jax.Array) -> jax.Array:
    return jnp.concatenate(xs, axis=1 + op.axis)


ROWS: Mapping[type[Any], Callable[..., jax.Array]] = {
    ops.Slice: _slice,
    ops.Pad: _pad,
    ops.Resize: _resize,
    ops.Matrix: _matrix,
    ops.Mix: _mix,
    ops.Transpose: _transpose,
    ops.Scale: _scale,
    ops.ConcatSpatial: _concat_spatial,
}
