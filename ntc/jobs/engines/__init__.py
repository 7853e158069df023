"""What runs tasks: one file for each system. None of them is needed, and each imports its own when it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from ntc.jobs.blocks import Task
from ntc.jobs.engines.in_process import InProcess
from ntc.jobs.work import Done

__all__ = ["Engine", "InProcess"]


class Engine(Protocol):
    """Runs `work(url, task)` somewhere. It may lose tasks, repeat them, and end them in any order; it need not keep all
    tasks at once."""

    def run(self, url: str, tasks: Iterable[Task]) -> Iterator[Done]:
        """What became of tasks, as it is known."""
