"""What each training example is predicted to be by all the others, from one factorisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ntc.errors import InputError
from ntc.predict.arithmetic import Arithmetic, checked
from ntc.predict.kernels import single
from ntc.predict.posterior import Posterior
from ntc.predict.system import System
from ntc.predict.targets import targets

Array = npt.NDArray[np.float64]


def leave_one_out(
    k_train_train: Any,
    y_train: npt.ArrayLike,
    diag_reg: Any = 1e-4,
    diag_reg_absolute_scale: bool = False,
    *,
    nngp: npt.ArrayLike | None = None,
) -> Posterior:
    """Predictions of every training output from the n - 1 others, in closed form.

    With A = K(X, X) + r I for all n examples (Rasmussen and Williams 2006, eq. 5.12)

        mean_i = y_i - (A^-1 y)_i / (A^-1)_ii,    variance_i = 1 / (A^-1)_ii - r.

    The variance is that of the function. For the NTK the means are those of networks trained to convergence, and the
    variance is that of a Gaussian process whose covariance is the NTK, unless their `nngp` is given: then it is that of
    the networks, (A^-1 K A^-1)_ii / (A^-1)_ii^2 with K the NNGP.

    Args:
      k_train_train: (n, n); of an object with attributes `nngp` and `ntk` the NNGP, if it has one.
      y_train: (n, outputs) or (n,).
      diag_reg: relative to the mean of the diagonal of all n examples, unless absolute.
      nngp: (n, n), where k_train_train is an NTK.

    Raises:
      InputError: shapes do not fit, or A is not positive definite.
    """
    kernel, _ = single(k_train_train, "nngp", "k_train_train")
    y = targets(y_train, len(kernel))
    system = System(kernel, diag_reg, diag_reg_absolute_scale)
    inverse = system.inverse()
    precisions = np.diagonal(inverse)
    mean = y - system.solve(y, Arithmetic.of(kernel, None)) / precisions[:, None]
    if nngp is None:
        return Posterior(mean, np.maximum(1 / precisions - system.noise, 0.0))
    own = _same_shape(nngp, kernel)
    return Posterior(mean, np.maximum(np.sum((inverse @ own) * inverse, axis=1) / precisions**2, 0.0))


def _same_shape(nngp: Any, kernel: Any) -> Array:
    found = np.asarray(checked("k_train_train", nngp), np.float64)
    if found.shape != kernel.shape:
        raise InputError(f"nngp should have shape {kernel.shape}, that of the NTK, got {found.shape}")
    return found
