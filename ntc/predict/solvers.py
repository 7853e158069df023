"""Regression with a kernel matrix that is stored: by a factorisation, by products, or by some of its columns."""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.linalg

from ntc.backends.jax.result import Kernels
from ntc.errors import InputError, UnsupportedError
from ntc.ir.types import Kernel
from ntc.plan import machine
from ntc.predict import cholesky
from ntc.predict.block_conjugate_gradients import BlockSolution, block_conjugate_gradients
from ntc.predict.nystrom import features, lower_factor, nystrom_preconditioner
from ntc.predict.posterior import Posterior, Regression, matrix
from ntc.predict.stored import StoredOperator, read_ahead
from ntc.predict.system import check_diag_reg
from ntc.predict.targets import targets

if TYPE_CHECKING:
    from ntc.jobs import Job

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Solver = Literal["auto", "cholesky", "cg", "nystrom"]
SOLVERS: tuple[Solver, ...] = ("auto", "cholesky", "cg", "nystrom")


@dataclass(frozen=True)
class Solving:
    """How a stored kernel is solved with.

    Attributes:
      solver: cholesky, in memory; cg, which needs products alone; nystrom, of some columns; auto is cholesky where
        matrices and factor take at most half of the memory, or a scratch folder is given, else cg.
      rank: examples whose columns the preconditioner of cg, or the approximation of nystrom, is made of.
      tolerance, max_iterations: of cg, relative to each target.
      progress: called with (iterations, residual) of cg.
      scratch: a folder in which cholesky keeps its factor, in place of memory: 8 bytes for every entry.
    """

    solver: Solver = "auto"
    rank: int = 500
    tolerance: float = 1e-8
    max_iterations: int = 1000
    progress: Callable[[int, float], None] | None = None
    scratch: str | None = None

    def check(self) -> None:
        """Raises InputError for what makes no sense."""
        if self.solver not in SOLVERS:
            raise InputError(f"solver should be one of {', '.join(SOLVERS)}, got {self.solver!r}")
        if self.scratch is not None and not os.path.isdir(self.scratch):
            raise InputError(f"there is no folder {self.scratch} for the factor", hint=f"mkdir -p {self.scratch}")
        if self.rank < 1 or not 0 < self.tolerance < 1 or self.max_iterations < 1:
            raise InputError("rank and max_iterations should be positive, tolerance in (0, 1)")

    def chosen(self, n: int, matrices: int, itemsize: int) -> Solver:
        """For n examples, and so many matrices that are held."""
        if self.solver != "auto":
            return self.solver
        if self.scratch is not None:
            return "cholesky"
        return "cholesky" if n**2 * (8 + matrices * itemsize) <= machine.memory() // 2 else "cg"


class StoredRegression(ABC):
    """A training set whose kernel is stored. Coefficients (n, outputs) are those of `Regression`, predictions too."""

    @property
    @abstractmethod
    def coefficients(self) -> Array:
        """(n, outputs): means at inputs x are K(x, X) times this."""

    @abstractmethod
    def predict(self, cross: Kernels, prior: Kernels | None) -> Posterior:
        """Means and variances at m test inputs, from their kernels (m, n), or (m, support), with training inputs and
        (m,) with themselves; without the latter variances are NaN."""

    @property
    def support(self) -> Indices | None:
        """Which training examples test inputs are compared with; None is all of them."""
        return None

    @property
    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What is worth knowing of the solution: the solver, iterations and residual."""


def stored_regression(job: Job, y_train: Any, kernel: Kernel, diag_reg: Any, solving: Solving) -> StoredRegression:
    """The regression on targets (n, outputs) or (n,), with the nngp or ntk in a store. Raises InputError where blocks
    are missing that it needs, or shapes do not fit."""
    solving.check()
    n = job.manifest.n1
    y, used = targets(y_train, n), ("nngp",) if kernel == "nngp" else ("nngp", "ntk")
    check_diag_reg(diag_reg, n)
    solver = solving.chosen(n, len(used), job.kernel(kernel).dtype.itemsize)
    if solver == "cholesky" and solving.scratch is None:
        return InMemory(job, y, kernel, diag_reg, used)
    solvers: dict[Solver, type[InFile | ByProducts | ByColumns]]
    solvers = {"cholesky": InFile, "cg": ByProducts, "nystrom": ByColumns}
    return solvers[solver](job, y, kernel, diag_reg, solving)


class InMemory(StoredRegression):
    """`Regression` on matrices that are read into memory."""

    def __init__(self, job: Job, y: Array, kernel: Kernel, diag_reg: Any, used: tuple[str, ...]) -> None:
        for label in used:
            StoredOperator(job.kernel(label))  # of the right shape, and complete
        found = {label: np.asarray(job.kernel(label)) for label in used}
        train: Any = Kernels(found.get("nngp"), found.get("ntk"))  # type: ignore[arg-type]
        self._regression = Regression(train, y, kernel, diag_reg)

    @property
    def coefficients(self) -> Array:
        return self._regression.coefficients

    def predict(self, cross: Kernels, prior: Kernels | None) -> Posterior:
        return self._regression.predict(cross, prior)

    @property
    def facts(self) -> dict[str, Any]:
        return {"solver": "cholesky"}


class _Exact(StoredRegression):
    """What is common to solvers of K + r I that do not hold K in memory."""

    def __init__(self, job: Job, y: Array, kernel: Kernel, diag_reg: Any, solving: Solving) -> None:
        self._job, self._y, self._kernel, self._solving = job, y, kernel, solving
        self._operator = StoredOperator(job.kernel(kernel))
        noise = np.asarray(diag_reg, np.float64) * self._operator.diagonal().mean()
        self._noise = np.broadcast_to(noise, len(y))[:, None]

    @abstractmethod
    def _solved(self, right: Array) -> Array:
        """(K + r I)^-1 right, of shape (n, columns)."""

    def predict(self, cross: Kernels, prior: Kernels | None) -> Posterior:
        rows = np.asarray(matrix(cross, self._kernel), np.float64)
        mean = rows @ self.coefficients
        if prior is None:
            return Posterior(mean, np.full(len(rows), np.nan))
        own, weights = np.asarray(matrix(prior, "nngp", rank=1), np.float64), self._solved(rows.T)
        if self._kernel == "nngp":
            return Posterior(mean, np.maximum(own - np.sum(rows.T * weights, axis=0), 0.0))
        both = StoredOperator(self._job.kernel("nngp")).product(weights)
        nngp = np.asarray(matrix(cross, "nngp"), np.float64)
        return Posterior(mean, np.maximum(own + np.sum((both - 2 * nngp.T) * weights, axis=0), 0.0))


class InFile(_Exact):
    """A Cholesky factor in a scratch file of 8 n^2 bytes, which is deleted at once and gone when the process is."""

    @cached_property
    def _factor(self) -> Array:
        """(n, n), of the kernel in the order of the store."""
        n, kernel = self._operator.size, self._operator.kernel
        with tempfile.TemporaryFile(dir=self._solving.scratch) as file:
            found: Array = np.memmap(file, np.float64, "w+", shape=(n, n), order="F")
        for (i, j), block in read_ahead(lambda task: kernel.block(*task), kernel.blocks.tasks()):
            found[kernel.blocks.column_span(j), kernel.blocks.row_span(i)] = block.T
        found[np.diag_indices(n)] += self._noise[kernel.order1, 0]
        if failed := cholesky.factorised(found):
            raise InputError(
                f"the kernel matrix is not positive definite: its leading minor of order {failed} is not",
                hint="use more diag_reg, or a kernel in float64",
            )
        return found

    def _solved(self, right: Array) -> Array:
        order = self._operator.kernel.order1
        found = np.empty_like(right)
        found[order] = cholesky.solved(self._factor, right[order])
        return found

    @cached_property
    def coefficients(self) -> Array:
        return self._solved(self._y)

    @property
    def facts(self) -> dict[str, Any]:
        return {"solver": "cholesky", "scratch": str(self._solving.scratch)}


class ByProducts(_Exact):
    """Block conjugate gradients, preconditioned by the columns of the first examples of the store."""

    @cached_property
    def _inverse(self) -> Callable[[Array], Array]:
        first = self._operator.first(self._solving.rank)
        columns = self._operator.columns(first)
        return nystrom_preconditioner(columns, columns[first], self._operator.diagonal(), self._noise).apply

    def _solution(self, right: Array) -> BlockSolution:
        solving = self._solving
        return block_conjugate_gradients(
            lambda vectors: self._operator.product(vectors) + self._noise * vectors,
            right,
            self._inverse,
            solving.tolerance,
            solving.max_iterations,
            solving.progress,
        )

    def _solved(self, right: Array) -> Array:
        return self._solution(right).coefficients

    @cached_property
    def _found(self) -> BlockSolution:
        return self._solution(self._y)

    @property
    def coefficients(self) -> Array:
        return self._found.coefficients

    @property
    def facts(self) -> dict[str, Any]:
        return {"solver": "cg", "iterations": self._found.iterations, "residual": self._found.residual}


class ByColumns(StoredRegression):
    """The kernel as C W^-1 C' of the columns of some examples: the deterministic training conditional
    (Quinonero-Candela and Rasmussen 2005, section 5). Only blocks of these columns need be there.

    Regularisation is relative to the mean of the diagonal over these examples, which are a uniform sample.

    Attributes:
      kernel: nngp or ntk.
    """

    def __init__(self, job: Job, y: Array, kernel: Kernel, diag_reg: Any, solving: Solving) -> None:
        operator = StoredOperator(job.kernel(kernel), whole=False)
        self._y, self.kernel, self._support = y, kernel, operator.first(solving.rank)
        columns = operator.columns(self._support)
        inner = columns[self._support]
        self._lower = lower_factor(inner)
        noise = np.asarray(diag_reg, np.float64) * float(np.diagonal(inner).mean())
        if not (noise > 0).all():
            raise InputError("the solver nystrom needs a positive diag_reg")
        factor, noise = features(columns, self._lower), np.broadcast_to(noise, len(y))[:, None]
        weighted = factor / noise
        self._inner = scipy.linalg.cho_factor(np.eye(factor.shape[1]) + factor.T @ weighted, lower=True)
        self._weights = scipy.linalg.cho_solve(self._inner, weighted.T @ y)

    @property
    def support(self) -> Indices:
        return self._support

    @property
    def coefficients(self) -> Array:
        found = np.zeros(self._y.shape)
        found[self._support] = scipy.linalg.solve_triangular(self._lower, self._weights, lower=True, trans="T")
        return found

    def predict(self, cross: Kernels, prior: Kernels | None) -> Posterior:
        rows = features(np.asarray(matrix(cross, self.kernel), np.float64), self._lower)
        mean = rows @ self._weights
        if prior is None:
            return Posterior(mean, np.full(len(rows), np.nan))
        if self.kernel == "ntk":
            raise UnsupportedError(
                "the solver nystrom has no variances of trained networks, which need all columns",
                hint="leave variances out, or use the solver cg or the nngp",
            )
        own = np.asarray(matrix(prior, "nngp", rank=1), np.float64)
        known = np.sum(rows.T * (rows.T - scipy.linalg.cho_solve(self._inner, rows.T)), axis=0)
        return Posterior(mean, np.maximum(own - known, 0.0))

    def approximate(self, one: Array, other: Array) -> Array:
        """The kernel (m1, m2) that stands for that of two sets of examples, of their kernels (m1, support) and
        (m2, support) with the examples of the columns."""
        return features(one, self._lower) @ features(other, self._lower).T

    @property
    def facts(self) -> dict[str, Any]:
        return {"solver": "nystrom", "rank": len(self._support)}
