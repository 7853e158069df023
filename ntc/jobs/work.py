"""What a worker does: opens a store once, computes blocks of it. An engine hands it a string and two numbers."""

from __future__ import annotations

import errno
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Literal

from ntc.artifact import restored
from ntc.errors import InputError, NonFiniteError, NtcError
from ntc.jobs.blocks import Task
from ntc.jobs.manifest import Versions
from ntc.jobs.store import Array, Store
from ntc.plan import machine

Failure = Literal["failed", "refused", "unwritable"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
_SAMPLE = 64
"""Examples that the self-test chooses from."""

_NEXT = 32
"""Blocks from which a worker without a share takes one at random, so that several meet rarely."""


@dataclass(frozen=True)
class Done:
    """What became of a task.

    Attributes:
      task: the block.
      seconds: that it took, of which `start_seconds` were for opening the store and the program.
      worker: computer and process.
      computed: whether it was; else it was there already, or failed.
      failure: None; `failed`, which may go better elsewhere; `refused`, which will not; `unwritable`, as everything
        will be in this store.
      message: of the failure.
    """

    task: Task
    seconds: float
    start_seconds: float
    worker: str
    computed: bool
    failure: Failure | None = None
    message: str = ""


def work(url: str, task: Task, devices: int = 1) -> Done:
    """Computes one block of a store, unless it is there. May be repeated, anywhere, at any time."""
    start, name = time.perf_counter(), worker_name()
    opened = 0.0
    try:
        worker = _open(url, devices, Store(url).manifest_text())
        opened = time.perf_counter() - start
        computed = worker.compute(task)
    except Exception as error:
        seconds = time.perf_counter() - start
        return Done(task, seconds, opened, name, False, _kind(error), _described(error))
    return Done(task, time.perf_counter() - start, opened, name, computed)


def lost(task: Task, message: str) -> Done:
    """A task whose worker ended before it did."""
    return Done(task, 0.0, 0.0, "", False, "failed", message)


def work_share(url: str, part: int, parts: int) -> Iterator[Done]:
    """Computes what is missing in one part, from 0 on, of all blocks in so many parts, then what others have left."""
    store = Store(url)
    manifest = store.manifest()
    present = store.present(manifest)
    own = islice(manifest.blocks.tasks(), part, None, parts)
    yield from (work(url, task) for task in own if not present[task])
    yield from work_rest(url)


def work_rest(url: str) -> Iterator[Done]:
    """Computes blocks until none is missing, or has failed here: what `ntc job work` does. Several processes may do so
    at one time, on any computers."""
    store, random = Store(url), Random()
    tried: set[Task] = set()
    manifest = store.manifest()
    while True:
        missing = manifest.blocks.missing(store.present(manifest))
        first = list(islice((task for task in missing if task not in tried), _NEXT))
        if not first:
            return
        random.shuffle(first)
        for task in first:
            found = work(url, task)
            if found.failure:
                tried.add(task)
            yield found


class Worker:
    """A process that computes blocks of one store. Raises InputError where the store does not fit what is installed.

    Attributes:
      store: where.
      manifest: what of.
    """

    def __init__(self, url: str, devices: int = 1) -> None:
        start = time.perf_counter()
        self.store = Store(url)
        self.manifest = self.store.manifest()
        here = Versions.here()
        if here not in self.manifest.versions:
            raise InputError(f"{url} is of a job with other versions, here are {here}")
        program = restored(self.store.program(), f"the program in {url}", devices=devices)
        self._program = program.with_kernel_path(self.manifest.kernel_path)
        self._recorded: set[str] = set()
        tested = self._test()
        seconds = round(time.perf_counter() - start, 3)
        kind = self._program.device_kind
        facts = {"device": kind, "self_test": tested, "start_seconds": seconds, **surroundings()}
        self.store.record(worker_name(), facts)

    def compute(self, task: Task) -> bool:
        """Computes a block and writes it; False if it is there. Records what the first takes, which compiles, and a
        later one off the diagonal."""
        if self.store.has(self.manifest, task):
            return False
        start, blocks = time.perf_counter(), self.manifest.blocks
        for label, values in self.values(task).items():
            self.store.write(label, blocks, task, values)
        name = "later_seconds" if self._recorded else "first_seconds"
        if name not in self._recorded and (name == "first_seconds" or task[0] != task[1]):
            self._recorded.add(name)
            seconds = round(time.perf_counter() - start, 3)
            self.store.record(worker_name(), {name: seconds, "memory": highest_memory()})
        return True

    def values(self, task: Task) -> dict[str, Array]:
        """The matrices (rows, columns, ...) of a block, by label."""
        blocks, (i, j) = self.manifest.blocks, task
        rows = self.store.examples("x1", blocks.row_span(i))
        columns = None
        if not blocks.symmetric or i != j:
            columns = self.store.examples("x1" if blocks.symmetric else "x2", blocks.column_span(j))
        return self._program.packed_values(rows, columns, self.manifest.tile, self.manifest.refine)

    def tile_values(self, task: Task, row: int, column: int) -> dict[str, Array]:
        """The matrices (rows, columns, ...) of the tile of a block that begins at a row and a column of it; where
        that is below the diagonal of k(x, x), those of its mirror image."""
        blocks, side, (i, j) = self.manifest.blocks, self.manifest.tile, task
        if blocks.symmetric and i == j and row > column:
            row, column = column, row
        first, second = i * blocks.side + row, j * blocks.side + column
        rows = self.store.examples("x1", slice(first, min(first + side, blocks.n1, (i + 1) * blocks.side)))
        if blocks.symmetric and first == second:
            return self._program.packed_values(rows, None, side, self.manifest.refine)
        name, ends = "x1" if blocks.symmetric else "x2", (second + side, blocks.n2, (j + 1) * blocks.side)
        columns = self.store.examples(name, slice(second, min(ends)))
        return self._program.packed_values(rows, columns, side, self.manifest.refine)

    def _test(self) -> bool | None:
        """Compares the program with the reference, once for every kind of device and job that is long; what was found,
        or None if that was not needed. Raises SelfTestError."""
        from ntc.backends.jax.run.self_test import SelfTest

        kind, blocks = self._program.device_kind, self.manifest.blocks
        known = self.store.records().values()
        tested = next((x["self_test"] for x in known if x["device"] == kind and x["self_test"] is not None), None)
        if tested is None and self._program.is_long(blocks.n1, None if blocks.symmetric else blocks.n2):
            graph = self._program.graphs["cross"].settled
            x1 = self.store.examples("x1", slice(0, _SAMPLE))
            x2 = x1 if blocks.symmetric else self.store.examples("x2", slice(0, _SAMPLE))
            tested = SelfTest(graph, self._program.dtype, self._small).run(x1, x2)
        return tested

    def _small(self, x1: Array, x2: Array) -> dict[str, Array]:
        return self._program.packed_values(x1, x2, self.manifest.tile, refine=False)


@lru_cache(2)
def _open(url: str, devices: int, manifest: str) -> Worker:
    """The worker of a store with this manifest, of which one or two are kept."""
    prepare()
    return Worker(url, devices)


def prepare() -> None:
    """Settings of a process that only works for jobs: those of XLA, which reads them when it starts. Bits depend on
    whether its pool has one thread or several, so it has several everywhere."""
    if "jax" not in sys.modules:
        os.environ.setdefault("NPROC", str(max(2, machine.cores())))


def worker_name() -> str:
    """Of this process: computer and number."""
    return f"{platform.node() or 'computer'}-{os.getpid()}"


def highest_memory() -> int | None:
    """Bytes that this process has taken at the highest; None where the system does not say."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return None


def surroundings() -> dict[str, Any]:
    """What bits may depend on: processor and its vector instructions, threads, and flags of XLA."""
    model, flags = "", ""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in reversed(lines))}
        model, flags = facts.get("model name", ""), facts.get("flags", facts.get("Features", ""))
    vector = [x for x in flags.split() if x.startswith(("avx", "amx", "fma", "sve", "asimd"))]
    return {
        "processor": model or platform.processor(),
        "vector": " ".join(vector),
        "threads": os.environ.get("NPROC", str(machine.cores())),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def _kind(error: Exception) -> Failure:
    if isinstance(error, NtcError):
        return "refused"
    return "unwritable" if isinstance(error, OSError) and error.errno in _FULL else "failed"


def _described(error: Exception) -> str:
    if isinstance(error, NtcError):
        within = " (examples are numbered within the block)" if isinstance(error, NonFiniteError) else ""
        return str(error).removeprefix("error: ") + within
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"
