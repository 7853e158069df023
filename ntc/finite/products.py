"""NTK-vector products, and the kernel column by column from them (Novak et al. 2022, section 3.2 and appendix L)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ntc.finite.arguments import VmapAxes
from ntc.finite.axes import OutputAxes
from ntc.finite.jacobians import Side


def ntk_product(first: Callable[[Any], Any], second: Callable[[Any], Any], params: Any) -> Callable[[Any], Any]:
    """v -> J1 J2^T v for functions of the parameters: one vector-Jacobian and one Jacobian-vector product."""
    _, back = jax.vjp(second, params)

    def product(cotangents: Any) -> Any:
        (direction,) = back(cotangents)
        return jax.jvp(first, (params,), (direction,))[1]

    return product


def size_of_directions(second: Side, params: Any, axes: VmapAxes) -> int:
    """Bytes of the vector-Jacobian products of all entries of the outputs at one side."""
    function, x, mapped = second
    names = {name: axes.keywords[name] for name in mapped}
    outputs = jax.eval_shape(jax.vmap(function, (None, axes.x, names)), params, x, mapped)
    weights = jax.tree.leaves(jax.eval_shape(lambda p: p, params))
    return int(outputs.size) * sum(int(w.size) * int(w.dtype.itemsize) for w in weights)


def ntk_by_products(
    first: Side, second: Side, params: Any, vmap_axes: VmapAxes | None, axes: OutputAxes, batch: int | None
) -> jax.Array:
    """The kernel between two sides, before division by the size of traced axes."""
    (f1, *one), (f2, *two) = first, second

    def pair(one: Sequence[Any], two: Sequence[Any]) -> jax.Array:
        product = ntk_product(lambda p: f1(p, *one), lambda p: f2(p, *two), params)
        shape = jax.eval_shape(f2, params, *two)
        basis = jnp.eye(shape.size, dtype=shape.dtype).reshape(shape.size, *shape.shape)
        columns: jax.Array = jax.vmap(product, out_axes=-1)(basis)
        return columns.reshape(*columns.shape[:-1], *shape.shape)

    if vmap_axes is None or batch is None:
        block = pair(one, two)
    else:
        names = {name: vmap_axes.keywords[name] for name in one[1]}
        examples = [vmap_axes.x, names]
        rank = len(axes.first)
        rows = jax.vmap(pair, (None, examples), rank - 1 + batch)
        block = jax.vmap(rows, (examples, None), batch)(one, two)
    return jnp.einsum(block, [*axes.first, *axes.second], list(axes.kernel))
