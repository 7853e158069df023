"""What a nonlinearity is to kernels: its Gaussian integrals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Activation(ABC):
    """A function phi of one real variable, by its Gaussian integrals.

    With (u, v) Gaussian of mean zero, variances v1 and v2 and covariance k, all arrays that broadcast:
    """

    elementary: ClassVar[bool] = False
    """Whether a backend computes the integrals of an entry by arithmetic, roots and exponentials of the covariance and
    of one number for each marginal, so that they fit into a kernel that computes whole layers."""

    @property
    def jump(self) -> int | None:
        """The order of the derivative of phi that jumps: 0 for phi itself, 1 for its slope; None if neither does.

        E[f(u) f(v)] of what jumps has an infinite slope at correlation one: an error of eps in k is one of sqrt(eps).
        """
        return None

    @property
    def slopes(self) -> tuple[float, float] | None:
        """(a, b) where phi(x) = a min(x, 0) + b max(x, 0), whose integrals have a form in distances; else None."""
        return None

    @abstractmethod
    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        """E[phi(u) phi(v)]."""

    @abstractmethod
    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        """E[phi'(u) phi'(v)]."""
