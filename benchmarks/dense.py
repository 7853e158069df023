"""Fully connected networks through `ntc.stax`, beside Neural Tangents: called, and within `jax.jit`.

Five hidden layers on 3072 features, and Listing 3 of the paper (arXiv:1912.02803) on 32 x 32 x 3 images; both kernels,
float32. Nearly all that Neural Tangents does is one product of matrices and a pass over the entries, so what can be won
is bounded by that product, whose time is shown.
"""

from __future__ import annotations

import json
import subprocess
import sys

import jax
import numpy as np

from benchmarks.cases import ROOT
from benchmarks.measure import markdown, measure
from benchmarks.peer import peer_python, with_path

NETWORKS = {
    "listing3": "images, `Flatten`, 5 x (dense, erf)",
    "relu": "5 x (dense, relu)",
    "erf": "5 x (dense, erf)",
    "gelu": "5 x (dense, gelu)",
    "sin": "5 x (dense, sin)",
}
EXAMPLES, FEATURES = 1024, 3072


def main(quick: bool = False) -> str:
    """A table of milliseconds; every measurement is a process of its own. `quick` is without the peer."""
    size, repeat = (32, 2) if quick else (EXAMPLES, 12)
    rows: list[tuple[object, ...]] = []
    for name in ("erf",) if quick else NETWORKS:
        for between in ("between", "self"):
            called, jitted = (
                _run(sys.executable, "ntc", name, between, mode, size, repeat) for mode in ("called", "jitted")
            )
            peer = {} if quick else _run(peer_python(), "neural_tangents", name, between, "jitted", size, repeat)
            rows.append(
                (NETWORKS[name], "k(x, x)" if between == "self" else "k(x1, x2)", *_cells(peer, called, jitted))
            )
    header = (
        "network",
        f"{size} examples",
        "peer, jitted ms",
        "called ms",
        "ratio",
        "within `jax.jit` ms",
        "ratio",
        "peer compile s",
        "compile s",
        "ratio",
    )
    return markdown(header, rows) + f"\n\nThe product of both inputs alone: {1e3 * _product(size):.3g} ms."


def _cells(peer: dict[str, float], called: dict[str, float], jitted: dict[str, float]) -> tuple[object, ...]:
    def ratio(which: str, own: dict[str, float]) -> object:
        return peer[which] / own[which] if peer else ""

    runs = 1e3 * peer["run"] if peer else "", 1e3 * called["run"], ratio("run", called), 1e3 * jitted["run"]
    return (*runs, ratio("run", jitted), peer.get("compile", ""), called["compile"], ratio("compile", called))


def _run(python: str, module: str, *arguments: object) -> dict[str, float]:
    command = [python, str(ROOT / "dense_worker.py"), module, *map(str, arguments)]
    done = subprocess.run(command, check=True, cwd=ROOT.parent, stdout=subprocess.PIPE, text=True, env=with_path())
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _product(size: int) -> float:
    """Seconds of x1 x2' in float32."""
    x = np.random.default_rng(0).normal(size=(2, size, FEATURES)).astype(np.float32)
    product = jax.jit(lambda a, b: jax.numpy.einsum("nz,mz->nm", a, b, precision="highest"))
    return measure(lambda: jax.block_until_ready(product(*x)), 12).warm
