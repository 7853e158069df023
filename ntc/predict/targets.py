"""Targets of a regression as an array."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ntc.errors import InputError

Array = npt.NDArray[np.float64]


def targets(y_train: npt.ArrayLike, examples: int) -> Array:
    """Targets (examples, outputs) in float64, from (examples, outputs) or (examples,). Raises InputError."""
    array = np.asarray(y_train, np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or len(array) != examples or not examples:
        raise InputError(f"y_train should have one row for each of the {examples} training inputs, got {array.shape}")
    if not np.isfinite(array).all():
        raise InputError("y_train has entries that are not finite")
    return array
