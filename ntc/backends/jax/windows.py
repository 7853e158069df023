"""Filters that keep lanes apart, on some lanes and examples at a time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial, reduce
from itertools import product
from operator import add, mul
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.backends.jax.block import Block, Lanes, Margins, along_axis, repeat_columns
from ntc.backends.jax.boundary import Boundary
from ntc.ir.kernel import Window
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
                inside = _inside(sliding, tap, lanes.partners(axis))
                wide = repeat_columns(along_axis(inside, axis, rank), columns)
                masks[axis, tap] = jnp.expand_dims(wide, rank).astype(dtype)
    return masks


def _inside(sliding: Sliding, tap: int, partners: Any) -> Any:
    """Whether the tap reads inside the second image, at p' (positions, lanes) of the result."""
    read = sliding.stride * partners + tap * sliding.dilation - sliding.pads[0]
    return (read >= 0) & (read < sliding.size)


def _leaves_image(sliding: Sliding, tap: int, target: Axis) -> bool:
    """Whether p' + a lies outside the image for some entry with p + a inside."""
    if target.diagonal or sliding.padding == "circular":
        return False
    return not sliding.sources(tap)[1].all()


def filtered(block: Block, op: Window, lanes: Lanes, masks: Masks, boundary: Boundary) -> jax.Array:
    """Sums over the taps of a filter whose taps at p and p' move together, within every lane of the result.

    The geometry must keep lanes apart. The caller stores the result.
    """
    x, margins = block.array, block.margins or ((0, 0),) * block.rank
    geometry = op.axes(block.type)
    if op.lowering == "direct":
        return _all_taps(x, geometry, margins, masks)
    for axis in reversed(range(block.rank)):  # the first axis last: its rows are longest
        form = partial(_by_matrix, lanes, block.columns) if op.lowering == "matrix" else _filtered
        step = partial(form, x, axis, geometry[axis], margins[axis], masks)
        if axis and geometry[axis].window > 1:
            shape = (*x.shape[:axis], geometry[axis].outputs, *x.shape[axis + 1 :])
            x = boundary.stored(step, shape, x.dtype)
        else:
            x = step()
    return x


def _all_taps(x: jax.Array, geometry: tuple[Sliding, ...], margins: Margins, masks: Masks) -> jax.Array:
    """All taps of all axes in one sum: no value in between, but a term for each."""
    starts = []
    for axis, sliding in enumerate(geometry):
        x, start = _padded(x, axis, sliding, margins[axis])
        starts.append(start)
    terms = []
    for taps in product(*(range(sliding.window) for sliding in geometry)):
        term = x
        for axis, (sliding, start, tap) in enumerate(zip(geometry, starts, taps, strict=True)):
            first = start + tap * sliding.dilation
            last = first + (sliding.outputs - 1) * sliding.stride + 1
            term = lax.slice_in_dim(term, first, last, sliding.stride, axis)
        inside = [masks[axis, tap] for axis, tap in enumerate(taps) if (axis, tap) in masks]
        terms.append(reduce(mul, inside, term))
    return reduce(add, terms)


def _by_matrix(
    lanes: Lanes, columns: Any, x: jax.Array, axis: int, sliding: Sliding, margins: tuple[int, int], masks: Masks
) -> jax.Array:
    """A product with a banded matrix along the axis, one for every lane where masks differ from lane to lane."""
    x, start = _padded(x, axis, sliding, margins)
    reads = [
        start + sliding.stride * np.arange(sliding.outputs) + tap * sliding.dilation for tap in range(sliding.window)
    ]
    bands = [np.arange(x.shape[axis]) == read[:, None] for read in reads]
    front = jnp.moveaxis(x.reshape(*x.shape[:-1], -1, columns), axis, 0)
    if any((axis, tap) in masks for tap in range(sliding.window)):
        inside = [_inside(sliding, tap, lanes.partners(axis)) for tap in range(sliding.window)]
        matrix = sum(band[:, :, None] * mask[:, None, :] for band, mask in zip(bands, inside, strict=True))
        form = "Ppc,p...cn->P...cn"
    else:
        matrix, form = sum(band.astype(int) for band in bands), "Pp,p...->P..."
    matrix = jnp.asarray(matrix, x.dtype)
    y = jnp.moveaxis(jnp.einsum(form, matrix, front, precision=lax.Precision.HIGHEST), 0, axis)
    return y.reshape(*y.shape[:-2], -1)


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
