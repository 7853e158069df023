"""A network trained on a table: what estimators factorise, and ask for predictions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ntc import predict
from ntc.backends.jax.program import Program
from ntc.errors import InputError, ParameterError, UnsupportedError
from ntc.ir.types import Kernel
from ntc.predict.choose_diag_reg import CRITERIA, drawn
from ntc.predict.examples import kernels as kernels_of
from ntc.predict.posterior import Regression

Array = npt.NDArray[np.float64]

BATCH = 1024
"""Test inputs at a time: of finite times, whose covariances are needed for variances."""

BY_TIME = 1e-4
"""The regularisation that `auto` is for a finite time of training, which regularises itself."""


@dataclass
class Table:
    """Examples to train on: inputs (n, *shape), targets (n, outputs), positive weights (n,) or None: one each."""

    x: Array
    y: Array
    weights: Array | None = None

    def part(self, rows: Any) -> Table:
        """Some of the examples."""
        return Table(self.x[rows], self.y[rows], None if self.weights is None else self.weights[rows])


def merged(x: Array, y: Array, weights: Array | None) -> tuple[Any, Array | None]:
    """Rows of x (n, features) and y (n, outputs) of which all others are copies, and how much each weighs with these.

    Predictions are the same; and an example that is left out should not be predicted by its copy.
    """
    both = np.concatenate([x, y], axis=1)
    _, first, group = np.unique(both, axis=0, return_index=True, return_inverse=True)
    if len(first) == len(x):
        return np.arange(len(x)), weights
    totals = np.bincount(group.ravel(), weights, len(first)).astype(np.float64)
    order = np.argsort(first)
    return first[order], totals[order]


@dataclass
class TrainedOnTable:
    """Exact inference with a kernel of a program, in memory or in a store.

    Args:
      diag_reg, t: as of the estimators.
      store, solver: as of the estimators.
    """

    program: Program
    kernel: Kernel
    table: Table
    diag_reg: Any
    t: float | None
    store: str | None
    solver: Any

    def prepare(self) -> None:
        """Computes or finds the training kernels, so that what is wrong is said when it is fitted."""
        if self.store is not None and self.t is not None:
            raise ParameterError("a store serves training to convergence", hint="t=None, or store=None")
        if self.t is None:
            self._trained  # noqa: B018

    @cached_property
    def chosen(self) -> predict.ChosenDiagReg:
        """The regularisation, and the scale of the kernel, one where the regularisation is given."""
        weights = self.table.weights
        if isinstance(self.diag_reg, str) and self.diag_reg != "auto":
            raise InputError(f'diag_reg should be a number or "auto", got {self.diag_reg!r}')
        if isinstance(self.diag_reg, str) and self.t is None:
            part = self.table.part(self._rows)
            found = predict.choose_diag_reg(
                self._matrix(), part.y, criterion=CRITERIA[self.kernel], weights=part.weights
            )
            if weights is None or part.weights is None:
                return found
            every = float(np.mean(found.diag_reg * part.weights))
            return predict.ChosenDiagReg(every / weights, found.scale, found.value)
        given = BY_TIME if isinstance(self.diag_reg, str) else self.diag_reg
        return predict.ChosenDiagReg(given if weights is None else given / weights, 1.0, np.nan)

    @cached_property
    def _rows(self) -> Any:
        """Which examples choices are made from: all, or some where the kernel of all is not in memory."""
        return np.arange(len(self.table.y)) if self.store is None else drawn(len(self.table.y))

    def _matrix(self) -> Array:
        """The kernel between these."""
        kernels = self._kernels if self.store is None else kernels_of(self.program, self.table.x[self._rows])
        found: Array = getattr(kernels, self.kernel)
        return found

    @cached_property
    def _kernels(self) -> Any:
        return kernels_of(self.program, self.table.x)

    @cached_property
    def _trained(self) -> predict.Trained:
        arguments = (self.program, self.table.x, self.table.y, self.kernel, self.chosen.diag_reg)
        if self.store is None:
            return predict.Trained(*arguments, train=self._kernels)
        from ntc import jobs

        job = jobs.create(self.program, self.table.x, store=str(self.store))
        job.run()
        return predict.Trained(*arguments, store=job, solving=predict.Solving(self.solver))

    @cached_property
    def _ensemble(self) -> Any:
        if isinstance(self.table.x, predict.Examples):
            raise UnsupportedError("of a model that aggregates there are means and variances alone")
        return predict.gradient_descent_mse_ensemble(
            self.program, self.table.x, self.table.y, diag_reg=self.chosen.diag_reg
        )

    def posterior(self, x: Array, variances: bool) -> predict.Posterior:
        """Means, and variances if wanted, at inputs (m, *shape)."""
        if self.t is None:
            return self._scaled(self._trained.predict(x, variances=variances))
        parts = [self._at_time(x[first : first + BATCH]) for first in range(0, len(x), BATCH)]
        return self._scaled(predict.Posterior(*(np.concatenate(part) for part in zip(*parts, strict=True))))

    def _scaled(self, found: predict.Posterior) -> predict.Posterior:
        return predict.Posterior(found.mean, found.variance * self.scale)

    @property
    def scale(self) -> float:
        """What variances of the prior are multiplied by. Networks are drawn at the scale that they have."""
        return self.chosen.scale if self.kernel == "nngp" else 1.0

    def _at_time(self, x: Array) -> tuple[Array, Array]:
        law = self._ensemble(self.t, x, self.kernel, True)
        return np.asarray(law.mean), np.maximum(np.diagonal(law.covariance), 0)

    def joint(self, x: Array) -> tuple[Array, Array]:
        """Mean (m, outputs) and covariance (m, m), which all outputs share."""
        law = self._ensemble(self.t, x, self.kernel, True)
        return np.asarray(law.mean), np.asarray(law.covariance) * self.scale

    @cached_property
    def log_marginal_likelihood(self) -> float:
        """Of the targets under the kernel as a covariance, in nats."""
        matrix = np.asarray(getattr(self._kernels, self.kernel), np.float64) * self.scale
        return float(predict.log_marginal_likelihood(matrix, self.table.y, self.chosen.diag_reg))

    def left_out(self) -> tuple[Any, Array]:
        """Some examples, and the means (n, outputs) that each is predicted to have by all others, or by the others of a
        part where the kernel of all is stored."""
        rows, regression = drawn(len(self.table.y)), self._trained.regression
        if isinstance(regression, Regression):
            return rows, regression.left_out(rows)
        noise = self.chosen.diag_reg
        noise = noise[rows] if np.ndim(noise) else noise
        return rows, predict.leave_one_out(self._matrix(), self.table.y[rows], noise).mean
