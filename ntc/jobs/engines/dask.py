"""Workers of Dask, wherever they are."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from ntc.jobs.blocks import Task
from ntc.jobs.engines.window import windowed
from ntc.jobs.work import Done, lost, work


class Dask:
    """Hands blocks to the workers of a `distributed.Client`, three at a time to each; ends a round where there has been
    no worker for `patience` seconds."""

    def __init__(self, client: Any, patience: float = 60.0) -> None:
        self.client, self.patience = client, patience

    def run(self, url: str, tasks: Iterable[Task]) -> Iterator[Done]:
        """What became of each task. Raises TimeoutError where there are no workers."""
        most = 3 * max(1, len(self.client.scheduler_info()["workers"]))
        for future, task in windowed(tasks, most, lambda x: self.client.submit(work, url, x, pure=False), self._ended):
            try:
                yield future.result()
            except Exception as error:  # whatever Dask makes of a worker that is gone
                yield lost(task, f"{type(error).__name__}: {error}")

    def _ended(self, futures: list[Any]) -> Any:
        seen = time.monotonic()
        while not (ended := [future for future in futures if future.done()]):
            time.sleep(0.01)
            seen = time.monotonic() if self.client.scheduler_info()["workers"] else seen
            if time.monotonic() > seen + self.patience:
                raise TimeoutError(f"there was no worker for {self.patience:.0f} s")
        return ended
