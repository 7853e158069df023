"""Jobs whose workers, drivers, disks and engines fail: nothing is lost or wrong, and errors say what happened."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntc import jobs
from ntc.errors import InputError
from ntc.jobs.blocks import Task
from ntc.jobs.store import Store
from ntc.jobs.work import Done
from tests.shown import ROOT
from tests.stores import Plain, is_plain, plain_job, plain_work, small_job


class Unreliable:
    """An engine that does to each task what it is told: computes, loses, repeats or fails it, or breaks, in an order of
    its own."""

    def __init__(self, fates: list[str], seed: int) -> None:
        self.fates, self.random = fates, np.random.default_rng(seed)
        self.handed: Counter[Task] = Counter()

    def run(self, url: str, tasks: Iterable[Task]) -> Iterator[Done]:
        given = list(tasks)
        self.handed.update(given)
        self.random.shuffle(given)
        for i, j in given:
            task, fate = (int(i), int(j)), self.fates.pop() if self.fates else "compute"
            if fate == "break":
                raise ConnectionError("the scheduler is gone")
            if fate == "fail":
                yield Done(task, 0.0, 0.0, "x", False, "failed", "out of memory")
            elif fate in ("compute", "repeat"):
                found = plain_work(url, task)
                yield from [found] * (2 if fate == "repeat" else 1)
            elif fate == "silent":  # computed, and not said
                plain_work(url, task)


FATES = st.lists(st.sampled_from(["compute", "lose", "repeat", "fail", "break", "silent"]), max_size=25)


@settings(max_examples=25)
@given(fates=FATES, seed=st.integers(0, 99), n2=st.sampled_from([None, 6]))
def test_engines_may_lose_repeat_and_reorder(fates: list[str], seed: int, n2: int | None) -> None:
    """Protects the contract with engines: whatever they do to tasks, a job ends with all blocks, or says which are
    missing and why; and what is there is right."""
    with tempfile.TemporaryDirectory() as folder:
        job = plain_job(Path(folder) / "k.zarr", 10, n2)
        events: list[dict[str, Any]] = []
        engine = Unreliable(list(fates), seed)
        with suppress(jobs.JobError):
            job.run(engine, events.append, rounds=3, attempts=2)
        assert job.missing or is_plain(job)
        assert events[-1]["done"] == job.manifest.blocks.count - job.missing
        assert max(event["done"] for event in events) <= job.manifest.blocks.count
        job.run(Plain())
        assert is_plain(job)


def test_rounds_without_progress_end_a_job(tmp_path: Path) -> None:
    """Protects from waiting for ever: an engine that does nothing is asked so many times, and the error says so."""
    job = plain_job(tmp_path / "k.zarr", 8)
    engine = Unreliable(["lose"] * 100, 0)
    with pytest.raises(jobs.JobError, match="3 of 3 blocks are missing") as error:
        job.run(engine, rounds=4)
    assert error.value.notes == ("4 rounds computed none of them",)
    assert set(engine.handed.values()) == {4}


def test_a_block_that_fails_is_left_out_and_named(tmp_path: Path) -> None:
    """Protects a job from one block that fails everywhere: the others are computed, it is handed out so many times, and
    the error says which and why."""
    bad, handed = (0, 1), Counter[Task]()

    class Failing(Plain):
        def run(self, url: str, tasks: Iterable[Task]) -> Iterator[Done]:
            for task in tasks:
                handed[task] += 1
                failed = Done(task, 0.0, 0.0, "x", False, "failed", "MemoryError: no room")
                yield failed if task == bad else plain_work(url, task)

    job = plain_job(tmp_path / "k.zarr")
    with pytest.raises(jobs.JobError, match=r"1 of 15 blocks .*\n  block 0,1 failed, 2 times: MemoryError: no room"):
        job.run(Failing(), attempts=2)
    assert handed[bad] == 2
    assert sum(handed.values()) == 16


def test_errors_of_examples_are_not_tried_again(tmp_path: Path) -> None:
    """Protects hours of workers: what no worker can compute, here a kernel that overflows, is tried once, and the error
    is that of the program."""
    from ntc import build, nn

    x = np.ones((8, 3), np.float32)
    x[5] = 3e30
    job = jobs.create(build(nn.input(3) >> nn.dense(1)), x, store=tmp_path / "k.zarr", tile=4, block=4, seed=None)
    events: list[dict[str, Any]] = []
    with pytest.raises(jobs.JobError, match="block 1,1 failed: the nngp kernel of examples 1 and 1 is not finite"):
        job.run(report=events.append)
    assert sum(event.get("block") == [1, 1] for event in events) == 1
    assert job.missing == 1


def test_a_full_disk_ends_a_job_and_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects a job on a disk that becomes full: it ends at once with the reason, keeps what it has, and goes on."""
    job = small_job(tmp_path / "k.zarr")
    write, count = Store.write, iter(range(100))

    def full(self: Store, *arguments: Any) -> None:
        if next(count) >= 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, *arguments)

    monkeypatch.setattr(Store, "write", full)
    with pytest.raises(jobs.JobError, match=r"cannot be written: No space left on device\n  hint: the same job"):
        job.run()
    assert job.missing == 8
    monkeypatch.setattr(Store, "write", write)
    job.run()
    assert np.isfinite(np.asarray(job.kernel("ntk"))).all()


def test_a_file_that_cannot_grow_leaves_no_block(tmp_path: Path) -> None:
    """Protects stores where a write fails halfway: of a block that does not fit, here above the limit of the size of
    files, nothing is there."""
    job = plain_job(tmp_path / "k.zarr", 200, block=200)
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from tests.stores import plain_work\n"
        "plain_work(sys.argv[1], (0, 0))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, job.store.url], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "File too large" in done.stderr
    assert job.missing == 1
    assert not [
        path for path in (tmp_path / "k.zarr" / "nngp").rglob("*") if path.is_file() and path.name != "zarr.json"
    ]


@pytest.mark.parametrize("damage", ["truncated", "changed", "empty"])
def test_damaged_blocks_are_found(damage: str, tmp_path: Path) -> None:
    """Protects readers from numbers that were not written: a block that was cut, changed or emptied is an error that
    names it and what to do."""
    job = plain_job(tmp_path / "k.zarr")
    job.run(Plain())
    path = tmp_path / "k.zarr" / "ntk" / "c" / "1" / "2"
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    path.write_bytes({"truncated": content[:20], "changed": content, "empty": b""}[damage])
    with pytest.raises(InputError, match=r"block 1,2 of ntk in .* is damaged\n  hint: ntc job verify"):
        np.asarray(job.kernel("ntk"))
    assert np.isfinite(np.asarray(job.kernel("nngp"))).all()


DRIVER = """
import sys
from ntc import jobs
from tests.stores import Plain
jobs.load(sys.argv[1]).run(Plain(seconds=0.02), lambda event: print(event["event"], flush=True))
"""


def driver(url: str) -> subprocess.Popen[str]:
    """A process that runs a plain job."""
    return subprocess.Popen([sys.executable, "-c", DRIVER, url], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def killed(url: str, after: float) -> None:
    """A driver that is killed so many seconds after its first block."""
    with driver(url) as process:
        assert process.stdout
        while process.stdout.readline().strip() not in ("block", ""):
            pass
        time.sleep(after)
        os.kill(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_drivers_are_killed_and_go_on(kills: int, tmp_path: Path) -> None:
    """Protects jobs from whatever ends a process at any moment: what is there is right, nothing is half there, and the
    next driver goes on from it."""
    job, random = plain_job(tmp_path / "k.zarr", 60 if kills == 3 else 140), np.random.default_rng(0)
    left = [job.missing]
    for _ in range(kills):
        killed(job.store.url, random.uniform(0, 0.3))
        left.append(job.missing)
    assert left == sorted(left, reverse=True)
    assert len(set(left)) > 1
    job.run(Plain())
    assert is_plain(job)


def test_two_drivers_on_one_store(tmp_path: Path) -> None:
    """Protects a store that two drivers fill at one time: both end well, and every block is right."""
    job = plain_job(tmp_path / "k.zarr", 40)
    processes = [driver(job.store.url) for _ in range(2)]
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0]
    assert is_plain(job)


def test_a_creation_that_was_interrupted(tmp_path: Path) -> None:
    """Protects a store that was not made to its end: the next call makes it."""
    store = Store(tmp_path / "k.zarr")
    manifest = plain_job(tmp_path / "other.zarr").manifest
    store.create(manifest, b"no program", {"nngp": (), "ntk": ()})
    assert not store.exists
    job = plain_job(tmp_path / "k.zarr")
    job.run(Plain())
    assert is_plain(job)


def test_events_are_json(tmp_path: Path) -> None:
    """Protects whoever reads logs of jobs: every event is JSON, and says how far the job is and what is left."""
    events: list[dict[str, Any]] = []
    plain_job(tmp_path / "k.zarr").run(Plain(), events.append)
    assert [event["event"] for event in events] == ["start", *["block"] * 15, "round", "end"]
    assert json.loads(json.dumps(events[5])) == events[5]
    assert events[5]["done"] == 5
    assert events[5]["seconds_left"] >= 0
    assert events[-1]["done"] == events[-1]["total"] == 15
