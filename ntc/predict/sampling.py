"""Functions drawn from a law of outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg

from ntc.errors import InputError
from ntc.predict.arithmetic import checked
from ntc.predict.layout import Axes, Layout

Array = npt.NDArray[np.float64]


def sample(
    mean: Any, covariance: Any, count: int, seed: int, trace_axes: Axes = (-1,), rounding: float = 1e-5
) -> Array:
    """Independent draws of outputs, joint over all of them: (count, *outputs), in float64.

    Args:
      mean, covariance: as `gp_inference` and `gradient_descent_mse_ensemble` return them.
      count: number of draws.
      seed: of the random numbers.
      trace_axes: axes of the mean that the covariance lacks: outputs there are independent.
      rounding: eigenvalues of the covariance down to minus this are zero. A posterior covariance is the difference of
        two larger matrices, so its errors are in units of the prior covariance.

    Raises:
      InputError: shapes do not fit, or the covariance has an eigenvalue below -rounding.
    """
    if count < 0:
        raise InputError(f"count should not be negative, got {count}")
    center, kernel = np.asarray(checked("mean", mean)), np.asarray(checked("covariance", covariance))
    layout = Layout.of(center, trace_axes)
    layout.check("covariance", kernel, square=True)
    root = _root(layout.matrix(kernel).astype(np.float64), rounding)
    shape = layout.columns(center).shape
    noise = np.random.default_rng(seed).standard_normal((count, *shape))
    drawn: Array = center + layout.outputs(root @ noise, center.shape)
    return drawn


def _root(matrix: Array, rounding: float) -> Array:
    """R with R R' the matrix, also for a singular one."""
    values, vectors = scipy.linalg.eigh((matrix + matrix.T) / 2, check_finite=False)
    if values[0] < -rounding:
        raise InputError(
            f"the covariance is not positive semidefinite: its least eigenvalue is {values[0]:.1e}",
            hint="compute kernels in float64, or allow for more rounding",
        )
    root: Array = vectors * np.sqrt(np.maximum(values, 0))
    return root
