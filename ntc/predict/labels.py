"""Labels as regression targets, and scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def one_hot(labels: npt.NDArray[np.integer], classes: int) -> Array:
    """Targets (n, classes) of mean zero over classes: 1 - 1/classes for the label, -1/classes elsewhere."""
    targets: Array = np.eye(classes)[labels] - 1 / classes
    return targets


def accuracy(mean: Array, labels: npt.NDArray[np.integer]) -> float:
    """Share of rows of mean (n, classes) whose largest entry is at the label."""
    return float(np.mean(np.argmax(mean, axis=1) == labels))


def root_mean_square_error(mean: Array, targets: Array) -> float:
    """Root of the mean squared difference of two arrays of one shape."""
    return float(np.sqrt(np.mean((mean - targets) ** 2)))
