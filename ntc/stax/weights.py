"""How the arrays of one layer lie in the parameters of `ntc.stax`: drawn there, and given to the forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ntc.errors import InputError
from ntc.ir.op import Weight
from ntc.ir.types import TensorType
from ntc.stax.layout import Layout
from ntc.stax.part import Filters, Single


def drawn(
    part: Single, rng: jax.Array, weights: Mapping[str, Weight], layout: Layout, out: Layout, x: TensorType
) -> tuple[jax.Array | None, ...]:
    """Random parameters, one entry per slot.

    Args:
      weights: the arrays of the op on the input x.
      layout, out: where the axes of the input and of the output are.
    """
    filters = part.filters
    keys = jax.random.split(rng, len(filters.slots))
    found: list[jax.Array | None] = []
    for slot, key in zip(filters.slots, keys, strict=True):
        weight = weights.get(slot)
        if weight is None:
            found.append(None)
            continue
        shape = _shape(filters, slot, weight, layout, out, x)
        found.append(_scale(part, slot, weight, "init") * jax.random.normal(key, shape))
    return tuple(found)


def scaled(part: Single, params: Any, weights: Mapping[str, Weight], out: Layout) -> dict[str, jax.Array]:
    """The arrays of the op, times what the forward pass scales them by. Raises InputError for other parameters."""
    if not weights:
        return {}
    filters = part.filters
    fits = isinstance(params, tuple | list) and len(params) == len(filters.slots)
    given = dict(zip(filters.slots, params, strict=True)) if fits else {}
    missing = [slot for slot in weights if given.get(slot) is None]
    if missing:
        raise InputError(f"the parameters have no {', '.join(missing)}", hint="give those that init_fn made")
    own = {slot: _own(filters, slot, given[slot], weights, out) for slot in weights}
    return {slot: _scale(part, slot, weight, "apply") * own[slot] for slot, weight in weights.items()}


def _scale(part: Single, slot: str, weight: Weight, read: str) -> Any:
    """What an array is multiplied by when it is drawn ("init"), or in the forward pass ("apply")."""
    constant = weight.std if read == "init" else weight.multiplier
    if weight.read != read:
        return constant
    return constant * (part.hyper[weight.hyper.name] if weight.hyper else part.signs.get(slot, 1.0))


def _shape(filters: Filters, slot: str, weight: Weight, layout: Layout, out: Layout, x: TensorType) -> tuple[int, ...]:
    """The shape of an array in the parameters."""
    if slot == "b":
        own = weight.shape if filters.bias is None else tuple(weight.shape[axis] for axis in filters.bias)
        stored: tuple[int, ...] = out.stored((*(1,) * (out.axes - len(own)), *own))
        return stored
    if slot == "embedding":
        embedding: tuple[int, ...] = layout.stored((1, *x.spatial, weight.shape[-1]))
        return embedding
    if slot == "w" and filters.order is not None:
        return tuple(weight.shape[axis] for axis in filters.order)
    return weight.shape


def _own(filters: Filters, slot: str, given: Any, weights: Mapping[str, Weight], out: Layout) -> jax.Array:
    """An array of the parameters as the forward pass takes it; biases have all axes of what they are added to."""
    shape = weights[slot].shape
    array: jax.Array = jnp.asarray(given)
    if slot == "b":
        expanded: jax.Array = out.standard(array)
        if filters.bias is not None:
            expanded = jnp.transpose(expanded, (0, *(1 + filters.bias.index(axis) for axis in range(len(shape)))))
        return expanded if "w" in filters.slots else expanded.reshape(1, 1, -1)
    if slot == "embedding":
        embedding: jax.Array = out.standard(array).reshape(shape)
        return embedding
    if slot == "out":  # rows are value channels, then heads
        heads, _, channels = weights["value"].shape
        array = jnp.moveaxis(array.reshape(channels, heads, -1), 0, 1).reshape(shape)
    if slot == "w" and filters.order is not None:
        array = jnp.transpose(array, [filters.order.index(axis) for axis in range(len(filters.order))])
        array = array if filters.taps is None else _with_taps_in_order(array, filters.taps)
    return array


def _with_taps_in_order(w: jax.Array, taps: tuple[tuple[int, int], ...]) -> jax.Array:
    """Filters (..., channels * taps, outputs) with taps in the order of the op's axes."""
    *positions, inputs, outputs = w.shape
    first, sizes = len(positions) + 1, [size for size, _ in taps]
    apart = w.reshape(*positions, -1, *sizes, outputs)
    order = [*range(first), *(first + place for _, place in taps), apart.ndim - 1]
    return jnp.transpose(apart, order).reshape(*positions, inputs, outputs)
