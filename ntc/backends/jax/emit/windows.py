"""Filters that keep lanes apart, on some lanes and examples at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, reduce
from itertools import product
from operator import add, mul
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.backends.jax.emit.fusion_barrier import Boundary
from ntc.backends.jax.emit.lane_array import Block, Lanes, along_axis, repeat_columns
from ntc.ir.kernel import Window
from ntc.ir.lanes import Axis, axes_of
from ntc.ir.sliding import Sliding
from ntc.plan import Margins


@dataclass(frozen=True)
class Masks:
    """Which entries a tap of a filter reads inside both images; for taps that may leave the second image where they
    are inside the first.

    Attributes:
      stack: of all masks, (masks, positions, lanes * columns).
      places: of the mask of an axis and tap in the stack, and the number of its positions.
      rank: number of spatial axes.
    """

    stack: jax.Array
    places: Mapping[tuple[int, int], tuple[int, int]]
    rank: int

    @classmethod
    def of(cls, geometry: tuple[Sliding, ...], lanes: Lanes, columns: Any, dtype: Any) -> Masks:
        """For all taps of a filter on the lanes of its result."""
        layout = axes_of(lanes.type)
        taps = [(axis, tap) for axis, sliding in enumerate(geometry) for tap in range(sliding.window)]
        keys = [(axis, tap) for axis, tap in taps if _leaves_image(geometry[axis], tap, layout[axis])]
        places = {key: (i, layout[key[0]].size) for i, key in enumerate(keys)}
        positions = np.arange(max((size for _, size in places.values()), default=0))[:, None]

        def numbers(of: Callable[[int, int], int]) -> Any:
            return np.array([of(*key) for key in keys], np.int32).reshape(-1, 1, 1)

        partners = positions + lanes.residues_of([axis for axis, _ in keys])[:, None, :]
        partners = partners % numbers(lambda axis, tap: layout[axis].modulus)
        read = partners * numbers(lambda axis, tap: geometry[axis].stride)
        read = read + numbers(lambda axis, tap: tap * geometry[axis].dilation - geometry[axis].pads[0])
        inside = (read >= 0) & (read < numbers(lambda axis, tap: geometry[axis].size))
        return cls(repeat_columns(inside, columns).astype(dtype), places, len(geometry))

    def get(self, axis: int, tap: int) -> jax.Array | None:
        """To multiply (*positions, rows, lanes * columns); None where a tap never leaves the image."""
        if (axis, tap) not in self.places:
            return None
        place, size = self.places[axis, tap]
        return jnp.expand_dims(along_axis(self.stack[place, :size], axis, self.rank), self.rank)


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
        x = boundary.stored(step) if axis and geometry[axis].window > 1 else step()
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
        inside = [mask for axis, tap in enumerate(taps) if (mask := masks.get(axis, tap)) is not None]
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
    if any((axis, tap) in masks.places for tap in range(sliding.window)):
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
        mask = masks.get(axis, tap)
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
