"""Predictions over the time of training, and how good they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ntc.errors import UsageError
from ntc.ir.types import Kernel

if TYPE_CHECKING:
    from ntc.backends.jax.program import Program
    from ntc.predict import Posterior

Array = npt.NDArray[np.float64]

BATCH = 256
"""Test inputs at a time, whose covariances at all times are held."""


@dataclass(frozen=True)
class Curves:
    """The law of outputs at times (times,): mean (times, n_test, outputs), variance (times, n_test)."""

    times: Array
    mean: Array
    variance: Array

    def arrays(self) -> dict[str, Array]:
        return {"times": self.times, "mean_at_times": self.mean, "variance_at_times": self.variance}

    def scores(self, score: Callable[[Posterior], dict[str, float]]) -> dict[str, list[float]]:
        """The scores of predictions at every time, by name."""
        from ntc.predict import Posterior

        rows = [score(Posterior(mean, variance)) for mean, variance in zip(self.mean, self.variance, strict=True)]
        return {name: [row[name] for row in rows] for name in rows[0]}


def read_times(text: str) -> Array:
    """Times as written: numbers from 0, separated by commas. Raises UsageError."""
    try:
        times = np.array([float(part) for part in text.split(",")])
    except ValueError:
        times = np.array([np.nan])
    if not (times >= 0).all():
        raise UsageError(
            f"--times should be numbers from 0, separated by commas, got {text!r}", hint="--times 0,10,1e3"
        )
    return times


def curves(
    program: Program, x: npt.NDArray[Any], y: Array, x_test: npt.NDArray[Any], kernel: Kernel, reg: float, times: Array
) -> Curves:
    """Outputs of networks trained for `times` at learning rate 1: see `gradient_descent_mse_ensemble`."""
    from ntc.predict import gradient_descent_mse_ensemble

    ensemble = gradient_descent_mse_ensemble(program, x, y, diag_reg=reg)
    means, variances = [], []
    for first in range(0, len(x_test), BATCH):
        law = ensemble(times, x_test[first : first + BATCH], kernel, True)
        means.append(np.asarray(law.mean))
        variances.append(np.maximum(np.diagonal(law.covariance, axis1=1, axis2=2), 0))
    return Curves(times, np.concatenate(means, axis=1), np.concatenate(variances, axis=1))
