"""The polynomial arc cosine against XLA's, in float32: time per entry and largest error."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measure import markdown, measure
from ntc.backends.jax.arccos import arccos

COUNT = 2**22


def main() -> str:
    """One row per implementation; errors against NumPy in float64."""
    x = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, COUNT), jnp.float32)
    exact = np.arccos(np.asarray(x, np.float64))
    rows: list[tuple[object, ...]] = []
    for name, function in (("jax.numpy.arccos", jnp.arccos), ("ntc", arccos)):
        compiled = jax.jit(function)
        timing = measure(partial(_run, compiled, x))
        error = np.abs(np.asarray(compiled(x), np.float64) - exact)
        rows.append((name, timing.warm / COUNT * 1e9, error.max(), (error / exact)[np.asarray(x) >= 0].max()))
    return markdown(("arc cosine", "ns per entry", "largest error", "largest relative error, x >= 0"), rows)


def _run(function: object, x: jax.Array) -> None:
    jax.block_until_ready(function(x))  # type: ignore[operator]
