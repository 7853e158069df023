"""What runs jobs: the bits of the program, whoever computes, and however often workers are killed.

Dask is in the ordinary suite; `make test-engines` installs the others and runs their tests.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ntc
from ntc import jobs
from ntc.errors import UnsupportedError
from ntc.jobs.engines.installed import needed
from ntc.jobs.engines.window import windowed
from tests.command_line import run
from tests.shown import ROOT
from tests.stores import NETWORK, X, small_job

quietly = pytest.mark.filterwarnings("ignore")
"""Engines warn of much that is not ours."""


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two worker processes of Dask."""
    with jobs.dask_client(workers=2) as client:
        yield client


def is_right(job: jobs.Job) -> bool:
    """Whether both kernels have the bits of the program, in which threads and flags are those of the workers."""
    order = job.kernel().order1
    expected = ntc.build(NETWORK)(X[order], tile=job.manifest.tile)
    found = {label: np.asarray(job.kernel(label))[np.ix_(order, order)] for label in ("nngp", "ntk")}
    return all(np.array_equal(found[label], getattr(expected, label)) for label in found)


class Killer:
    """What kills the worker of a block that has been computed, so many times."""

    def __init__(self, kills: int) -> None:
        self.kills, self.killed = kills, set[int]()

    def __call__(self, event: dict[str, Any]) -> None:
        """To be called with events of a job."""
        worker = int(event.get("worker", "-0").rpartition("-")[2] or 0)
        if worker and worker not in self.killed and len(self.killed) < self.kills:
            self.killed.add(worker)
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)


KILLS = [1, pytest.param(20, marks=pytest.mark.slow)]


@quietly
@pytest.mark.parametrize("kills", KILLS)
def test_dask_with_workers_killed(kills: int, client: Any, tmp_path: Path) -> None:
    """Protects jobs on Dask: workers that are killed after their first block lose nothing, and bits are those of the
    program."""
    job, killer = small_job(tmp_path / "k.zarr", tile=1 if kills > 1 else 4, block=1 if kills > 1 else 4), Killer(kills)
    job.run(jobs.Dask(client), killer, attempts=30)
    assert len(killer.killed) == kills
    assert is_right(job)
    assert {record["device"] for record in job.store.records().values()} == {"cpu"}


@quietly
def test_dask_without_workers(tmp_path: Path) -> None:
    """Protects from waiting for ever for workers that do not come."""
    from distributed import Client, LocalCluster

    job = small_job(tmp_path / "k.zarr")
    with (
        LocalCluster(n_workers=0, dashboard_address=None) as cluster,
        Client(cluster) as client,
        pytest.raises(jobs.JobError, match="TimeoutError: there was no worker for 0 s"),
    ):
        job.run(jobs.Dask(client, patience=0.1), rounds=1)
    assert job.missing == job.manifest.blocks.count


@quietly
def test_dask_from_the_command_line(client: Any, tmp_path: Path) -> None:
    """Protects `--engine dask --scheduler`, and options that are not of an engine."""
    (tmp_path / "net.nt").write_text("model net = input(6) |> dense(8) |> relu |> dense(1)\n")
    np.save(tmp_path / "a.npy", X)
    own = f"--tile 8 --block 16 --engine dask --scheduler {client.scheduler.address}"
    assert "6 of 6 blocks computed" in run(tmp_path, f"kernel net.nt --x1 a.npy --store k.zarr {own}").stdout
    assert (
        "--gpus needs an --engine" in run(tmp_path, "kernel net.nt --x1 a.npy --store s.zarr --gpus 1", status=2).stderr
    )
    more = "kernel net.nt --x1 a.npy --store s.zarr --engine dask --gpus 1"
    assert "CUDA_VISIBLE_DEVICES" in run(tmp_path, more, status=2).stderr


DEVICES = """
import sys, numpy as np, ntc
from ntc import jobs
from tests.stores import NETWORK, X, small_job
job = small_job(sys.argv[1])
job.run(jobs.InProcess(devices=2))
order = job.kernel().order1
one = ntc.build(NETWORK)(X[order], tile=job.manifest.tile)
same = [np.array_equal(np.asarray(job.kernel(x))[np.ix_(order, order)], getattr(one, x)) for x in ("nngp", "ntk")]
sys.exit(not all(same))
"""


def test_blocks_over_two_devices(tmp_path: Path) -> None:
    """Protects `InProcess(devices=2)`: tiles over two devices have the bits of one, in blocks of every kind."""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    command = [sys.executable, "-c", DEVICES, str(tmp_path / "k.zarr")]
    subprocess.run(command, cwd=ROOT, env=os.environ | flags, check=True, timeout=120)


def test_windows_are_bounded() -> None:
    """Protects drivers of millions of tasks: some are taken from the iterator, and more as these end, in any order."""
    taken: list[int] = []

    def tasks() -> Iterator[tuple[int, int]]:
        for number in range(10):
            taken.append(number)
            yield number, number

    found = windowed(tasks(), 3, lambda task: task[0], lambda running: running[-1:])
    first = [next(found), next(found)]
    assert first == [(2, (2, 2)), (3, (3, 3))]
    assert taken == [0, 1, 2, 3]
    assert sorted(handle for handle, _ in [*first, *found]) == list(range(10))


def test_engines_that_are_not_installed() -> None:
    """Protects users from ImportError: what to install is said."""
    with pytest.raises(UnsupportedError, match=r'pip install "neural-tangent-compiler\[ray\]"'), needed("ray"):
        raise ImportError("No module named 'ray'")


def test_engines_that_are_not_there(tmp_path: Path) -> None:
    """Protects options of engines: an unknown engine is refused with the list of them."""
    shown = run(tmp_path, "kernel net.nt --x1 a.npy --store k.zarr --engine spark", status=2).stderr
    assert "dask" in shown


@pytest.mark.engines
@quietly
@pytest.mark.parametrize("kills", KILLS)
def test_ray(kills: int, tmp_path: Path) -> None:
    """Protects jobs on Ray, with workers killed after their first block."""
    ray = pytest.importorskip("ray")
    job, killer = small_job(tmp_path / "k.zarr", tile=1, block=1), Killer(kills)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        job.run(jobs.Ray(), killer, attempts=30)
    finally:
        ray.shutdown()
    assert len(killer.killed) == kills
    assert is_right(job)


@pytest.mark.engines
@quietly
def test_slurm_by_its_local_executor(tmp_path: Path) -> None:
    """Protects jobs on SLURM as far as submitit's local executor goes: an array of two."""
    pytest.importorskip("submitit")
    job = small_job(tmp_path / "k.zarr", block=4)
    job.run(jobs.Slurm(str(tmp_path / "logs"), 2, "local", timeout_min=5))
    assert is_right(job)


@pytest.mark.engines
@quietly
def test_beam(tmp_path: Path) -> None:
    """Protects jobs on Beam, by its runner on this machine."""
    pytest.importorskip("apache_beam")
    job = small_job(tmp_path / "k.zarr", block=4)
    job.run(jobs.Beam(["--runner=FnApiRunner"]))
    assert is_right(job)
