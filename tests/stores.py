"""Stores of jobs for tests: of a small network, and of no network at all, whose blocks are numbers that say where they
belong."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import ntc
from ntc import jobs, nn
from ntc.jobs.blocks import Task
from ntc.jobs.manifest import Manifest, Part, Versions
from ntc.jobs.store import Store
from ntc.jobs.work import Done

NETWORK = nn.input(6) >> nn.dense(8, w_std=1.4, b_std=0.1) >> nn.relu() >> nn.dense(2)
X = np.random.default_rng(0).normal(size=(43, 6)).astype(np.float32)


def small_job(store: Path | str, **options: Any) -> jobs.Job:
    """Of a network that compiles in a moment: ten blocks."""
    return jobs.create(ntc.build(NETWORK), X, store=store, **({"tile": 4, "block": 12} | options))


def plain_job(folder: Path | str, n1: int = 20, n2: int | None = None, block: int = 4) -> jobs.Job:
    """A job without a network, whose blocks `plain_values` knows."""
    parts = [(Part(examples=n, sha256="0" * 64),) if n else () for n in (n1, n2)]
    manifest = Manifest(
        format=1,
        symmetric=n2 is None,
        kernels=("nngp", "ntk"),
        dtype="f32",
        target="cpu",
        kernel_path="auto",
        hyper={},
        network="0" * 64,
        graph="0" * 64,
        x1=parts[0],
        x2=parts[1],
        seed=None,
        refine=True,
        tile=block,
        block=block,
        versions=(Versions.here(),),
        seconds=1.0,
    )
    store = Store(folder)
    if not store.exists:
        store.create(manifest, b"no program", {"nngp": (), "ntk": ()})
        store.write_manifest(manifest)
    return jobs.Job(store, manifest)


def plain_values(job: jobs.Job, task: Task) -> npt.NDArray[np.float32]:
    """Entry (a, b) is 1000 a + b."""
    rows, columns = job.manifest.blocks.row_span(task[0]), job.manifest.blocks.column_span(task[1])
    a, b = np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)
    return (1000.0 * a[:, None] + b).astype(np.float32)


def plain_work(url: str, task: Task, seconds: float = 0.0) -> Done:
    """Writes a block, as `work` does."""
    job = jobs.load(url)
    time.sleep(seconds)
    for label in job.manifest.kernels:
        job.store.write(label, job.manifest.blocks, task, plain_values(job, task))
    return Done(task, seconds, 0.0, "plain", True)


def is_plain(job: jobs.Job) -> bool:
    """Whether all entries of both kernels are what they should be."""
    whole = plain_values(job, (0, 0))
    n1, n2 = job.manifest.n1, job.manifest.n2
    whole = (1000.0 * np.arange(n1)[:, None] + np.arange(n2)).astype(np.float32)
    if job.manifest.symmetric:
        whole = np.triu(whole) + np.triu(whole, 1).T
        # blocks on the diagonal are stored as they were written
        for i in range(job.manifest.blocks.rows):
            span = job.manifest.blocks.row_span(i)
            whole[span, span] = plain_values(job, (i, i))
    return all(np.array_equal(np.asarray(job.kernel(label)), whole) for label in job.manifest.kernels)


class Plain:
    """An engine that writes plain blocks, a little slowly if it is told to."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def run(self, url: str, tasks: Iterable[Task]) -> Iterator[Done]:
        """In their order."""
        return (plain_work(url, task, self.seconds) for task in tasks)
