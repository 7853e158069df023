"""A stored kernel matrix as an operator: products read it block by block, some ahead, and compute nothing again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from ntc.errors import InputError

if TYPE_CHECKING:
    from ntc.jobs import StoredKernel

Array = npt.NDArray[np.float64]
Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 3
"""Blocks that are being read while one is multiplied."""

_ROWS = 1024
"""Of a block, that are in float64 at a time."""


def read_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], ahead: int = _AHEAD
) -> Iterator[tuple[Item, Result]]:
    """function(item) of every item in order, of which so many are computed by threads while one is used."""
    running: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(ahead) as pool:
        for item in items:
            running.append((item, pool.submit(function, item)))
            if len(running) > ahead:
                done, future = running.popleft()
                yield done, future.result()
        while running:
            done, future = running.popleft()
            yield done, future.result()


class StoredOperator:
    """A `KernelOperator` of k(x, x) in a store. Vectors have examples in the order in which they were given.

    Args:
      kernel: (n, n), of a network without spatial axes at its end. Raises InputError if it is not.
      whole: raises InputError now where blocks are missing; else what needs one does.
    """

    def __init__(self, kernel: StoredKernel, whole: bool = True) -> None:
        if kernel.ndim != 2 or not kernel.blocks.symmetric:
            raise InputError(
                f"a stored kernel to solve with should be k(x, x) of shape (n, n), got {kernel.shape}",
                hint="end the network in flatten or global_avg_pool, and dense",
            )
        missing = kernel.blocks.missing_count(kernel.present)
        if missing and whole:
            raise InputError(
                f"{missing} of {kernel.blocks.count} blocks of {kernel.store.url} are missing", hint="run the job first"
            )
        self.kernel = kernel

    @property
    def size(self) -> int:
        return self.kernel.blocks.n1

    def diagonal(self) -> Array:
        return self._diagonal.copy()

    @cached_property
    def _diagonal(self) -> Array:
        found = np.empty(self.size)
        tasks = ((i, i) for i in range(self.kernel.blocks.rows))
        for (i, _), block in read_ahead(lambda task: np.diagonal(self.kernel.block(*task)), tasks):
            found[self.kernel.order1[self.kernel.blocks.row_span(i)]] = block
        return found

    def row(self, index: int) -> Array:
        return self.columns(np.array([index]))[:, 0]

    def columns(self, indices: npt.NDArray[np.int64]) -> Array:
        """Columns (n, indices) of the matrix, by the numbers of their examples; reads the columns of blocks they are
        in."""
        order, blocks = self.kernel.order1, self.kernel.blocks
        places = np.argsort(order)[indices]
        found = np.empty((self.size, len(indices)))
        wanted = np.unique(places // blocks.side)
        tasks = ((i, int(j)) for j in wanted for i in range(blocks.rows))
        for (i, j), block in read_ahead(lambda task: self.kernel.block(*task), tasks):
            own = np.flatnonzero(places // blocks.side == j)
            rows = order[blocks.row_span(i)]
            found[np.ix_(rows, own)] = block[:, places[own] - j * blocks.side]
        return found

    def first(self, count: int) -> npt.NDArray[np.int64]:
        """The first examples in the order of the store, a uniform sample of which few blocks have the columns."""
        return self.kernel.order1[:count]

    def product(self, right: Array) -> Array:
        ordered = np.ascontiguousarray(right[self.kernel.order1])
        result = np.zeros_like(ordered)
        blocks = self.kernel.blocks
        for (i, j), block in read_ahead(lambda task: self.kernel.block(*task), blocks.tasks()):
            rows, columns = blocks.row_span(i), blocks.column_span(j)
            for start in range(0, len(block), _ROWS):
                part = block[start : start + _ROWS].astype(np.float64)
                place = slice(rows.start + start, rows.start + start + len(part))
                result[place] += part @ ordered[columns]
                if i != j:
                    result[columns] += part.T @ ordered[place]
        found = np.empty_like(result)
        found[self.kernel.order1] = result
        return found
