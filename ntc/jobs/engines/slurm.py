"""Job arrays of SLURM, by submitit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from ntc.jobs.blocks import Task
from ntc.jobs.engines.installed import needed
from ntc.jobs.engines.share import Share
from ntc.jobs.work import Done


class Slurm:
    """An array of `jobs` tasks with logs in `folder`, on the `cluster` slurm, local or what is found, with `parameters`
    as of submitit: gpus_per_node, timeout_min."""

    def __init__(self, folder: str, jobs: int = 1, cluster: str | None = None, **parameters: Any) -> None:
        self.folder, self.jobs, self.cluster, self.parameters = folder, jobs, cluster, parameters

    def run(self, url: str, tasks: Iterable[Task]) -> Iterator[Done]:
        """What became of blocks, as tasks of the array end, which list the store themselves."""
        with needed("slurm"):
            import submitit
        array = submitit.AutoExecutor(self.folder, cluster=self.cluster)
        array.update_parameters(**self.parameters)
        with array.batch():
            parts = [array.submit(Share(), url, part, self.jobs) for part in range(self.jobs)]
        for job in submitit.helpers.as_completed(parts):
            with suppress(submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError):  # lost
                yield from job.result()
