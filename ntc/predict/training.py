"""Networks trained on data: factorised once, asked for predictions batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ntc.errors import InputError
from ntc.ir.types import Kernel
from ntc.predict.posterior import Posterior, Progress, Regression, named, targets

if TYPE_CHECKING:
    from ntc.backends.jax.program import Program

BATCH = 1024


class Trained:
    """Infinitely wide networks after training on (x_train, y_train): the law that `posterior` describes.

    Memory is that of the training kernels and one factor in float64.

    Args:
      program: computes the kernels.
      x_train: (n, *spatial, channels).
      y_train: (n, outputs) or (n,).
      kernel: nngp or ntk.
      diag_reg: relative to the mean of the diagonal of the kernel.
      progress: called after every tile of the training kernels.

    Raises:
      InputError: arrays do not fit; at the first prediction: the matrix is not positive definite.
    """

    def __init__(
        self,
        program: Program,
        x_train: npt.ArrayLike,
        y_train: npt.ArrayLike,
        kernel: Kernel = "nngp",
        diag_reg: Any = 1e-4,
        progress: Progress | None = None,
    ) -> None:
        targets(y_train, len(np.asarray(x_train)))  # a mistake here should not cost the kernels first
        self._program, self._x_train = program, x_train
        train = program(x_train, progress=named(progress, "train x train"))
        self._regression = Regression(train, y_train, kernel, diag_reg)

    def predict(self, x_test: npt.ArrayLike, batch: int = BATCH, progress: Progress | None = None) -> Posterior:
        """Means and variances at all of x_test (m, *spatial, channels), `batch` at a time."""
        parts = list(self.stream(x_test, batch, progress))
        return Posterior(np.concatenate([p.mean for p in parts]), np.concatenate([p.variance for p in parts]))

    def stream(
        self,
        x_test: npt.ArrayLike | Iterable[npt.ArrayLike],
        batch: int = BATCH,
        progress: Progress | None = None,
    ) -> Iterator[Posterior]:
        """Predictions batch by batch, with memory for one.

        Args:
          x_test: an array (m, *spatial, channels), which may be a memory map, cut into batches here; or an iterator
            of arrays, each of which is a batch of its own.
          batch: examples at a time, positive.
          progress: called after every tile of the kernels.

        Raises:
          InputError: a batch does not fit the program, or `batch` is not positive.
        """
        if batch < 1:
            raise InputError(f"batch should be positive, got {batch}")
        return (self._batch(x, progress) for x in _batches(x_test, batch))

    def _batch(self, x: npt.ArrayLike, progress: Progress | None) -> Posterior:
        cross = self._program(x, self._x_train, progress=named(progress, "test x train"))
        return self._regression.predict(cross, self._program.diagonal(x))


def regress(
    program: Program,
    x_train: npt.ArrayLike,
    y_train: npt.ArrayLike,
    x_test: npt.ArrayLike,
    kernel: Kernel = "nngp",
    diag_reg: Any = 1e-4,
    progress: Progress | None = None,
) -> Posterior:
    """Predictions at x_test after training on (x_train, y_train): see `posterior` for what they are."""
    return Trained(program, x_train, y_train, kernel, diag_reg, progress).predict(x_test, progress=progress)


def _batches(x_test: Any, batch: int) -> Iterator[npt.ArrayLike]:
    if not hasattr(x_test, "__getitem__"):
        yield from x_test
        return
    array = x_test if hasattr(x_test, "shape") else np.asarray(x_test)
    for first in range(0, max(1, len(array)), batch):
        yield array[first : first + batch]
