"""The engine that is always there: one block after another, in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ntc.jobs.blocks import Task
from ntc.jobs.work import Done, work


class InProcess:
    """Computes blocks here, one at a time, over so many local `devices` of the program's target."""

    def __init__(self, devices: int = 1) -> None:
        self.devices = devices

    def run(self, url: str, tasks: Iterable[Task]) -> Iterator[Done]:
        """What became of each task."""
        return (work(url, task, self.devices) for task in tasks)
