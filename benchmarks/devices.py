"""Two devices beside one: the two cores as two virtual devices, and as two threads that compute tiles of one device.

python -m benchmarks devices; a process of its own for each run: python -m benchmarks.devices CASE N DEVICES.
"""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median

import jax
import numpy as np

import ntc
from benchmarks.cases import CASES, ROOT
from benchmarks.measure import markdown, measure

SIZES = {"wrn": 24, "myrtle5": 16, "cnn_pools": 64}
"""Pooled networks, and how many examples of k(x, x): enough for several tiles."""

ROUNDS = 3
"""Processes per side, in turn."""


def main(quick: bool = False) -> str:
    """One row per network: seconds of the fastest of three calls, the median over processes."""
    rows: list[tuple[object, ...]] = []
    for name, count in ({"cnn_flatten": 4} if quick else SIZES).items():
        rounds = range(1 if quick else ROUNDS)
        runs = [{devices: _process(name, count, devices) for devices in (1, 2)} for _ in rounds]
        one, two = (median(run[devices]["seconds"] for run in runs) for devices in (1, 2))
        sums = {devices: runs[0][devices]["sum"] for devices in (1, 2)}
        rows.append((CASES[name].title, f"{count} x {count}", one, two, two / one, abs(sums[2] / sums[1] - 1)))
    header = ("network", "examples", "one device, two threads: s", "two devices: s", "ratio", "difference of sums")
    return markdown(header, rows)


def _process(name: str, count: int, devices: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.devices", name, str(count), str(devices)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT.parent)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _run(name: str, count: int, devices: int) -> None:
    """Prints seconds and the sum of the NTK as JSON."""
    jax.config.update("jax_num_cpu_devices", devices)  # type: ignore[no-untyped-call]
    case = CASES[name]
    x = np.random.default_rng(0).standard_normal((count, *case.shape), np.float32)
    program = ntc.build(ntc.load_graph(case.file, case.model, case.parameters), devices=devices)
    timing = measure(lambda: jax.block_until_ready(program(x)), 3)
    print(json.dumps({"seconds": timing.warm, "sum": float(np.asarray(program(x).ntk, np.float64).sum())}))


if __name__ == "__main__":
    _run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
