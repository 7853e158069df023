"""The accelerator that is here: values, and times with stages as kernels of their own and by XLA alone.

python -m benchmarks device, on a machine that has a GPU or a TPU: under eight minutes from a bare environment. Values
are compared with float64 on the CPU. Beside it Neural Tangents, where NTC_PEER names an environment of it that has the
device. Writes DEVICE.md beside this file.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from functools import partial
from pathlib import Path

import jax
import numpy as np

import ntc
from benchmarks.accelerators import BOUNDS
from benchmarks.cases import CASES, ROOT, Case
from benchmarks.measure import environment, markdown, measure
from ntc.backends.jax.program import Program
from ntc.errors import UnsupportedError
from ntc.ir.types import Target

PLATFORMS: dict[str, Target] = {"gpu": "cuda", "tpu": "tpu"}
EXAMPLES = {"cnn_flatten": 128, "fully_connected": 4096}
"""On each side; of others 16."""

CHECKED = 3
"""Examples on each side of which values are compared."""


def main(quick: bool = False) -> str:
    """One row per network. Raises UnsupportedError where there is no accelerator."""
    device = jax.devices()[0]
    if device.platform not in PLATFORMS:
        raise UnsupportedError("there is no accelerator here", hint="python -m benchmarks accelerators needs none")
    target = PLATFORMS[device.platform]
    names = ["cnn_flatten"] if quick else list(BOUNDS)
    header = ("network", "examples", "error", "kernels ms", "xla ms", "ratio", "compile s", "compile s xla", "peer ms")
    table = markdown(header, [_row(name, target) for name in names])
    page = (
        f"# On {device.device_kind}\n\n{environment()}. Milliseconds of a whole matrix, warm; {_MEANING}\n\n{table}\n"
    )
    if not quick:
        (ROOT / "DEVICE.md").write_text(page)
    return page


_MEANING = "errors are those of float32 values against float64, over the largest entry."


def _row(name: str, target: Target) -> tuple[object, ...]:
    case, count = CASES[name], EXAMPLES.get(name, 16)
    graph = ntc.load_graph(case.file, case.model, case.parameters)
    x = np.random.default_rng(0).standard_normal((2, count, *case.shape), np.float32)
    kernels = ntc.build(graph, target=target, kernel_path="pallas" if case.shape[1:] else "auto")
    plain = ntc.build(graph, target=target, kernel_path="xla")
    error = _error(kernels, ntc.build(graph, dtype="float64"), x[:, :CHECKED])
    times = [measure(partial(program, x[0], x[1], refine=False), repeat=3) for program in (kernels, plain)]
    own, xla = times
    return (
        *(case.title, f"{count} x {count}", error, own.warm * 1e3, xla.warm * 1e3, xla.warm / own.warm),
        *(own.first - own.warm, xla.first - xla.warm, _peer(name, case, x)),
    )


def _error(program: Program, exact: Program, x: np.ndarray) -> float:
    """The largest difference over the largest entry, of both kernels."""
    found, expected = program(x[0], x[1]), exact(x[0], x[1])
    pairs = [(found.nngp, expected.nngp), (found.ntk, expected.ntk)]
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(np.asarray(b)).max()) for a, b in pairs)


def _peer(name: str, case: Case, x: np.ndarray) -> object:
    """Milliseconds of Neural Tangents, of four examples on each side where there are images, scaled by pairs."""
    python = os.environ.get("NTC_PEER")
    if not python:
        return ""
    count = min(x.shape[1], case.n1)
    with tempfile.TemporaryDirectory() as folder:
        inputs, output = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(inputs, x1=x[0, :count], x2=x[1, :count])
        command = [
            str(Path(python).absolute()),
            "peer_worker.py",
            name,
            str(inputs),
            str(output),
            "3",
            "neural_tangents",
        ]
        try:
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as problem:
            return type(problem).__name__
        report = json.loads(str(np.load(output)["report"]))
    return report["best"] * 1e3 * (x.shape[1] / count) ** 2
