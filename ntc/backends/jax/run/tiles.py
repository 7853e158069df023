"""Large kernel matrices, tile by tile, several tiles at once where the device is a CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ntc.ir.graph import Graph
from ntc.ir.kernel.readout import transposed
from ntc.ir.platform import PLATFORMS
from ntc.ir.types import Target
from ntc.plan import machine
from ntc.plan.tiles import Tiling

Progress = Callable[[int, int], None]
"""Called with (tiles done, tiles in all): before the first, which compiles, and after each."""

Values = dict[str, npt.NDArray[Any]]
Examples = npt.NDArray[Any]


def workers(target: Target) -> int:
    """Tiles to compute at once. A tile is too small to occupy more than one core of a CPU."""
    return machine.cores() if PLATFORMS[target].tile_per_core else 1


@dataclass(frozen=True)
class TiledMatrix:
    """The matrix k(x1, x2), or k(x1, x1) if x2 is None, whose tiles are being computed.

    Attributes:
      result: where tiles are written, by kernel. A matrix of one tile is that tile, and may be read only.
    """

    x1: Examples
    x2: Examples | None
    tiling: Tiling
    result: Values

    @property
    def symmetric(self) -> bool:
        """Whether only tiles on and above the diagonal are computed."""
        return self.x2 is None

    def tiles(self) -> Iterator[tuple[int, int]]:
        """First row and column of every tile; of a symmetric matrix, those on and above the diagonal."""
        for i in range(0, len(self.x1), self.tiling.rows):
            for j in range(i if self.symmetric else 0, len(self._columns), self.tiling.columns):
                yield i, j

    def on_diagonal(self, i: int, j: int) -> bool:
        """Whether the rows and the columns of a tile are the same examples."""
        return self.symmetric and i == j

    def rows(self, i: int) -> Examples:
        """The rows of a tile, with zeros up to its size."""
        return padded(self.x1[i : i + self.tiling.rows], self.tiling.rows)

    def columns(self, j: int) -> Examples:
        """The columns of a tile, with zeros up to its size."""
        return padded(self._columns[j : j + self.tiling.columns], self.tiling.columns)

    def write(self, i: int, j: int, values: Values) -> None:
        """Writes what is found for a tile, and of a symmetric matrix its mirror image as well."""
        rows, columns = slice(i, i + self.tiling.rows), slice(j, j + self.tiling.columns)
        for name, value in values.items():
            whole = self.result[name]
            if value.shape == whole.shape:  # not copied
                self.result[name] = value
                continue
            tile = value[: len(self.x1[rows]), : len(self._columns[columns])]
            whole[rows, columns] = tile
            if self.symmetric and i != j:
                whole[columns, rows] = transposed(tile)

    @property
    def _columns(self) -> Examples:
        return self.x1 if self.x2 is None else self.x2


def shape_of(graph: Graph, label: str, n1: int, n2: int) -> tuple[int, ...]:
    """Of the matrix of an output: (n1, n2), and of every spatial axis its size twice."""
    (value,) = (output.value for output in graph.outputs if output.label == label)
    spatial = graph.covariance_of(value).spatial
    return n1, n2, *(n for size in spatial for n in (size, size))


def compute_tiles(
    matrix: TiledMatrix,
    cross: Callable[[Examples, Examples], Values],
    own: Callable[[Examples], Values],
    threads: int,
    progress: Progress | None,
) -> None:
    """Fills the matrix on one device, several tiles at a time. Entries do not depend on `threads`.

    `cross` is k(rows, columns) of one tile, `own` is k(rows, rows) of one on the diagonal.
    """

    def compute(i: int, j: int) -> None:
        rows = matrix.rows(i)
        matrix.write(i, j, own(rows) if matrix.on_diagonal(i, j) else cross(rows, matrix.columns(j)))

    tiles = list(matrix.tiles())
    report = progress or (lambda done, total: None)
    report(0, len(tiles))
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(compute, *tile) for tile in tiles]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                report(done, len(tiles))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def padded(x: Examples, size: int) -> Examples:
    """With examples of zeros up to `size`, so that every tile has one shape and is compiled once."""
    return x if len(x) == size else np.concatenate([x, np.zeros((size - len(x), *x.shape[1:]), x.dtype)])
