"""An approximation of a kernel matrix of low rank, whose inverse is cheap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg

from ntc.predict.operators import KernelOperator

Array = npt.NDArray[np.float64]


def pivoted_cholesky(kernel: KernelOperator, rank: int) -> tuple[Array, Array]:
    """L (n, rank or less) with L L' near the kernel, and what is left of its diagonal (n,).

    At every step the row of the largest remaining diagonal entry is taken (Harbrecht et al. 2012, algorithm 1). It
    ends early where nothing is left but rounding.
    """
    left = kernel.diagonal()
    factor = np.zeros((kernel.size, min(rank, kernel.size)))
    least = np.finfo(np.float32).eps * left.max()
    for step in range(factor.shape[1]):
        pivot = int(np.argmax(left))
        if left[pivot] <= least:
            return factor[:, :step], left
        column = kernel.row(pivot) - factor[:, :step] @ factor[pivot, :step]
        # Two copies of one example may differ in the last bits of their kernel: the diagonal is exact.
        column[pivot] = left[pivot]
        factor[:, step] = column / np.sqrt(left[pivot])
        left = np.maximum(left - factor[:, step] ** 2, 0)
    return factor, left


@dataclass(frozen=True)
class Preconditioner:
    """(L L' + d)^-1 by the identity of Woodbury, for a diagonal d > 0 (Gardner et al. 2018, section 4).

    Attributes:
      factor: L (n, rank).
      noise: d (n, 1), of every example its own.
      inner: Cholesky factor of I + L' d^-1 L.
    """

    factor: Array
    noise: Array
    inner: tuple[Array, bool]

    @classmethod
    def of(cls, kernel: KernelOperator, noise: Array, rank: int) -> Preconditioner:
        """For the kernel plus noise (n, 1) on its diagonal; what the low rank leaves of that counts as noise."""
        return cls.with_factor(*pivoted_cholesky(kernel, rank), noise)

    @classmethod
    def with_factor(cls, factor: Array, left: Array, noise: Array) -> Preconditioner:
        """Of a factor L (n, rank), what it leaves of the diagonal (n,), and noise (n, 1)."""
        noise = noise + float(left.mean())
        noise = np.where(noise > 0, noise, 1.0)
        inner = scipy.linalg.cho_factor(np.eye(factor.shape[1]) + factor.T @ (factor / noise), lower=True)
        return cls(factor, noise, inner)

    def apply(self, right: Array) -> Array:
        """The inverse times right (n, columns)."""
        alone = right / self.noise
        found: Array = alone - self.factor @ scipy.linalg.cho_solve(self.inner, self.factor.T @ alone) / self.noise
        return found
