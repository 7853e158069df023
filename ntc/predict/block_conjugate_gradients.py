"""Conjugate gradients for several right-hand sides, which share products and the space that is searched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg

from ntc.errors import InputError

Array = npt.NDArray[np.float64]
Linear = Callable[[Array], Array]

_DEPENDENT = 1e-10
"""Directions shorter than so much of the longest are left out: they are those of a column that has converged."""


@dataclass(frozen=True)
class BlockSolution:
    """What was found.

    Attributes:
      coefficients: (n, columns), near A^-1 b.
      residual: the largest |b - A x| / |b| of a column, computed anew after the last iteration.
      iterations: products with A, apart from that for the residual.
    """

    coefficients: Array
    residual: float
    iterations: int


def block_conjugate_gradients(
    product: Linear,
    right: Array,
    inverse: Linear,
    tolerance: float = 1e-8,
    max_iterations: int = 1000,
    progress: Callable[[int, float], None] | None = None,
) -> BlockSolution:
    """Solves A x = b for b (n, columns), with A symmetric and positive definite.

    Directions of all columns are searched together, and those that depend on others are left out (Ji and Li 2017,
    breakdown-free block CG).

    Args:
      product: A times (n, any columns).
      inverse: something near A^-1 times such, symmetric and positive definite.
      tolerance: of the residual of every column, relative to the column.
      progress: called with (iterations, residual).

    Raises:
      InputError: the residual is above the tolerance after the last iteration.
    """
    norms = np.linalg.norm(right, axis=0)
    norms = np.where(norms > 0, norms, 1.0)
    solution, left = np.zeros_like(right), right.copy()
    directions = _independent(inverse(left))
    done, residual = 0, 1.0
    while done < max_iterations and directions.shape[1]:
        image = product(directions)
        curvature = scipy.linalg.cho_factor(directions.T @ image, lower=True)
        step = scipy.linalg.cho_solve(curvature, directions.T @ left)
        solution += directions @ step
        left -= image @ step
        done, residual = done + 1, float(np.max(np.linalg.norm(left, axis=0) / norms))
        if progress:
            progress(done, residual)
        if residual <= tolerance:
            break
        better = inverse(left)
        directions = _independent(better - directions @ scipy.linalg.cho_solve(curvature, image.T @ better))
    residual = float(np.max(np.linalg.norm(right - product(solution), axis=0) / norms))
    # What is kept track of drifts from the true residual by rounding; an order of magnitude is a failure.
    if not residual <= 10 * tolerance:
        raise InputError(
            f"conjugate gradients reached a residual of {residual:.1e} in {done} iterations, not {tolerance:.0e}",
            hint="use more diag_reg, rank or max_iterations, or a tolerance that the kernel's precision allows",
        )
    return BlockSolution(solution, residual, done)


def _independent(directions: Array) -> Array:
    """An orthonormal basis (n, at most columns) of what the columns span."""
    scaled = directions / np.where((norms := np.linalg.norm(directions, axis=0)) > 0, norms, 1.0)
    basis, upper, _ = scipy.linalg.qr(scaled, mode="economic", pivoting=True, check_finite=False)
    sizes = np.abs(np.diagonal(upper))
    found: Array = basis[:, sizes > _DEPENDENT * max(1e-300, sizes.max(initial=0.0))]
    return found
