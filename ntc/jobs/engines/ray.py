"""Workers of Ray."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ntc.jobs.blocks import Task
from ntc.jobs.engines.installed import needed
from ntc.jobs.engines.window import windowed
from ntc.jobs.work import Done, lost, work


class Ray:
    """Hands blocks to a cluster of Ray: at an address (auto, ray://HOST:PORT), or this machine. `options` are those of
    a remote function: num_cpus, num_gpus, max_retries."""

    def __init__(self, address: str | None = None, **options: Any) -> None:
        self.address, self.options = address, {"num_cpus": 1, "max_retries": 3, **options}

    def run(self, url: str, tasks: Iterable[Task]) -> Iterator[Done]:
        """What became of each task."""
        with needed("ray"):
            import ray
        if not ray.is_initialized():
            ray.init(self.address, include_dashboard=False, log_to_driver=False)
        kind = "GPU" if self.options.get("num_gpus") else "CPU"
        most = 3 * max(1, int(ray.cluster_resources().get(kind, 1)))
        remote = ray.remote(**self.options)(work)
        begun = windowed(tasks, most, lambda task: remote.remote(url, task), lambda running: ray.wait(running)[0])
        for handle, task in begun:
            try:
                yield ray.get(handle)
            except ray.exceptions.RayError as error:
                yield lost(task, f"{type(error).__name__}: {error}")
