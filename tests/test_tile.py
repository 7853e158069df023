"""Tiles of a given size, whose bits do not depend on what else is computed; and what limits a process."""

from __future__ import annotations

import os
from itertools import combinations_with_replacement
from pathlib import Path

import jax
import numpy as np
import pytest

import ntc
from ntc import nn
from ntc.errors import InputError
from ntc.plan import machine

POOLED = (
    nn.input(4, 4, 1)
    >> nn.conv(8, 3, w_std=1.4, b_std=0.1)
    >> nn.relu()
    >> nn.avg_pool(2)
    >> nn.conv(8, 3)
    >> nn.relu()
    >> nn.flatten()
    >> nn.dense(2)
)
X = np.random.default_rng(0).normal(size=(21, 4, 4, 1)).astype(np.float32)
TILE = 4


def test_parts_of_a_matrix_have_its_bits() -> None:
    """Protects stores of kernels: with a tile given, blocks that begin at multiples of it are the whole, to the last
    bit, on the diagonal, off it and at the ragged end; and one computation serves all of them."""
    program = ntc.build(POOLED)
    x = X.copy()
    x[17] = x[2] + 1e-3  # nearly equal: computed in float64
    whole = program(x, tile=TILE)
    parts = (slice(0, 8), slice(8, 16), slice(16, 21))
    for rows, columns in combinations_with_replacement(parts, 2):
        part = program(x[rows], None if rows == columns else x[columns], tile=TILE)
        for one, other in zip(whole, part, strict=True):
            assert np.array_equal(np.asarray(one)[rows, columns], other)
    assert len(program._computations.executables) == 1
    assert np.allclose(np.asarray(program(x).ntk), whole.ntk, rtol=1e-5)


def test_a_tile_is_larger_than_what_is_asked() -> None:
    """Protects small parts: a matrix of fewer examples than the tile is computed in one."""
    program = ntc.build(POOLED, kernels=["nngp"])
    part = program(X[:3], X[3:5], tile=8)
    assert part.nngp.shape == (3, 2)
    assert np.allclose(part.nngp, program(X[:3], X[3:5]).nngp, rtol=1e-5)


@pytest.mark.parametrize("tile", [0, -1, True])
def test_a_tile_has_examples(tile: int) -> None:
    """Protects callers from sizes that mean nothing."""
    with pytest.raises(InputError, match="tile should be 1 or more"):
        ntc.build(POOLED)(X, tile=tile)


def test_a_tile_is_not_of_transformations() -> None:
    """Protects callers within `jax.jit`, where XLA decides: what is not done is refused."""
    program = ntc.build(POOLED)
    with pytest.raises(InputError, match="within a JAX transformation"):
        jax.jit(lambda x: program(x, tile=2).nngp)(X)


def test_processors_are_those_of_the_process() -> None:
    """Protects shared machines: a process that is bound to one processor computes one tile at a time."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert machine.cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def group(root: Path, lines: str, files: dict[str, str]) -> Path:
    """A root with the files of control groups."""
    for name, text in {"proc/self/cgroup": lines, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_limits_of_control_groups(tmp_path: Path) -> None:
    """Protects containers and batch systems, whose limits are below the machine's: the smallest of a group and of
    those above it, in the files of version 2."""
    files = {"job/memory.max": "8589934592\n", "job/step/memory.max": "max\n", "job/step/cpu.max": "250000 100000\n"}
    root = group(tmp_path, "0::/job/step\n", {f"sys/fs/cgroup/{name}": text for name, text in files.items()})
    assert machine.memory_limit(root) == 8 * 2**30
    assert machine.processor_quota(root) == 3


def test_limits_of_control_groups_of_version_1(tmp_path: Path) -> None:
    """Protects older systems, where every controller has a tree of its own, and -1 is no quota; and those without."""
    files = {
        "memory/task/memory.limit_in_bytes": "1073741824",
        "memory/memory.limit_in_bytes": "9223372036854771712",
        "cpu,cpuacct/task/cpu.cfs_quota_us": "-1",
        "cpu,cpuacct/task/cpu.cfs_period_us": "100000",
    }
    lines = "5:memory:/task\n4:cpu,cpuacct:/task\n1:name=systemd:/\n"
    root = group(tmp_path, lines, {f"sys/fs/cgroup/{name}": text for name, text in files.items()})
    assert machine.memory_limit(root) == 2**30
    assert machine.processor_quota(root) is None
    assert machine.memory_limit(tmp_path / "nothing") is None


def test_tiles_fit_the_memory_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects jobs with a limit from being ended by it: tiles are chosen for what the process may use."""
    program = ntc.build(POOLED)
    usual = program.cost(1000).tile
    monkeypatch.setattr(machine, "memory_limit", lambda: 2**20)
    assert program.cost(1000).tile < usual
