"""Filters that keep lanes apart, on some lanes and examples at a time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial, reduce
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ntc.backends.jax.block import Block, Lanes, along_axis, repeat_columns
from ntc.backends.jax.boundary import Boundary
from ntc.ir.lanes import Axis, axes_of
from ntc.ir.sliding import Sliding

Masks = Mapping[tuple[int, int], jax.Array]
"""By axis and tap: which entries the tap reads inside both images, to multiply (*positions, rows, lanes * columns)."""


def masks_of(geometry: tuple[Sliding, ...], lanes: Lanes, columns: Any, dtype: Any) -> Masks:
    """The masks of a filter; none for taps that never leave the second image where they are inside the first."""
    masks: dict[tuple[int, int], jax.Array] = {}
    rank = len(geometry)
    for axis, (sliding, target) in enumerate(zip(geometry, axes_of(lanes.type), strict=True)):
        for tap in range(sliding.window):
            if _leaves_image(sliding, tap, target):
                read = sliding.stride * lanes.partners(axis) + tap * sliding.dilation - sliding.pads[0]
                inside = (read >= 0) & (read < sliding.size)
                wide = repeat_columns(along_axis(inside, axis, rank), columns)
                masks[axis, tap] = jnp.expand_dims(wide, rank).astype(dtype)
    return masks


def _leaves_image(sliding: Sliding, tap: int, target: Axis) -> bool:
    """Whether p' + a lies outside the image for some entry with p + a inside."""
    if target.diagonal or sliding.padding == "circular":
        return False
    return not sliding.sources(tap)[1].all()


def filtered(block: Block, geometry: tuple[Sliding, ...], masks: Masks, boundary: Boundary) -> jax.Array:
    """Sums over the taps of a filter whose taps at p and p' move together, within every lane.

    The geometry must keep lanes apart. One axis after the other, the first last: 2 k terms instead of k^2. The caller
    stores the result.
    """
    x, margins = block.array, block.margins or ((0, 0),) * block.rank
    for axis in reversed(range(block.rank)):
        step = partial(_filtered, x, axis, geometry[axis], margins[axis], masks)
        if axis and geometry[axis].window > 1:
            shape = (*x.shape[:axis], geometry[axis].outputs, *x.shape[axis + 1 :])
            x = boundary.stored(step, shape, x.dtype)
        else:
            x = step()
    return x


def _filtered(x: jax.Array, axis: int, sliding: Sliding, margins: tuple[int, int], masks: Masks) -> jax.Array:
    x, start = _padded(x, axis, sliding, margins)
    last = (sliding.outputs - 1) * sliding.stride + 1
    terms = []
    for tap in range(sliding.window):
        first = start + tap * sliding.dilation
        term = lax.slice_in_dim(x, first, first + last, sliding.stride, axis)
        mask = masks.get((axis, tap))
        terms.append(term if mask is None else term * mask)
    return reduce(add, terms)


def _padded(x: jax.Array, axis: int, sliding: Sliding, margins: tuple[int, int]) -> tuple[jax.Array, int]:
    """x with at least the positions that are read outside, and where the first tap starts."""
    missing = [max(0, pad - margin) for pad, margin in zip(sliding.pads, margins, strict=True)]
    start = margins[0] + missing[0] - sliding.pads[0]
    if not any(missing):
        return x, start
    widths = [(0, 0)] * x.ndim
    widths[axis] = (missing[0], missing[1])
    return jnp.pad(x, widths, mode="wrap" if sliding.padding == "circular" else "constant"), start
