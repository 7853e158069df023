"""The approximation of a kernel matrix by some of its columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.linalg

from ntc.errors import InputError
from ntc.predict.preconditioner import Preconditioner

Array = npt.NDArray[np.float64]


def lower_factor(inner: Array) -> Array:
    """L (m, m) with L L' = W, for rows W (m, m) of a kernel between some examples, shifted by what rounding makes of
    its least eigenvalue, so that there is one (Frangella, Tropp and Udell 2023, algorithm 2.1). InputError for entries
    that are not finite."""
    if not np.isfinite(inner).all():
        raise InputError("the kernel matrix has entries that are not finite", hint="are all inputs finite?")
    shift = float(np.finfo(np.float32).eps * np.trace(inner))  # as good as the entries of a stored kernel
    while True:
        try:
            return np.asarray(np.linalg.cholesky(inner + shift * np.eye(len(inner))), np.float64)
        except np.linalg.LinAlgError:
            shift *= 10


def features(columns: Array, lower: Array) -> Array:
    """F (n, m) with F F' = C W^-1 C', of the columns C (n, m) of a kernel and the factor (m, m) of their own rows."""
    found: Array = scipy.linalg.solve_triangular(lower, columns.T, lower=True, check_finite=False).T
    return found


def nystrom_preconditioner(columns: Array, inner: Array, diagonal: Array, noise: Array) -> Preconditioner:
    """(F F' + d)^-1 for the kernel with a diagonal (n,), plus noise (n, 1), of its columns C (n, m) and inner rows
    W (m, m)."""
    factor = features(columns, lower_factor(inner))
    return Preconditioner.with_factor(factor, np.maximum(diagonal - np.sum(factor**2, 1), 0), noise)
