"""Exact inference on many points, beside the bare Cholesky factorisation of LAPACK.

    python -m benchmarks.inference --points 10000

A fully connected network; NNGP in float32, factorised in float64; ten outputs. What is compared with `dpotrf` is all
that follows the kernel: copy to float64, regularisation, factorisation, condition number, solution for all outputs.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import scipy.linalg

import ntc
from ntc import nn
from ntc.predict.posterior import Regression

OUTPUTS, TEST, FEATURES = 10, 1000, 64
LAYERS = nn.serial(nn.dense(512, 1.5, 0.1), nn.relu())


def timed(action: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    found = action()
    return found, time.perf_counter() - start


def bare(kernel: Any) -> float:
    """Seconds of LAPACK's factorisation in place."""
    matrix = np.array(kernel, np.float64, order="F")
    matrix.flat[:: len(matrix) + 1] += 1e-3 * matrix[0, 0]
    return timed(lambda: scipy.linalg.lapack.dpotrf(matrix, lower=True, overwrite_a=True, clean=False))[1]


def trained(kernels: Any, y: Any) -> Regression:
    """Checked, factorised, and solved for all outputs."""
    regression = Regression(kernels, y, "nngp", 1e-3)
    assert np.isfinite(regression.coefficients).all()
    return regression


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints seconds and memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=10_000, help="of the training set")
    parser.add_argument("--repeat", type=int, default=3, help="how often inference is timed")
    parser.add_argument("--quick", action="store_true", help="100 points, timed once, to see that it runs")
    options = parser.parse_args(arguments)
    if options.quick:
        options.points, options.repeat = 100, 1
    random = np.random.default_rng(0)
    x, y = random.normal(size=(options.points, FEATURES)), random.normal(size=(options.points, OUTPUTS))
    x_test = random.normal(size=(TEST, FEATURES))
    program = ntc.build(nn.input(FEATURES) >> nn.repeat(3, LAYERS) >> nn.dense(OUTPUTS), kernels=("nngp",))
    train, seconds = timed(lambda: program(x))
    print(f"kernel of {options.points} x {options.points} pairs: {seconds:.1f} s")
    cross, prior = program(x_test, x), program.diagonal(x_test)
    for _ in range(options.repeat):
        alone = bare(train.nngp)
        regression, solved = timed(lambda: trained(train, y))
        _, predicted = timed(partial(regression.predict, cross, prior))
        print(
            f"dpotrf {alone:.1f} s, inference {solved:.1f} s ({solved / alone:.2f} x), "
            f"means and variances of {TEST} points {predicted:.1f} s more"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory {peak:.1f} GiB")


if __name__ == "__main__":
    main()
