"""Eigenvalues of a kernel matrix, and solutions of least norm where some of them are zero within rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ntc.errors import InputError


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues (n,), none negative, ascending, and eigenvectors (n, n) in columns.

    Eigenvalues up to `null` cannot be told from zero: at infinite time they are taken as zero.
    """

    values: Any
    vectors: Any
    null: Any


@dataclass(frozen=True)
class LeastNorm:
    """A singular kernel K = V diag(v) V', of which eigenvalues that rounding may have made of zero are left out.

    Such eigenvalues are unknown, so K^-1 b is known only for b without a component along their eigenvectors: targets
    that a singular kernel can fit, as those of equal inputs that are equal; test kernels of the same semidefinite
    function, whose components are at most sqrt(k(x, x) v). So of the solution a of least norm it is asked that

        |b - K a| <= null |a| + 10 eps |b|      b is K a for a kernel within rounding of this one,
        null |a| <= sqrt(eps) |b|               and rounding moves K a by no more than half of the digits.

    Attributes:
      values, vectors: the eigenvalues that are kept, (rank,), and their eigenvectors, (n, rank).
      null: size of the rounding of an eigenvalue.
      precision: eps of the kernel.
      refusal: what is raised where there is no such solution.
    """

    values: Any
    vectors: Any
    null: float
    precision: float
    refusal: InputError

    @classmethod
    def of(cls, spectrum: Spectrum, precision: float, refusal: InputError) -> LeastNorm:
        """Of a matrix with these eigenvalues."""
        kept = spectrum.values > spectrum.null
        return cls(spectrum.values[kept], spectrum.vectors[:, kept], float(spectrum.null), precision, refusal)

    @property
    def rank(self) -> int:
        """Number of eigenvalues that are kept."""
        return len(self.values)

    def solve(self, right: Any) -> Any:
        """a with K a = right, for right of shape (n, m). Raises the refusal."""
        return self.vectors @ (self._components(right) / self.values[:, None])

    def whitened(self, right: Any) -> Any:
        """Of shape (rank, m), with the squared norms right' K^-1 right. Raises the refusal."""
        return self._components(right) / self.values[:, None] ** 0.5

    def _components(self, right: Any) -> Any:
        """Along the eigenvectors that are kept."""
        found = self.vectors.T @ right
        size = np.linalg.norm(right, axis=0)
        solution = np.linalg.norm(found / self.values[:, None], axis=0)
        left = np.linalg.norm(right - self.vectors @ found, axis=0)
        determined = (left <= self.null * solution + 10 * self.precision * size) & (
            self.null * solution <= self.precision**0.5 * size
        )
        if not determined.all():
            raise self.refusal
        return found
