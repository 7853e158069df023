"""What each training example is predicted to be by all the others, from one factorisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ntc.predict.arithmetic import Arithmetic
from ntc.predict.kernels import single
from ntc.predict.posterior import Posterior, targets
from ntc.predict.system import System


def leave_one_out(
    k_train_train: Any, y_train: npt.ArrayLike, diag_reg: Any = 1e-4, diag_reg_absolute_scale: bool = False
) -> Posterior:
    """Predictions of every training output from the n - 1 others, in closed form.

    With A = K(X, X) + r I for all n examples (Rasmussen and Williams 2006, eq. 5.12)

        mean_i = y_i - (A^-1 y)_i / (A^-1)_ii,    variance_i = 1 / (A^-1)_ii - r.

    The variance is that of the function. For the NTK the means are those of networks trained to convergence, and the
    variance is that of a Gaussian process whose covariance is the NTK.

    Args:
      k_train_train: (n, n); of an object with attributes `nngp` and `ntk` the NNGP, if it has one.
      y_train: (n, outputs) or (n,).
      diag_reg: relative to the mean of the diagonal of all n examples, unless absolute.

    Raises:
      InputError: shapes do not fit, or A is not positive definite.
    """
    kernel, _ = single(k_train_train, "nngp", "k_train_train")
    y = targets(y_train, len(kernel))
    system = System(kernel, diag_reg, diag_reg_absolute_scale)
    precisions = np.diagonal(system.inverse())
    mean = y - system.solve(y, Arithmetic.of(kernel, None)) / precisions[:, None]
    return Posterior(mean, np.maximum(1 / precisions - system.noise, 0.0))
