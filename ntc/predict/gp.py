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
    from ntc.backends.jax.program import Kernels, Program

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


def gp_inference(
    program: Program,
    x_train: npt.ArrayLike,
    y_train: npt.ArrayLike,
    x_test: npt.ArrayLike,
    kernel: Kernel = "nngp",
    diag_reg: float = 1e-4,
    progress: Progress | None = None,
) -> Posterior:
    """The posterior after training on (x_train, y_train), solved in float64.

    With K the NNGP, T the NTK, X the training and x the test inputs, and regularised matrices
    A = K(X, X) + r mean(diag K(X, X)) I, B = T(X, X) + r mean(diag T(X, X)) I for r = diag_reg:

    nngp: the Bayesian posterior of the infinitely wide network (Lee et al. 2018, eq. 8 and 9),
          mean K(x, X) A^-1 y,  variance k(x, x) - K(x, X) A^-1 K(X, x).
    ntk:  the law of networks trained to convergence by gradient descent from random initialisations
          (Lee et al. 2019, eq. 16), with W = T(x, X) B^-1,
          mean W y,  variance k(x, x) + W K(X, X) W' - 2 W K(X, x).

    Args:
      program: compiled with the kernels needed (ntk needs both), for a network without spatial axes at its end.
      x_train, x_test: (n, *spatial, channels).
      y_train: (n, outputs) or (n,).
      diag_reg: relative to the mean of the diagonal, not negative.
      progress: called after every tile of a kernel matrix.

    Raises:
      InputError: shapes do not fit, or the matrix is not positive definite (the message says what would be).
    """
    targets = _targets(x_train, y_train)
    needed: tuple[Kernel, ...] = ("nngp",) if kernel == "nngp" else ("nngp", "ntk")
    missing = [k for k in needed if k not in program.kernels]
    if missing or diag_reg < 0:
        raise InputError(f"the program does not compute the {missing[0]} kernel" if missing else "diag_reg is negative")
    train = program(x_train, progress=_named(progress, "train x train"))
    cross = program(x_test, x_train, progress=_named(progress, "test x train"))
    prior = program.diagonal(x_test)
    with jax.enable_x64(True):
        factor = _factor(_matrix(train, kernel), diag_reg)
        weights = jsl.cho_solve(factor, _matrix(cross, kernel).T).T
        mean = weights @ targets
        variance = jnp.asarray(prior.nngp, jnp.float64) - jnp.sum(weights * _matrix(cross, "nngp"), axis=1)
        if kernel == "ntk":
            spread = weights @ _matrix(train, "nngp") - _matrix(cross, "nngp")
            variance = variance + jnp.sum(spread * weights, axis=1)
        return Posterior(np.asarray(mean), np.maximum(np.asarray(variance), 0.0))


def _targets(x_train: npt.ArrayLike, y_train: npt.ArrayLike) -> Array:
    targets = np.asarray(y_train, np.float64)
    targets = targets[:, None] if targets.ndim == 1 else targets
    if targets.ndim != 2 or len(targets) != len(np.asarray(x_train)) or not len(targets):
        raise InputError(f"y_train should have one row per training example, got shape {targets.shape}")
    if not np.isfinite(targets).all():
        raise InputError("y_train has entries that are not finite")
    return targets


def _matrix(kernels: Kernels, kernel: Kernel) -> jax.Array:
    matrix = jnp.asarray(kernels.nngp if kernel == "nngp" else kernels.ntk, jnp.float64)
    if matrix.ndim != 2:
        raise InputError("the network keeps spatial axes", hint="end it in flatten or global_avg_pool, and dense")
    return matrix


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
