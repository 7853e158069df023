"""Class probabilities whose sharpness is one number, fitted to predictions of examples that were left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import logsumexp

from ntc.errors import InputError

Array = npt.NDArray[np.float64]
LEAST, MOST = 1e-3, 1e6
"""Of one over the temperature, in units of the spread of outputs: no class is ever more likely than one of larger
output, and predictions that are never wrong leave a number."""


def tempered_probabilities(mean: npt.ArrayLike, temperature: float) -> Array:
    """Probabilities (n, classes) of outputs of that shape: softmax(mean / temperature)."""
    scaled = np.asarray(mean, np.float64) / temperature
    found: Array = np.exp(scaled - logsumexp(scaled, axis=1, keepdims=True))
    return found


def fit_temperature(mean: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """The temperature of least log loss (Guo et al. 2017, section 4.2) of outputs for examples that were not seen.

    `leave_one_out` gives such outputs for the training set. As by Platt (1999), of N examples of a label the target is
    not one but (N + 1) / (N + 2), so that the answer is finite where all are right.

    Args:
      mean: (n, classes), of two classes or more.
      labels: (n,), integers.
      weights: (n,), positive: how many examples each counts as.

    Raises:
      InputError: shapes do not fit.
    """
    outputs, labels = np.asarray(mean, np.float64), np.asarray(labels)
    if outputs.ndim != 2 or outputs.shape[1] < 2 or labels.shape != outputs.shape[:1] or labels.dtype.kind not in "iu":
        raise InputError(
            f"outputs should be (n, classes) of two classes or more and labels n integers, "
            f"got {outputs.shape} and {labels.dtype} of shape {labels.shape}"
        )
    counts = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    wanted = np.sum(_smoothed(labels, counts, outputs.shape[1]) * outputs, axis=1)
    spread = float(np.sqrt(np.average(np.var(outputs, axis=1), weights=counts))) or 1.0

    def slope(inverse: float) -> Any:
        """Of the log likelihood, which is concave, by one over the temperature."""
        expected = np.sum(tempered_probabilities(outputs, spread / inverse) * outputs, axis=1)
        return float(np.sum(counts * (wanted - expected)))

    if slope(LEAST) <= 0:
        return spread / LEAST
    if slope(MOST) >= 0:
        return spread / MOST
    return spread / float(brentq(slope, LEAST, MOST, xtol=1e-12, rtol=1e-14))


def _smoothed(labels: npt.NDArray[Any], counts: Array, classes: int) -> Array:
    """Targets (n, classes): what is missing of one at the label is shared by the others."""
    missing = 1 / (np.bincount(labels, counts, classes)[labels] + 2)
    found = np.repeat(missing[:, None] / (classes - 1), classes, axis=1)
    found[np.arange(len(labels)), labels] = 1 - missing
    return found
