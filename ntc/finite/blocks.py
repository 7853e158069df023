"""An empirical NTK in blocks of examples, so that derivatives of a few are held at once.

Of x1 with itself each pair of blocks is computed once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.finite.arguments import VmapAxes, axes_of_leaves
from ntc.finite.axes import Labels, OutputAxes
from ntc.finite.jacobians import Side

MEMORY_BUDGET = 2**30
"""Bytes of derivatives and products that are held at once, where the caller says nothing."""


@dataclass(frozen=True)
class Output:
    """One array that f returns.

    Attributes:
      first, second: that output of f at x1 and at x2; `second` is None where x2 is x1.
      axes: how its axes are paired.
      batch: the axis that counts independent examples.
      normalizer: the number of entries that traces add up.
    """

    first: Side
    second: Side | None
    axes: OutputAxes
    batch: int | None
    normalizer: int


Computed = Callable[[Output], list[jax.Array]]
"""The kernels of an output, each with the axes of `OutputAxes.kernel`."""


def in_blocks(
    compute: Computed, needed: Callable[[Output], int], output: Output, axes: VmapAxes, budget: int
) -> list[jax.Array]:
    """`compute(output)`, in blocks of so many examples that `needed`, in bytes, is within the budget; one at least."""
    batch = output.batch
    if batch is None:
        return compute(output)
    most = max(_count(side, axes) for side in _sides(output))
    size = most
    while size > 1 and needed(_shaped(output, axes, size)) > budget:
        size = (size + 1) // 2
    if size == most:
        return compute(output)
    if batch in output.axes.traced:
        labels = replace(output.axes, kernel=(batch, *output.axes.kernel))
        return [kernel.sum(0) for kernel in _Blocks(compute, replace(output, axes=labels), batch, axes, size)()]
    return _Blocks(compute, output, batch, axes, size)()


@dataclass(frozen=True)
class _Blocks:
    """Blocks begin at multiples of `size`; the last ends with the examples, and overlaps the one before."""

    compute: Computed
    output: Output
    batch: int
    vmap_axes: VmapAxes
    size: int

    def __call__(self) -> list[jax.Array]:
        sides = _sides(self.output)
        counts = [_count(side, self.vmap_axes) for side in (sides[0], sides[-1])]
        pairs = self._pairs(*counts)
        tiles = jax.eval_shape(self._tiles, *pairs[0])
        empty = [jnp.zeros(self._shape(tile.shape, counts), tile.dtype) for tile in tiles]
        found: list[jax.Array] = lax.scan(self._step, empty, jnp.asarray(pairs))[0]
        return found

    def _pairs(self, count1: int, count2: int) -> np.ndarray:
        """Where blocks begin, (pairs of blocks, 2)."""
        rows, columns = (np.minimum(np.arange(0, n, self.size), max(0, n - self.size)) for n in (count1, count2))
        if not self._paired:
            return np.stack([rows, rows], 1)
        if self.output.second is None:
            return np.stack([rows[x] for x in np.triu_indices(len(rows))], 1)
        return np.stack([x.ravel() for x in np.meshgrid(rows, columns, indexing="ij")], 1)

    @property
    def _paired(self) -> bool:
        """Whether examples of x1 meet all of x2, and not those of equal number only."""
        return self.output.axes.second[self.batch] != self.batch

    def _tiles(self, row: Any, column: Any) -> list[jax.Array]:
        first, *second = _sides(self.output)
        other = second[0] if second else first if self._paired else None
        cut = None if other is None else _cut(other, self.vmap_axes, column, self.size)
        return self.compute(replace(self.output, first=_cut(first, self.vmap_axes, row, self.size), second=cut))

    def _step(self, kernels: list[jax.Array], pair: jax.Array) -> tuple[list[jax.Array], None]:
        tiles = self._tiles(pair[0], pair[1])
        if self._paired and self.output.second is None:
            swapped = self._swapped()
            mirrored = [tile.transpose(swapped) for tile in tiles]
            kernels = [self._placed(k, tile, pair[::-1]) for k, tile in zip(kernels, mirrored, strict=True)]
        return [self._placed(k, tile, pair) for k, tile in zip(kernels, tiles, strict=True)], None

    def _placed(self, kernel: jax.Array, tile: jax.Array, pair: jax.Array) -> jax.Array:
        starts = [jnp.zeros((), pair.dtype)] * kernel.ndim
        for axis, start in zip(self._places(), pair, strict=False):
            starts[axis] = start
        return lax.dynamic_update_slice(kernel, tile, starts)

    def _shape(self, tile: tuple[int, ...], counts: list[int]) -> tuple[int, ...]:
        shape = list(tile)
        for axis, count in zip(self._places(), counts, strict=False):
            shape[axis] = count
        return tuple(shape)

    def _places(self) -> tuple[int, ...]:
        """The axes of examples in the kernel: two, next to each other, or one."""
        first = self.output.axes.kernel.index(self.batch)
        return (first, first + 1) if self._paired else (first,)

    def _swapped(self) -> Labels:
        """The order of axes that exchanges x1 and x2."""
        axes = self.output.axes
        other = dict(zip((*axes.first, *axes.second), (*axes.second, *axes.first), strict=True))
        other.update({label: label for label in axes.first if label in axes.second})
        return tuple(axes.kernel.index(other[label]) for label in axes.kernel)


def _sides(output: Output) -> tuple[Side, ...]:
    return (output.first,) if output.second is None else (output.first, output.second)


def _shaped(output: Output, axes: VmapAxes, size: int) -> Output:
    """The output at the first examples, as shapes."""

    def cut(side: Side) -> Side:
        single, *arrays = side
        shaped = jax.eval_shape(lambda x, mapped: _cut((single, x, mapped), axes, 0, size)[1:], *arrays)
        return (single, *shaped)

    return replace(output, first=cut(output.first), second=None if output.second is None else cut(output.second))


def _cut(side: Side, axes: VmapAxes, start: Any, size: int) -> Side:
    """A side at some of its examples."""
    single, x, mapped = side
    keywords = {name: axes.keywords[name] for name in mapped}
    return single, _along(axes.x, x, start, size), _along(keywords, mapped, start, size)


def _along(axes: Any, tree: Any, start: Any, size: int) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    found = [
        x if axis is None else lax.dynamic_slice_in_dim(jnp.asarray(x), start, min(size, jnp.shape(x)[axis]), axis)
        for x, axis in zip(leaves, axes_of_leaves(axes, tree), strict=True)
    ]
    return jax.tree.unflatten(structure, found)


def _count(side: Side, axes: VmapAxes) -> int:
    """The number of examples."""
    _, x, mapped = side
    keywords = {name: axes.keywords[name] for name in mapped}
    places = [*axes_of_leaves(axes.x, x), *axes_of_leaves(keywords, mapped)]
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves((x, mapped))]
    return next(int(shape[axis]) for shape, axis in zip(shapes, places, strict=True) if axis is not None)
