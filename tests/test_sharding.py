"""Kernel matrices over several devices: processes in which XLA makes several of one CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ntc
from ntc import nn
from ntc.backends.jax.run.sharded import even
from ntc.errors import ParameterError, UnsupportedError
from ntc.plan.tiles import Tiling
from tests.assertions import assert_close
from tests.command_line import run_process

SCRIPT = """
import sys
import numpy as np
import ntc
from ntc import nn
layers = nn.conv(8, 3) >> nn.relu() >> nn.avg_pool(2) >> nn.conv(8, 3) >> nn.relu() >> nn.flatten()
network = nn.input(4, 4, 2) >> layers
devices = int(sys.argv[1])
x = np.random.default_rng(0).normal(size=(50, 4, 4, 2))
program, seen = ntc.build(network, devices=devices), []
symmetric = program(x, progress=lambda done, total: seen.append((done, total)))
cross = program(x[:33], x)
assert seen[0] == (0, seen[-1][1]) and seen[-1][0] == seen[-1][1], seen
np.savez(sys.argv[2], *symmetric, *cross)
"""


def computed(folder: Path, devices: int) -> list[np.ndarray]:
    """Both kernels of k(x, x) and of k(x1, x2), by a process of its own."""
    path = folder / f"{devices}.npz"
    environment = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    subprocess.run([sys.executable, "-c", SCRIPT, str(devices), str(path)], check=True, env=environment, timeout=120)
    return list(np.load(path).values())


def test_devices_give_the_same_values(tmp_path: Path) -> None:
    """Protects the split of pairs: two devices give the bits of one, four the same values, in symmetric matrices."""
    one, two, four = (computed(tmp_path, devices) for devices in (1, 2, 4))
    for expected, found, more in zip(one, two, four, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert_close(more, expected, "float32")
    for matrix in (*two[:2], *four[:2]):
        np.testing.assert_array_equal(matrix, matrix.T)


@pytest.mark.parametrize("devices", [2, 3, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_work_is_even(devices: int, symmetric: bool) -> None:
    """Protects the shares: no device has five per cent more tiles than an even share, of matrices of 1000."""
    tiling = even(Tiling(256, 256), devices, 1000, 1000, symmetric)
    side = -(-1000 // tiling.rows)
    tiles = side * (side + 1) // 2 if symmetric else side * -(-1000 // tiling.columns)
    assert -(-tiles // devices) * devices <= 1.05 * tiles
    assert min(tiling.rows, tiling.columns) >= 8


def test_devices_that_are_not_there() -> None:
    """Protects users from a traceback of XLA's: how many there are, and how to make more of a CPU."""
    program = ntc.build(nn.input(3) >> nn.dense(2), devices=64)
    with pytest.raises(UnsupportedError, match="for 64 devices") as caught:
        program(np.zeros((4, 3)))
    assert "xla_force_host_platform_device_count" in str(caught.value)
    with pytest.raises(ParameterError, match="whole number from 1"):
        ntc.build(nn.input(3) >> nn.dense(2), devices=0)


def test_artifacts_carry_the_number_of_devices(tmp_path: Path) -> None:
    """Protects compiled files: they run on as many devices as they were compiled for, unless told otherwise; a stored
    program on one."""
    path = tmp_path / "two.ntc"
    ntc.save(ntc.build(nn.input(3) >> nn.dense(2), devices=2), path)
    assert (ntc.load(path).devices, ntc.load(path, devices=1).devices) == (2, 1)
    with pytest.raises(UnsupportedError, match="one device at a time"):
        ntc.load(path, trust=True)


def test_the_command_line_splits_a_cpu(tmp_path: Path) -> None:
    """Protects `ntc kernel --devices`: the values of one device."""
    (tmp_path / "m.nt").write_text("model m = input(3) |> dense(8, 1.4) |> relu |> dense(1)")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(40, 3)))
    for devices in (1, 2):
        run_process(tmp_path, f"kernel m.nt --x1 x.npy -o {devices}.npz --devices {devices}")
    one, two = (np.load(tmp_path / f"{devices}.npz") for devices in (1, 2))
    assert_close(two["ntk"], one["ntk"], "float32")
