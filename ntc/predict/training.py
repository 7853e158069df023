"""Networks trained on data: factorised once, asked for predictions batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ntc.errors import InputError
from ntc.ir.types import Kernel
from ntc.predict.choose_diag_reg import drawn, resolved
from ntc.predict.examples import Examples, diagonal, examples, kernels
from ntc.predict.posterior import Posterior, Progress, Regression, matrix, named
from ntc.predict.solvers import ByColumns, Solving, StoredRegression, stored_regression
from ntc.predict.targets import targets

if TYPE_CHECKING:
    from ntc.backends.jax.program import Program
    from ntc.backends.jax.result import Kernels
    from ntc.jobs import Job

BATCH = 1024
_SAMPLE = 64
"""Examples on either side of the entries that an approximation is compared at."""


class Trained:
    """Infinitely wide networks after training on (x_train, y_train): the law that `posterior` describes.

    Memory is that of the training kernels and one factor in float64, unless kernels are stored. Attribute `diag_reg`:
    as given, or as chosen.

    Args:
      program: computes the kernels.
      x_train: (n, *spatial, channels), or `Examples` with masks or patterns.
      y_train: (n, outputs) or (n,).
      kernel: nngp or ntk.
      diag_reg: relative to the mean of the diagonal of the kernel; "auto" as in `posterior`, for a stored kernel from
        some examples.
      progress: called after every tile of the training kernels.
      store: a job of `ntc.jobs` that has the training kernels, which then are not computed.
      solving: how a stored kernel is solved with (`Solving`); default: by its size.
      train: `program(x_train)`, where that has been computed.

    Raises:
      InputError: arrays do not fit, or are not those of the store; at the first prediction: the matrix is not positive
        definite, or iterations have not converged.
    """

    def __init__(
        self,
        program: Program,
        x_train: npt.ArrayLike | Examples,
        y_train: npt.ArrayLike,
        kernel: Kernel = "nngp",
        diag_reg: Any = 1e-4,
        progress: Progress | None = None,
        *,
        store: Job | None = None,
        solving: Solving | None = None,
        train: Kernels | None = None,
    ) -> None:
        given = examples(x_train)
        x_train = given.x if given.plain else given
        self._program, self._x_train, self._every = program, x_train, x_train
        self.regression: Regression | StoredRegression
        if store is not None:
            from ntc.jobs.create import check_examples

            if not given.plain:
                hint = "its kernels have their masks and patterns; predict without the store"
                raise InputError("a store is read with examples alone, without masks and patterns", hint=hint)
            check_examples(store, program, x_train)
            diag_reg = resolved(diag_reg, lambda: self._sample(np.asarray(y_train), kernel), kernel)
            self.regression = stored_regression(store, y_train, kernel, diag_reg, solving or Solving())
            self.diag_reg, support = diag_reg, self.regression.support
            self._x_train = x_train if support is None else np.asarray(x_train)[support]
            return
        targets(y_train, len(given))  # a mistake here should not cost the kernels first
        train = kernels(program, x_train, progress=named(progress, "train x train")) if train is None else train
        self.regression = Regression(train, y_train, kernel, diag_reg)
        self.diag_reg = self.regression.diag_reg

    def _sample(self, y: npt.NDArray[Any], kernel: Kernel) -> tuple[Any, Any]:
        """The kernel and targets of as many training examples as a choice is made from."""
        rows = drawn(len(y))
        return matrix(self._program(np.asarray(self._x_train)[rows]), kernel), y[rows]

    def predict(
        self,
        x_test: npt.ArrayLike | Examples,
        batch: int = BATCH,
        progress: Progress | None = None,
        variances: bool = True,
    ) -> Posterior:
        """Means and variances at all of x_test (m, *spatial, channels), `batch` at a time."""
        parts = list(self.stream(x_test, batch, progress, variances))
        return Posterior(np.concatenate([p.mean for p in parts]), np.concatenate([p.variance for p in parts]))

    def facts(self) -> dict[str, Any]:
        """What is worth knowing of how a stored kernel was solved with: solver, iterations, residual, the rank of an
        approximation and its error on random entries, relative to the mean of the diagonal. Empty without a store."""
        found = self.regression
        if not isinstance(found, StoredRegression):
            return {}
        return found.facts | ({"kernel_error": self._error(found)} if isinstance(found, ByColumns) else {})

    def _error(self, found: ByColumns) -> float:
        """Root mean square, over entries between two random sets of training examples."""
        random, every = np.random.default_rng(0), np.asarray(self._every)
        one, other = (np.sort(random.choice(len(every), min(_SAMPLE, len(every)), replace=False)) for _ in range(2))
        exact, *near = (
            np.asarray(matrix(kernels(self._program, a, b), found.kernel), np.float64)
            for a, b in ((every[one], every[other]), (every[one], self._x_train), (every[other], self._x_train))
        )
        difference = found.approximate(*near) - exact
        diagonal = matrix(self._program.diagonal(every[one]), found.kernel, rank=1)
        return float(np.sqrt(np.mean(difference**2)) / diagonal.mean())

    def stream(
        self,
        x_test: npt.ArrayLike | Examples | Iterable[npt.ArrayLike | Examples],
        batch: int = BATCH,
        progress: Progress | None = None,
        variances: bool = True,
    ) -> Iterator[Posterior]:
        """Predictions batch by batch, with memory for one.

        Args:
          x_test: an array (m, *spatial, channels), which may be a memory map, or `Examples`, cut into batches here; or
            an iterator of these, each of which is a batch of its own.
          batch: examples at a time, positive.
          progress: called after every tile of the kernels.
          variances: false leaves them out, NaN, which saves a solution for every test input.

        Raises:
          InputError: a batch does not fit the program, or `batch` is not positive.
        """
        if batch < 1:
            raise InputError(f"batch should be positive, got {batch}")
        return (self._batch(x, progress, variances) for x in _batches(x_test, batch))

    def _batch(self, x: npt.ArrayLike | Examples, progress: Progress | None, variances: bool) -> Posterior:
        cross = kernels(self._program, x, self._x_train, progress=named(progress, "test x train"))
        return self.regression.predict(cross, diagonal(self._program, x) if variances else None)


def regress(
    program: Program,
    x_train: npt.ArrayLike | Examples,
    y_train: npt.ArrayLike,
    x_test: npt.ArrayLike | Examples,
    kernel: Kernel = "nngp",
    diag_reg: Any = 1e-4,
    progress: Progress | None = None,
    *,
    store: Job | None = None,
    solving: Solving | None = None,
    variances: bool = True,
) -> Posterior:
    """Predictions at x_test after training on (x_train, y_train): see `posterior` for what they are, and `Trained` for
    the arguments; without `variances` they are NaN, and means are there sooner."""
    trained = Trained(program, x_train, y_train, kernel, diag_reg, progress, store=store, solving=solving)
    return trained.predict(x_test, progress=progress, variances=variances)


def _batches(x_test: Any, batch: int) -> Iterator[npt.ArrayLike | Examples]:
    if not hasattr(x_test, "__getitem__"):
        yield from x_test
        return
    array = x_test if hasattr(x_test, "shape") else np.asarray(x_test)
    for first in range(0, max(1, len(array)), batch):
        yield array[first : first + batch]
