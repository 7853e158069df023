"""A job: created or found again in its store, driven to its end by an engine, read."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ntc.errors import InputError, NtcError
from ntc.jobs.blocks import Blocks, Present, Task
from ntc.jobs.engines import Engine, InProcess
from ntc.jobs.kernel import StoredKernel
from ntc.jobs.manifest import Manifest
from ntc.jobs.store import Store
from ntc.jobs.work import Done

Event = dict[str, Any]
"""What happened: `event` is start, block, round or end, beside it are facts that JSON can say."""

_SHOWN = 5
"""Blocks that failed, and are named."""


class JobError(NtcError):
    """A job that has come to no end: what is there stays, and the same job goes on from it."""


@dataclass
class Job:
    """A kernel matrix that is computed block by block into a store.

    Attributes:
      store: where.
      manifest: what of.
    """

    store: Store
    manifest: Manifest

    @property
    def missing(self) -> int:
        """How many blocks are to be computed."""
        return self.manifest.blocks.missing_count(self.store.present(self.manifest))

    def kernel(self, label: str = "nngp") -> StoredKernel:
        """A kernel by its label: nngp, ntk, or features.ntk of an output. InputError if it is not in the store."""
        return StoredKernel(self.store, self.manifest, label)

    def run(
        self,
        engine: Engine | None = None,
        report: Callable[[Event], None] | None = None,
        rounds: int = 3,
        attempts: int = 3,
        rows: int | None = None,
    ) -> None:
        """Computes all blocks that are missing.

        Tasks that an engine loses are handed out again in the next round, and so are those that failed, fewer than
        `attempts` times.

        Args:
          engine: what runs them (default: this process).
          report: called with every event.
          rounds: so many without a single new block end the job.
          attempts: so many failures of one block leave it out.
          rows: only blocks with one of so many first rows of the matrix (default: all), which is what the solver
            `nystrom` of `ntc.predict` reads.

        Raises:
          JobError: blocks are missing at the end, with the reasons that are known; or the store cannot be written.
        """
        if rounds < 1 or attempts < 1:
            raise InputError(f"rounds and attempts should be 1 or more, got {rounds} and {attempts}")
        first = None if rows is None else -(-rows // self.manifest.block)
        _Driver(self, engine or InProcess(), report or (lambda event: None), rounds, attempts, first).run()


@dataclass
class _Driver:
    """One run of a job.

    Attributes:
      first: rows of blocks that are computed; None is all.
      failures, messages: of tasks: how often, and why at last.
      given_up: tasks that are not handed out any more.
      broken: why the engine itself ended a round.
      computed: blocks that are new since the start.
    """

    job: Job
    engine: Engine
    report: Callable[[Event], None]
    rounds: int
    attempts: int
    first: int | None
    failures: Counter[Task] = field(default_factory=Counter)
    messages: dict[Task, str] = field(default_factory=dict)
    given_up: set[Task] = field(default_factory=set)
    broken: str = ""
    computed: int = 0
    started: float = field(default_factory=time.perf_counter)

    def run(self) -> None:
        present, stuck = self._present(), 0
        self._report("start", self._count(present))
        while next(self._tasks(present), None) is not None and stuck < self.rounds:
            before = self._count(present)
            self._round(present)
            present = self._present()
            stuck = 0 if self._count(present) > before else stuck + 1
            self._report("round", self._count(present))
        self._report("end", self._count(present))
        left = self._total - self._count(present)
        if left:
            raise JobError(
                f"{left} of {self._total} blocks are missing in {self.job.store.url}",
                notes=tuple(self._reasons(present)),
                hint="the same job, run again, goes on from what is there",
            )

    def _round(self, present: Present) -> None:
        """Hands out all that is missing once. What the engine itself breaks by ends the round, not the job."""
        seen = present.copy()
        done = self._count(present)
        try:
            for found in self.engine.run(self.job.store.address, self._tasks(present)):
                new = found.failure is None and not seen[found.task]
                seen[found.task] |= new
                done, self.computed = done + new, self.computed + (new and found.computed)
                self._report("block", done, found)
                self._note(found)
        except NtcError:
            raise
        except Exception as error:
            self.broken = f"{type(error).__name__}: {error}"

    def _note(self, found: Done) -> None:
        """Keeps count of failures. Raises JobError for a store that cannot be written."""
        if found.failure is None:
            return
        if found.failure == "unwritable":
            raise JobError(
                f"{self.job.store.url} cannot be written: {found.message}",
                hint="the same job, run again, goes on from what is there",
            )
        self.failures[found.task] += 1
        if found.failure == "refused" or self.failures[found.task] >= self.attempts:
            self.given_up.add(found.task)
        self.messages[found.task] = found.message

    def _reasons(self, present: Present) -> Iterator[str]:
        """Why blocks are missing, as far as it is known."""
        failed = [task for task in self.messages if not present[task]]
        for i, j in failed[:_SHOWN]:
            times = f", {self.failures[i, j]} times" if self.failures[i, j] > 1 else ""
            yield f"block {i},{j} failed{times}: {self.messages[i, j]}".replace("\n", "\n  ")
        if len(failed) > _SHOWN:
            yield f"and {len(failed) - _SHOWN} more"
        if self.broken:
            yield f"the engine ended with {self.broken}"
        if not failed and not self.broken:
            yield f"{self.rounds} rounds computed none of them"

    def _report(self, event: str, done: int, found: Done | None = None) -> None:
        seconds = time.perf_counter() - self.started
        facts: Event = {"event": event, "seconds": round(seconds, 3), "done": done, "total": self._total}
        if self.computed:
            facts["seconds_left"] = round((self._total - done) * seconds / self.computed, 1)
        if found is not None:
            facts |= {"block": list(found.task), "worker": found.worker, "block_seconds": round(found.seconds, 3)}
            if found.failure:
                facts |= {"failure": found.failure, "message": found.message}
        self.report(facts)

    @property
    def _blocks(self) -> Blocks:
        return self.job.manifest.blocks

    @property
    def _total(self) -> int:
        return self._blocks.count_of(self.first)

    def _tasks(self, present: Present) -> Iterator[Task]:
        return (task for task in self._blocks.missing(present, self.first) if task not in self.given_up)

    def _present(self) -> Present:
        return self.job.store.present(self.job.manifest)

    def _count(self, present: Present) -> int:
        return self._blocks.present_count(present, self.first)
