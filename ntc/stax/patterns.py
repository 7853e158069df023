"""Graphs of examples, as `Aggregate` takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp

from ntc.backends.jax.concrete import is_traced
from ntc.errors import InputError
from ntc.ir.ops import Aggregate


@dataclass(frozen=True)
class Patterns:
    """Patterns as one layer takes them: lists of edges, or what `to_dense` makes adjacency of."""

    sparse: bool = False
    to_dense: Callable[[Any], Any] | None = None

    def __call__(self, pattern: Any, sizes: tuple[int, ...]) -> Any:
        """The dense pattern (n, *sizes, *sizes)."""
        if pattern is None:
            return None
        if self.sparse:
            return from_edges(pattern, sizes)
        return pattern if self.to_dense is None else self.to_dense(pattern)


def vertices(op: Any, spatial: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes of the axes of vertices of an `Aggregate` op; none for other ops."""
    return tuple(spatial[axis] for axis in op.kernel_op(spatial).axes) if isinstance(op, Aggregate) else ()


def adjacent(pattern: Any, op: Aggregate, spatial: tuple[int, ...], count: int) -> jax.Array:
    """Matrices (count, vertices, outputs) of a pattern (count, *sizes, *outputs); without one, identities.

    Raises InputError.
    """
    sizes = vertices(op, spatial)
    outputs = sizes if op.sizes is None else op.sizes
    if pattern is None:
        return jnp.broadcast_to(jnp.eye(prod(sizes)), (count, prod(sizes), prod(sizes)))
    dense = jnp.asarray(pattern)
    if dense.shape[1:] != (*sizes, *outputs):
        raise InputError(
            f"the pattern should have shape (n, {', '.join(map(str, sizes + outputs))}), got {dense.shape}"
        )
    return dense.reshape(dense.shape[0], prod(sizes), prod(outputs))


def from_edges(edges: Any, sizes: tuple[int, ...]) -> jax.Array:
    """The dense pattern (n, *sizes, *sizes) of edges (n, count, axes, 2), or (n, count, 2) of one axis.

    The last axis has tail and head. An edge that is there twice has weight 2; one with a negative coordinate does not
    count. Raises InputError for other shapes.
    """
    array = jnp.asarray(edges)
    if array.ndim == 3:
        array = array[:, :, None, :]
    if array.ndim != 4 or array.shape[2:] != (len(sizes), 2) or array.dtype.kind not in "iu":
        raise InputError(
            f"a sparse pattern should hold whole numbers of shape (n, edges, {len(sizes)}, 2), "
            f"got {array.dtype} in {array.shape}"
        )
    if not is_traced(array) and (array >= jnp.asarray(sizes)[None, None, :, None]).any():
        raise InputError(f"a sparse pattern names a vertex beyond the last one of {sizes}")
    there = (array >= 0).all((2, 3))
    tails, heads = (jnp.ravel_multi_index(tuple(jnp.moveaxis(array[..., end], -1, 0)), sizes, "clip") for end in (0, 1))
    vertices = prod(sizes)
    example = jnp.broadcast_to(jnp.arange(array.shape[0])[:, None], tails.shape)
    matrices = jnp.zeros((array.shape[0], vertices, vertices)).at[example, tails, heads].add(there.astype(float))
    return matrices.reshape(array.shape[0], *sizes, *sizes)
