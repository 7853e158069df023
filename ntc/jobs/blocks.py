"""Blocks of a kernel matrix, in an order in which the first ones are always a whole kernel of some examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Task = tuple[int, int]
"""Which block: that of these rows and columns of blocks."""

Present = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Blocks:
    """The blocks of k(x1, x2), or of k(x1, x1), of which those below the diagonal are mirror images.

    Attributes:
      n1, n2: numbers of examples.
      symmetric: whether it is k(x1, x1).
      side: examples on either side of a block; the last ones have what is left.
    """

    n1: int
    n2: int
    symmetric: bool
    side: int

    @property
    def rows(self) -> int:
        """Of blocks."""
        return -(-self.n1 // self.side)

    @property
    def columns(self) -> int:
        """Of blocks."""
        return -(-self.n2 // self.side)

    @property
    def count(self) -> int:
        """How many are computed."""
        return self.count_of(None)

    def row_span(self, i: int) -> slice:
        """Rows of the matrix in a row of blocks."""
        return slice(i * self.side, min((i + 1) * self.side, self.n1))

    def column_span(self, j: int) -> slice:
        """Columns of the matrix in a column of blocks."""
        return slice(j * self.side, min((j + 1) * self.side, self.n2))

    def tasks(self) -> Iterator[Task]:
        """All that are computed, by leading squares: the first ones are the kernel of the first examples."""
        for last in range(max(self.rows, self.columns)):
            if last < self.columns:
                yield from ((i, last) for i in range(min(last + 1, self.rows)))
            if last < self.rows and not self.symmetric:
                yield from ((last, j) for j in range(min(last, self.columns)))

    def missing(self, present: Present, first: int | None = None) -> Iterator[Task]:
        """Those that are not there, of an array (rows, columns) of what is; of the `first` rows of blocks alone."""
        return (task for task in self.tasks() if not present[task] and (first is None or task[0] < first))

    def present_count(self, present: Present, first: int | None = None) -> int:
        """How many are there; of the `first` rows of blocks alone."""
        return int((np.triu(present) if self.symmetric else present)[:first].sum())

    def missing_count(self, present: Present) -> int:
        """How many are not there."""
        return self.count - self.present_count(present)

    def count_of(self, first: int | None) -> int:
        """How many are in the `first` rows of blocks, or in all."""
        rows = self.rows if first is None else min(first, self.rows)
        return rows * self.columns - (rows * (rows - 1) // 2 if self.symmetric else 0)

    def leading(self, present: Present) -> int:
        """The side, in blocks, of the largest square of the first rows and columns that is there as a whole."""
        for last in range(min(self.rows, self.columns)):
            row = present[: last + 1, last] if self.symmetric else (*present[: last + 1, last], *present[last, :last])
            if not np.all(row):
                return last
        return min(self.rows, self.columns)


def shuffled(seed: int | None, counts: Iterable[int]) -> npt.NDArray[np.int64]:
    """The order (n,) of examples in the store: a random permutation, so that the first ones are a uniform sample.

    Examples that were added later, in parts of so many, come after those before them, each part in an order of its own.
    Without a seed they are in the order in which they are given.
    """
    parts, start = [np.zeros(0, np.int64)], 0
    for number, count in enumerate(counts):
        own = np.arange(count) if seed is None else np.random.default_rng((seed, number)).permutation(count)
        parts.append(start + own)
        start += count
    return np.concatenate(parts)
