"""Whether what is stored is what was written, and what the program gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ntc.errors import InputError, SelfTestError
from ntc.ir.kernel.readout import transposed
from ntc.jobs.blocks import Task
from ntc.jobs.run import Job
from ntc.jobs.work import Worker

_TOLERANCES = {"f32": 1e-4, "f64": 1e-10}
"""Largest difference of a tile that is computed again, relative to its largest entry: rounding on another device, of
which a network amplifies some. What is wrong is off by far more."""


@dataclass(frozen=True)
class Verified:
    """What was found.

    Attributes:
      blocks: of which checksums were read, of all kernels.
      damaged: labels and blocks that were deleted, and are to be computed again.
      tiles: that were computed again.
      difference: the largest of them, relative to the largest entry of the tile; zero is to the last bit.
    """

    blocks: int
    damaged: tuple[tuple[str, Task], ...]
    tiles: int
    difference: float


def verify(
    job: Job, tiles: int = 3, seed: int | None = None, progress: Callable[[int, int], None] | None = None
) -> Verified:
    """Reads every block that is there and deletes those that are damaged; then computes random tiles again.

    `progress` is called with the blocks read and the number of all. Raises SelfTestError where a tile differs by more
    than rounding, InputError where the program of the store cannot be run here.
    """
    blocks, present = job.manifest.blocks, job.store.present(job.manifest)
    tasks = [task for task in blocks.tasks() if present[task]]
    damaged = []
    for number, task in enumerate(tasks):
        if progress:
            progress(number, len(tasks))
        for label in job.manifest.kernels:
            try:
                job.store.read(label, blocks, task)
            except InputError:
                damaged.append((label, task))
                job.store.delete(label, task)
    whole = sorted(set(tasks) - {task for _, task in damaged})
    random = np.random.default_rng(seed)
    chosen = [whole[k] for k in random.integers(len(whole), size=tiles)] if whole else []
    worker = Worker(job.store.url) if chosen else None
    differences = [_difference(worker, task, random) for task in chosen if worker]
    return Verified(len(tasks) * len(job.manifest.kernels), tuple(damaged), len(chosen), max(differences, default=0.0))


def _difference(worker: Worker, task: Task, random: np.random.Generator) -> float:
    """Of a random tile of a block."""
    manifest, store = worker.manifest, worker.store
    blocks, tile = manifest.blocks, manifest.tile
    spans = (blocks.row_span(task[0]), blocks.column_span(task[1]))
    rows, columns = (int(random.integers(-(-(span.stop - span.start) // tile))) * tile for span in spans)
    largest = 0.0
    for label, found in worker.tile_values(task, rows, columns).items():
        stored = store.read(label, blocks, task)[rows : rows + tile, columns : columns + tile]
        if blocks.symmetric and task[0] == task[1] and rows > columns:
            found = transposed(found)
        scale = float(np.nanmax(np.abs(stored), initial=0.0)) or 1.0
        same = np.array_equal(np.isnan(stored), np.isnan(found))
        difference = float(np.nanmax(np.abs(stored - found), initial=0.0)) / scale
        if not same or difference > _TOLERANCES[manifest.dtype]:
            raise SelfTestError(
                f"{store.url}: {label} of block {task[0]},{task[1]}, from row {rows} and column {columns} of it on, is "
                f"not what the program gives: {difference:.1e} of its largest entry off",
                hint="delete the block, or the store; its worker computed something else",
            )
        largest = max(largest, difference)
    return largest
