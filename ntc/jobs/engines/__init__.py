"""What runs tasks: one file for each system. None of them is needed, and each imports its own when it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from ntc.jobs.blocks import Task
from ntc.jobs.engines.beam import Beam
from ntc.jobs.engines.dask import Dask
from ntc.jobs.engines.dask_client import dask_client
from ntc.jobs.engines.in_process import InProcess
from ntc.jobs.engines.ray import Ray
from ntc.jobs.engines.slurm import Slurm
from ntc.jobs.work import Done

__all__ = ["Beam", "Dask", "Engine", "InProcess", "Ray", "Slurm", "dask_client"]


class Engine(Protocol):
    """Runs `work(url, task)` somewhere. It may lose tasks, repeat them, and end them in any order; it need not keep all
    tasks at once."""

    def run(self, url: str, tasks: Iterable[Task]) -> Iterator[Done]:
        """What became of tasks, as it is known."""
