"""Predictions from the kernels of a program: exact inference with the NNGP, and its counterpart for the NTK."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ntc.errors import InputError
from ntc.ir.types import Kernel
from ntc.predict.arithmetic import Arithmetic, checked
from ntc.predict.choose_diag_reg import resolved
from ntc.predict.system import System
from ntc.predict.targets import targets

if TYPE_CHECKING:
    from ntc.backends.jax.program import Program
    from ntc.backends.jax.result import Kernels

Array = npt.NDArray[np.float64]
Progress = Callable[[str, int, int], None]
"""Called with (which matrix, tiles done, tiles in all)."""

_FLOAT64 = Arithmetic(np, np.dtype(np.float64), np.dtype(np.float64))


@dataclass(frozen=True)
class Posterior:
    """Predictions at the test inputs.

    Attributes:
      mean: (n_test, outputs).
      variance: (n_test,), of every output alike; of the function, without observation noise.
    """

    mean: Array
    variance: Array


@dataclass(frozen=True)
class RegressionKernels:
    """What inference needs of a kernel program, for n training and m test inputs.

    Attributes:
      train: (n, n), between training inputs.
      cross: (m, n), test inputs with training inputs.
      prior: (m,), each test input with itself.
    """

    train: Kernels
    cross: Kernels
    prior: Kernels


def regression_kernels(
    program: Program, x_train: npt.ArrayLike, x_test: npt.ArrayLike, progress: Progress | None = None
) -> RegressionKernels:
    """The kernels between training and test inputs (n, *spatial, channels), to be used for any targets.

    `progress` is called after every tile of a matrix. Raises InputError if the inputs do not fit the program.
    """
    train = program(x_train, progress=named(progress, "train x train"))
    cross = program(x_test, x_train, progress=named(progress, "test x train"))
    return RegressionKernels(train, cross, program.diagonal(x_test))


def posterior(
    kernels: RegressionKernels, y_train: npt.ArrayLike, kernel: Kernel = "nngp", diag_reg: Any = 1e-4
) -> Posterior:
    """The posterior after training on the targets y_train, solved in float64.

    With K the NNGP, T the NTK, X the training and x the test inputs, and regularised matrices
    A = K(X, X) + r mean(diag K(X, X)) I, B = T(X, X) + r mean(diag T(X, X)) I for r = diag_reg:

    nngp: the Bayesian posterior of the infinitely wide network (Lee et al. 2018, eq. 8 and 9),
          mean K(x, X) A^-1 y,  variance k(x, x) - K(x, X) A^-1 K(X, x).
    ntk:  the law of networks trained to convergence by gradient descent from random initialisations
          (Lee et al. 2019, eq. 16), with W = T(x, X) B^-1,
          mean W y,  variance k(x, x) + W K(X, X) W' - 2 W K(X, x).

    Args:
      kernels: with the kernels needed (ntk needs both), of a network without spatial axes at its end.
      y_train: (n, outputs) or (n,).
      diag_reg: relative to the mean of the diagonal, not negative; a number, or one per training example (n,): noise
        that differs among them; "auto" is what `choose_diag_reg` finds, by the evidence for the NNGP, and by leaving
        examples out for the NTK.

    Raises:
      InputError: shapes do not fit, or the matrix is not positive definite (the message says what would be).
    """
    return Regression(kernels.train, y_train, kernel, diag_reg).predict(kernels.cross, kernels.prior)


class Regression:
    """A training set of which the kernel is factorised once, in float64. Arguments as in `posterior`.

    Attributes:
      coefficients: (n, outputs), A^-1 y: means at any inputs x are K(x, X) times this.
      diag_reg: as given, or as chosen.
    """

    def __init__(self, train: Kernels, y_train: npt.ArrayLike, kernel: Kernel = "nngp", diag_reg: Any = 1e-4) -> None:
        if kernel not in ("nngp", "ntk"):
            raise InputError(f"kernel should be nngp or ntk, got {kernel!r}")
        self._kernel, self._train = kernel, train
        self._targets = targets(y_train, len(matrix(train, kernel)))
        own = checked("k_train_train", matrix(train, kernel))
        self.diag_reg = resolved(diag_reg, lambda: (own, self._targets), kernel)
        self._system = System(own, self.diag_reg)

    @cached_property
    def coefficients(self) -> Array:
        found: Array = self._system.solve(self._targets, _FLOAT64)
        return found

    def left_out(self, rows: npt.NDArray[np.integer]) -> Array:
        """The means (m, outputs) of some training examples as all others predict them, as `leave_one_out` says, with
        the factor that is there: m solutions."""
        places = np.arange(len(rows))
        units = np.zeros((len(self._targets), len(rows)))
        units[rows, places] = 1.0
        precisions = self._system.solve(units, _FLOAT64)[rows, places]
        found: Array = self._targets[rows] - self.coefficients[rows] / precisions[:, None]
        return found

    def predict(self, cross: Kernels, prior: Kernels | None) -> Posterior:
        """Means and variances at m test inputs, from their kernels with the training inputs (m, n) and with
        themselves (m,). Without the latter variances are NaN, which saves a solution for every test input."""
        rows = np.asarray(matrix(cross, self._kernel), np.float64)
        mean = rows @ self.coefficients
        if prior is None:
            return Posterior(mean, np.full(len(mean), np.nan))
        own = np.asarray(matrix(prior, "nngp", rank=1), np.float64)
        if self._kernel == "nngp":
            variance = own - np.sum(self._system.whitened(rows.T) ** 2, axis=0)
        else:
            weights = self._system.solve(rows.T, _FLOAT64).T
            nngp = np.asarray(matrix(cross, "nngp"), np.float64)
            both = weights @ np.asarray(matrix(self._train, "nngp"))
            variance = own + np.sum((both - 2 * nngp) * weights, axis=1)
        return Posterior(mean, np.maximum(variance, 0.0))


def matrix(kernels: Kernels, kernel: Kernel, rank: int = 2) -> npt.NDArray[Any]:
    """One kernel as an array without spatial axes. Raises InputError if it is not there, or has such axes."""
    found = kernels.nngp if kernel == "nngp" else kernels.ntk
    if found is None:
        raise InputError(f"the program does not compute the {kernel} kernel", hint="build it with both kernels")
    if found.ndim != rank:
        raise InputError("the network keeps spatial axes", hint="end it in flatten or global_avg_pool, and dense")
    return np.asarray(found)


def named(progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    """The progress of one matrix."""
    return None if progress is None else lambda done, total: progress(name, done, total)
