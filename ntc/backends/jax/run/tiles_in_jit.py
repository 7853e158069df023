"""Large kernel matrices inside other JAX transformations: tile after tile in one computation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.ir.graph import Graph
from ntc.ir.kernel.readout import mirrored
from ntc.ir.types import Target
from ntc.plan.tiles import Needs, Tiling, default_memory

Tile = Callable[..., Mapping[str, jax.Array]]


def traced_tiling(graph: Graph, n1: int, n2: int, target: Target) -> Tiling | None:
    """Tiles, if a matrix computed as one would need more than a quarter of the default memory: the rest is for what a
    reverse pass keeps. None if it would not."""
    limit = default_memory() // 4
    if Needs.of(graph).pair * n1 * n2 <= limit:
        return None
    return Tiling.choose(graph, n1, n2, target, limit)


@dataclass(frozen=True)
class TracedTiles:
    """k(x1, x2), or k(x1, x1), of which the reverse pass computes one tile at a time again.

    Attributes:
      tile: k(rows, columns); of k(x1, x1), with `equal`: whether rows and columns are the same examples.
      tiling: of k(x1, x1), of squares.
    """

    tile: Tile
    tiling: Tiling

    def cross(self, x1: jax.Array, x2: jax.Array) -> dict[str, jax.Array]:
        """k(x1, x2) by label, (n1, n2, ...)."""
        first, second = stacked(x1, self.tiling.rows), stacked(x2, self.tiling.columns)
        step = jax.checkpoint(self.tile, prevent_cse=False)
        found = lax.map(lambda rows: lax.map(lambda columns: step(rows, columns), second), first)
        return {name: joined(value)[: x1.shape[0], : x2.shape[0]] for name, value in found.items()}

    def own(self, x: jax.Array) -> dict[str, jax.Array]:
        """k(x, x) by label: tiles on and above the diagonal, of which the others are mirror images."""
        parts = stacked(x, self.tiling.rows)
        count = parts.shape[0]
        i, j = np.triu_indices(count)

        @jax.checkpoint
        def step(place: tuple[jax.Array, jax.Array]) -> Mapping[str, jax.Array]:
            return self.tile(parts[place[0]], parts[place[1]], equal=place[0] == place[1])

        found = lax.map(step, (jnp.asarray(i), jnp.asarray(j)))
        index = np.zeros((count, count), int)
        index[i, j] = index[j, i] = np.arange(len(i))
        size = x.shape[0]
        return {name: mirrored(joined(value[index])[:size, :size], jnp) for name, value in found.items()}


def stacked(x: jax.Array, size: int) -> jax.Array:
    """Examples (n, ...) as (tiles, size, ...), the last of them zeros."""
    count = -(-x.shape[0] // size)
    padded = jnp.pad(x, [(0, count * size - x.shape[0])] + [(0, 0)] * (x.ndim - 1))
    return padded.reshape(count, size, *x.shape[1:])


def joined(tiles: jax.Array) -> jax.Array:
    """(tiles, tiles, rows, columns, ...) as a matrix (n1, n2, ...)."""
    x = jnp.swapaxes(tiles, 1, 2)
    return x.reshape(x.shape[0] * x.shape[1], x.shape[2] * x.shape[3], *x.shape[4:])
