"""Inference without a factorisation: preconditioned conjugate gradients, for n where n^3 is too much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import LinearOperator, cg

from ntc.errors import InputError
from ntc.predict.operators import KernelOperator
from ntc.predict.preconditioner import Preconditioner
from ntc.predict.system import check_diag_reg
from ntc.predict.targets import targets

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class IterativeSolution:
    """What conjugate gradients found.

    Attributes:
      coefficients: (n, outputs), near (K + r I)^-1 y: means at inputs x are K(x, X) times this.
      residual: |y - (K + r I) coefficients| / |y|, computed anew after the last iteration.
      iterations: products with the kernel, apart from that for the residual.
    """

    coefficients: Array
    residual: float
    iterations: int


def conjugate_gradients(
    kernel: KernelOperator,
    y_train: npt.ArrayLike,
    diag_reg: npt.ArrayLike = 1e-4,
    diag_reg_absolute_scale: bool = False,
    *,
    rank: int = 100,
    tolerance: float = 1e-8,
    max_iterations: int = 1000,
    progress: Callable[[int], None] | None = None,
) -> IterativeSolution:
    """Solves (K + r I) a = y with products alone, preconditioned by a pivoted Cholesky factor.

    All outputs are one system, so that one product serves them all. Arithmetic is float64, products are as good as
    the kernel's entries.

    Args:
      kernel: `DenseOperator(matrix)`, or `ProgramOperator(program, x, "ntk")`, which keeps no matrix.
      y_train: (n, outputs) or (n,).
      diag_reg: relative to the mean of the diagonal, unless absolute; a number, or one per example (n,).
      rank: of the preconditioner, which reads that many rows and keeps as many columns; 0 for none.
      tolerance: of the residual, relative to y.
      max_iterations: at most so many products.
      progress: called with the number of iterations done.

    Raises:
      InputError: shapes do not fit, or the residual is above the tolerance after the last iteration (and how large).
    """
    y = targets(y_train, kernel.size)
    check_diag_reg(diag_reg, kernel.size)
    if rank < 0 or not 0 < tolerance < 1 or max_iterations < 1:
        raise InputError("rank should not be negative, tolerance in (0, 1), max_iterations positive")
    scale = np.ones(kernel.size) if diag_reg_absolute_scale else np.full(kernel.size, kernel.diagonal().mean())
    noise = (scale * np.asarray(diag_reg, np.float64))[:, None]
    preconditioner = Preconditioner.of(kernel, noise, rank)
    done: list[int] = [0]

    def product(vector: Array) -> Array:
        columns = vector.reshape(y.shape)
        return np.ravel(kernel.product(columns) + noise * columns)

    def count(_: Array) -> None:
        done[0] += 1
        if progress:
            progress(done[0])

    operator = LinearOperator((y.size, y.size), matvec=product, dtype=np.float64)
    inverse = LinearOperator(
        operator.shape, matvec=lambda vector: preconditioner.apply(vector.reshape(y.shape)).ravel(), dtype=np.float64
    )
    solved, failed = cg(operator, y.ravel(), rtol=tolerance, maxiter=max_iterations, M=inverse, callback=count)
    norm = float(np.linalg.norm(y)) or 1.0
    residual = float(np.linalg.norm(y.ravel() - product(solved))) / norm
    # What CG keeps track of drifts from the true residual by rounding; an order of magnitude is a failure.
    if failed or not residual <= 10 * tolerance:
        raise InputError(
            f"conjugate gradients reached a residual of {residual:.1e} in {done[0]} iterations, not {tolerance:.0e}",
            hint="use more diag_reg, rank or max_iterations, or a tolerance that the kernel's precision allows",
        )
    return IterativeSolution(solved.reshape(y.shape), residual, done[0])
