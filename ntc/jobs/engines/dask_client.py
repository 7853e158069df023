"""A client of a cluster of Dask that is there, or of one on this machine whose workers begin again when they end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ntc.jobs.engines.installed import needed


@contextmanager
def dask_client(scheduler: str | None = None, workers: int = 1) -> Iterator[Any]:
    """The client of the scheduler tcp://HOST:PORT, or of so many new processes here. Raises UnsupportedError if Dask is
    not installed.

    With its own settings a local cluster gives up a task after three lost workers, and a worker after a few lives. Here
    a task has ten, and workers are replaced for ever. Dask has no say in their memory.
    """
    with needed("dask"):
        import dask
        from distributed import Client, LocalCluster
    if scheduler is not None:
        with Client(scheduler, timeout=30) as client:  # type: ignore[no-untyped-call]
            yield client
        return
    options: Any = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0", "memory_limit": 0}
    cluster: Any
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 10}),
        LocalCluster(n_workers=0, silence_logs=50, **options) as cluster,  # type: ignore[no-untyped-call]
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        cluster.adapt(minimum=workers, maximum=workers, interval="500ms")
        client.wait_for_workers(workers, timeout=120)
        yield client
