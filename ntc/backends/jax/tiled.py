"""Large kernel matrices, tile by tile, several tiles at once where the device is a CPU."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ntc.ir.types import Target
from ntc.schedule.tiles import Tiling

Progress = Callable[[int, int], None]
"""Called with (tiles done, tiles in all): before the first, which compiles, and after each."""

Values = dict[str, npt.NDArray[Any]]
Examples = npt.NDArray[Any]


def workers(target: Target) -> int:
    """Tiles to compute at once. A tile is too small to occupy more than one core of a CPU."""
    return (os.cpu_count() or 1) if target == "cpu" else 1


@dataclass(frozen=True)
class TiledMatrix:
    """The matrix k(x1, x2), or k(x1, x1) if x2 is None, whose tiles are being computed.

    Attributes:
      cross: k(rows, columns) of one tile.
      own: k(rows, rows) of one tile on the diagonal.
      result: where tiles are written, by kernel.
    """

    cross: Callable[[Examples, Examples], Values]
    own: Callable[[Examples], Values]
    x1: Examples
    x2: Examples | None
    tiling: Tiling
    result: Values

    def compute(self, threads: int, progress: Progress | None) -> None:
        """Fills the result. Entries do not depend on `threads`."""
        tiles = list(self._tiles())
        report = progress or (lambda done, total: None)
        report(0, len(tiles))
        with ThreadPoolExecutor(threads) as pool:
            futures = [pool.submit(self._compute_tile, *tile) for tile in tiles]
            try:
                for done, future in enumerate(as_completed(futures), 1):
                    future.result()
                    report(done, len(tiles))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    @property
    def _symmetric(self) -> bool:
        return self.x2 is None

    @property
    def _columns(self) -> Examples:
        return self.x1 if self.x2 is None else self.x2

    def _tiles(self) -> Iterator[tuple[int, int]]:
        """First row and column of every tile; of a symmetric matrix, those on and above the diagonal."""
        for i in range(0, len(self.x1), self.tiling.rows):
            for j in range(i if self._symmetric else 0, len(self._columns), self.tiling.columns):
                yield i, j

    def _compute_tile(self, i: int, j: int) -> None:
        """Computes one tile and writes it, and of a symmetric matrix its mirror image as well."""
        rows = self.x1[i : i + self.tiling.rows]
        columns = self._columns[j : j + self.tiling.columns]
        on_diagonal = self._symmetric and i == j
        first = padded(rows, self.tiling.rows)
        values = self.own(first) if on_diagonal else self.cross(first, padded(columns, self.tiling.columns))
        for name, value in values.items():
            tile = value[: len(rows), : len(columns)]
            self.result[name][i : i + len(rows), j : j + len(columns)] = tile
            if self._symmetric and not on_diagonal:
                self.result[name][j : j + len(columns), i : i + len(rows)] = _transposed(tile)


def padded(x: Examples, size: int) -> Examples:
    """With examples of zeros up to `size`, so that every tile has one shape and is compiled once."""
    return x if len(x) == size else np.concatenate([x, np.zeros((size - len(x), *x.shape[1:]), x.dtype)])


def _transposed(value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """k(b, a) from k(a, b): both axes of every pair are swapped."""
    order = [axis + 1 if axis % 2 == 0 else axis - 1 for axis in range(value.ndim)]
    return value.transpose(order)
