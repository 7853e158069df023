"""Exact Gaussian-process inference with the NNGP, and its counterpart for the NTK."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
import numpy.typing as npt

from ntc.errors import InputError
from ntc.ir.types import Kernel

if TYPE_CHECKING:
    from ntc.backends.jax.kernels import Kernels
    from ntc.backends.jax.program import Program

Array = npt.NDArray[np.float64]
Progress = Callable[[str, int, int], None]
"""Called with (which matrix, tiles done, tiles in all)."""


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
    train = program(x_train, progress=_named(progress, "train x train"))
    cross = program(x_test, x_train, progress=_named(progress, "test x train"))
    return RegressionKernels(train, cross, program.diagonal(x_test))


def posterior(
    kernels: RegressionKernels, y_train: npt.ArrayLike, kernel: Kernel = "nngp", diag_reg: float = 1e-4
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
      diag_reg: relative to the mean of the diagonal, not negative.

    Raises:
      InputError: shapes do not fit, or the matrix is not positive definite (the message says what would be).
    """
    train, cross = kernels.train, kernels.cross
    if not diag_reg >= 0:
        raise InputError(f"diag_reg should not be negative, got {diag_reg}")
    with jax.enable_x64(True):
        matrix = _matrix(train, kernel)
        targets = _targets(y_train, len(matrix))
        weights = jsl.cho_solve(_factor(matrix, diag_reg), _matrix(cross, kernel).T).T
        nngp = _matrix(cross, "nngp")
        variance = jnp.asarray(kernels.prior.nngp, jnp.float64) - jnp.sum(weights * nngp, axis=1)
        if kernel == "ntk":
            variance += jnp.sum((weights @ _matrix(train, "nngp") - nngp) * weights, axis=1)
        return Posterior(np.asarray(weights @ targets), np.maximum(np.asarray(variance), 0.0))


def gp_inference(
    program: Program,
    x_train: npt.ArrayLike,
    y_train: npt.ArrayLike,
    x_test: npt.ArrayLike,
    kernel: Kernel = "nngp",
    diag_reg: float = 1e-4,
    progress: Progress | None = None,
) -> Posterior:
    """Predictions at x_test after training on (x_train, y_train): `regression_kernels`, then `posterior`."""
    _targets(y_train, len(np.asarray(x_train)))  # a mistake here should not cost the kernels first
    return posterior(regression_kernels(program, x_train, x_test, progress), y_train, kernel, diag_reg)


def _targets(y_train: npt.ArrayLike, examples: int) -> Array:
    targets = np.asarray(y_train, np.float64)
    targets = targets[:, None] if targets.ndim == 1 else targets
    if targets.ndim != 2 or len(targets) != examples or not examples:
        raise InputError(f"y_train should have one row for each of the {examples} training inputs, got {targets.shape}")
    if not np.isfinite(targets).all():
        raise InputError("y_train has entries that are not finite")
    return targets


def _matrix(kernels: Kernels, kernel: Kernel) -> jax.Array:
    found = kernels.nngp if kernel == "nngp" else kernels.ntk
    if found is None:
        raise InputError(f"the program does not compute the {kernel} kernel", hint="build it with both kernels")
    if found.ndim != 2:
        raise InputError("the network keeps spatial axes", hint="end it in flatten or global_avg_pool, and dense")
    return jnp.asarray(found, jnp.float64)


def _factor(matrix: jax.Array, diag_reg: float) -> tuple[jax.Array, bool]:
    """Cholesky factor of the regularised matrix. Raises InputError where there is none."""
    scale = jnp.mean(jnp.diag(matrix))
    factor = jsl.cho_factor(matrix + diag_reg * scale * jnp.eye(len(matrix)), lower=True)
    if not bool(jnp.isfinite(factor[0]).all()):
        _diagnose(np.asarray(matrix), float(scale), diag_reg)
    return factor


def _diagnose(matrix: Array, scale: float, diag_reg: float) -> None:
    if not np.isfinite(matrix).all():
        raise InputError("the kernel matrix is not finite: are all inputs finite?")
    least = float(np.linalg.eigvalsh(matrix)[0]) / scale if scale else 0.0
    raise InputError(
        f"the kernel matrix is not positive definite with diag_reg={diag_reg:g}: its least eigenvalue is "
        f"{least:.1e} of the mean of its diagonal (equal or nearly equal training inputs?)",
        hint=f"use diag_reg of {max(1e-7, -10 * least):.0e} or more, or dtype float64",
    )


def _named(progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(name, done, total)
