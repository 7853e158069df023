"""The polynomial forms of relu's integrals against the formulas, in float32: time per entry and largest error."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measure import markdown, measure
from ntc.backends.jax.integrals import relu as duals

COUNT = 2**18


def main(quick: bool = False) -> str:
    """Two rows per integral; errors against the formula in float64."""
    count = 2**10 if quick else COUNT
    k = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, count), jnp.float32)
    one = jnp.ones_like(k)
    rows: list[tuple[object, ...]] = []
    for name, formula, polynomial in (
        ("dual", duals._half_space, duals._fast_half_space),
        ("dual_dot", duals._half_angle, duals._fast_half_angle),
    ):
        with jax.enable_x64(True):
            exact = np.asarray(formula(jnp.asarray(k, jnp.float64), jnp.asarray(one, jnp.float64), None))
        for form, function in (("formula", formula), ("polynomial", polynomial)):
            compiled = jax.jit(partial(function, same=None))
            timing = measure(partial(_run, compiled, k, one), repeat=10)
            error = np.abs(np.asarray(compiled(k, one), np.float64) - exact)
            rows.append((f"{name}, {form}", timing.warm / count * 1e9, error.max()))
    return markdown(("integral of relu", "ns per entry", "largest error"), rows)


def _run(function: object, *arrays: jax.Array) -> None:
    jax.block_until_ready(function(*arrays))  # type: ignore[operator]
