"""A kernel matrix that is stored: read as a whole, in part, or block by block."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ntc.errors import InputError
from ntc.files import replacing
from ntc.ir.kernel.readout import transposed
from ntc.jobs.blocks import Blocks, Present, Task, shuffled
from ntc.jobs.manifest import Manifest
from ntc.jobs.store import Array, Store, dtype_of

Order = npt.NDArray[np.int64]


class StoredKernel:
    """One kernel matrix (n1, n2, ...) of a store.

    `np.asarray(kernel)` is all of it, with examples as they were given. Blocks, `leading`, `zarr` and `dask` have them
    in the order of the store: number `order1[k]` of what was given is number k there.

    Attributes:
      store, manifest: where it is, and what of.
      label: nngp, or ntk, or with the name of an output before it.
    """

    def __init__(self, store: Store, manifest: Manifest, label: str) -> None:
        if label not in manifest.kernels:
            listed = ", ".join(manifest.kernels)
            raise InputError(f"{store.url} has no {label} kernel", hint=f"it has {listed}")
        self.store, self.manifest, self.label = store, manifest, label

    def __repr__(self) -> str:
        return f"<StoredKernel {self.label} {self.shape} in {self.store.url}>"

    @property
    def blocks(self) -> Blocks:
        """How it is cut."""
        return self.manifest.blocks

    @property
    def shape(self) -> tuple[int, ...]:
        """(n1, n2), and of a network that keeps spatial axes every size twice."""
        return tuple(self.zarr.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the entries."""
        return dtype_of(self.manifest)

    @cached_property
    def order1(self) -> Order:
        """Which of the given x1 are the rows (n1,)."""
        return shuffled(self.manifest.seed, (part.examples for part in self.manifest.x1))

    @cached_property
    def order2(self) -> Order:
        """Which of the given x2, or x1 of k(x1, x1), are the columns (n2,)."""
        if self.manifest.symmetric:
            return self.order1
        return shuffled(self.manifest.seed, (part.examples for part in self.manifest.x2))

    @cached_property
    def present(self) -> Present:
        """Which blocks are there, (rows, columns), as of the first look."""
        return self.store.present(self.manifest)

    def block(self, i: int, j: int) -> Array:
        """A block (rows, columns, ...), those below the diagonal of k(x, x) mirrored. InputError if it is missing or
        damaged."""
        below = self.blocks.symmetric and i > j
        task: Task = (j, i) if below else (i, j)
        if not self.present[task]:
            raise InputError(
                f"block {task[0]},{task[1]} of {self.label} in {self.store.url} has not been computed",
                hint="run the job to its end, or read `leading`",
            )
        found = self.store.read(self.label, self.blocks, task)
        return transposed(found) if below else found

    def computed(self) -> Iterator[tuple[Task, Array]]:
        """All blocks that are computed, in their order."""
        return ((task, self.block(*task)) for task in self.blocks.tasks())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """All of it, in memory, with examples as they were given. InputError where blocks are missing."""
        if copy is False:
            raise ValueError("a stored kernel is copied into memory")
        found = np.empty(self.shape, self.dtype)
        self._fill(found, self.order1, self.order2, max(self.blocks.rows, self.blocks.columns))
        return found if dtype is None else found.astype(dtype, copy=False)

    def leading(self, most: int | None = None) -> tuple[Order, Order, Array]:
        """The largest whole kernel of first examples that is there, of up to `most` rows of blocks: which x1 (m1,) and
        x2 (m2,) it is of, and the matrix (m1, m2, ...). These are uniform samples of the examples."""
        count = self.blocks.leading(self.present)
        count = count if most is None else min(count, most)
        m1, m2 = (min(count * self.blocks.side, n) for n in (self.blocks.n1, self.blocks.n2))
        found = np.empty((m1, m2, *self.shape[2:]), self.dtype)
        self._fill(found, np.arange(m1), np.arange(m2), count)
        return self.order1[:m1], self.order2[:m2], found

    def write(self, path: Path) -> None:
        """Writes all of it as a .npy file, with examples as they were given, which appears whole or not at all; memory
        is that of a block. InputError where blocks are missing."""
        with replacing(path) as partial:
            found = np.lib.format.open_memmap(partial, "w+", self.dtype, self.shape)
            self._fill(found, self.order1, self.order2, max(self.blocks.rows, self.blocks.columns))
            found.flush()

    def _fill(self, found: Array, rows: Order, columns: Order, count: int) -> None:
        """Writes the first blocks, of which the k-th row goes to rows[k]."""
        for i in range(min(count, self.blocks.rows)):
            for j in range(i if self.blocks.symmetric else 0, min(count, self.blocks.columns)):
                block, place = self.block(i, j), (self.blocks.row_span(i), self.blocks.column_span(j))
                found[np.ix_(rows[place[0]], columns[place[1]])] = block
                if self.blocks.symmetric and i != j:
                    found[np.ix_(rows[place[1]], columns[place[0]])] = transposed(block)

    @property
    def zarr(self) -> Any:
        """The zarr array (n1, n2, ...) as it is stored: NaN in blocks that are missing, or below the diagonal of
        k(x, x)."""
        return self.store.array(self.label)

    def dask(self) -> Any:
        """A dask array (n1, n2, ...) in the order of the store, of which a block is read when it is asked for."""
        import dask
        import dask.array

        array: Any = dask.array
        delayed: Any = dask.delayed(self.block)  # type: ignore[attr-defined]

        def lazy(i: int, j: int) -> Any:
            spans = (self.blocks.row_span(i), self.blocks.column_span(j))
            shape = (*(span.stop - span.start for span in spans), *self.shape[2:])
            return array.from_delayed(delayed(i, j), shape, self.dtype)

        rows = ([lazy(i, j) for j in range(self.blocks.columns)] for i in range(self.blocks.rows))
        return array.concatenate([array.concatenate(row, axis=1) for row in rows], axis=0)
