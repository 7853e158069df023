"""Gradients of a kernel-ridge loss beside the loss itself: peak memory, compile time and time, by 20 images.

Every measurement is a process of its own: python -m benchmarks.gradients NETWORK loss|gradient IMAGES
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

import ntc
from benchmarks.cases import ROOT
from benchmarks.measure import markdown
from benchmarks.memory import peak_memory
from ntc import nn
from ntc.frontend.layers import Network

IMAGES, SIDE, RIDGE = 20, 16, 1e-3


def _block() -> nn.Layer:
    return nn.conv(64, 3, w_std=1.4, b_std=0.1) >> nn.relu()


def _networks() -> dict[str, Network]:
    image = nn.input(SIDE, SIDE, 3)
    two = nn.repeat(2, _block())
    return {
        "2 conv, pool, 2 conv, pool, conv, flatten": image
        >> two
        >> nn.avg_pool(2)
        >> two
        >> nn.avg_pool(2)
        >> _block()
        >> nn.flatten()
        >> nn.dense(10),
        "5 conv, global pool": image >> nn.repeat(5, _block()) >> nn.global_avg_pool() >> nn.dense(10),
        "5 conv, flatten": image >> nn.repeat(5, _block()) >> nn.flatten() >> nn.dense(10),
    }


def main(quick: bool = False) -> str:
    """One row per network."""
    rows: list[tuple[object, ...]] = []
    names, images = list(_networks()), 2 if quick else IMAGES
    for name in names[-1:] if quick else names:
        loss, gradient = (_run(name, what, images) for what in ("loss", "gradient"))
        keys = ("peak", "above", "compile", "seconds")
        rows.append((name, *(x for key in keys for x in (loss[key], gradient[key], gradient[key] / loss[key]))))
    header = ("network", "peak MB", "gradient", "ratio", "MB above the start", "gradient", "ratio")
    return markdown((*header, "compile s", "gradient", "ratio", "seconds", "gradient", "ratio"), rows)


def _run(name: str, what: str, images: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.gradients", name, what, str(images)]
    done = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def worker(name: str, what: str, images: int) -> None:
    """Prints the numbers of one process as JSON: bytes as MB, seconds of the faster of two runs."""
    program = ntc.build(_networks()[name])
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, images, SIDE, SIDE, 3)).astype(np.float32)
    labels = np.eye(10, dtype=np.float32)[np.arange(images) % 10]

    def loss(x: jax.Array) -> jax.Array:
        train, cross = program(x).ntk, program(y, x).ntk
        assert train is not None
        assert cross is not None
        ridge = RIDGE * jnp.trace(train) / images * jnp.eye(images)
        return jnp.mean((cross @ jnp.linalg.solve(train + ridge, labels) - labels) ** 2)

    function = jax.jit(jax.value_and_grad(loss) if what == "gradient" else loss)
    array, before = jnp.asarray(x), peak_memory()
    start = time.perf_counter()
    compiled = function.lower(array).compile()
    seconds = [time.perf_counter() - start]
    for _ in range(2):
        start = time.perf_counter()
        jax.block_until_ready(compiled(array))
        seconds.append(time.perf_counter() - start)
    peak = peak_memory()
    report = {"peak": peak / 1e6, "above": (peak - before) / 1e6, "compile": seconds[0], "seconds": min(seconds[1:])}
    print(json.dumps(report))


if __name__ == "__main__":
    worker(sys.argv[1], sys.argv[2], int(sys.argv[3]))
