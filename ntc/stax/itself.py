"""Whether a Kernel is of one batch of examples with itself, as it may say."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntc.backends.jax.concrete import is_traced
from ntc.stax.covariances import Kernel

_ROUNDING = 16
"""Times the precision and the largest variance: differences up to there are rounding."""


def is_of_itself(kernel: Kernel) -> bool:
    """Whether x2 is x1: the Kernel says so, and neither cov2 nor an entry says otherwise.

    Of entries that are traced nothing is known; a Kernel that has cov2 is then taken to be of two batches.
    """
    if not kernel.x1_is_x2 or not is_symmetric(kernel):
        return False
    if is_traced((kernel.nngp, kernel.cov1, kernel.cov2)):
        return kernel.cov2 is None
    own = np.asarray(kernel.cov1)
    other = own if kernel.cov2 is None else np.asarray(kernel.cov2)
    diagonal = np.einsum("nn...->n...", np.asarray(kernel.nngp))
    variances = own if kernel.diagonal_batch else np.einsum("nn...->n...", own)
    return _close(kernel, own, other) and _close(kernel, diagonal, variances)


def is_symmetric(kernel: Kernel) -> bool:
    """Whether the matrices are the same if x1 and x2 are exchanged, as far as they are known."""
    matrices = [x for x in (kernel.nngp, kernel.ntk) if x is not None and np.ndim(x) > 0]
    if any(x.shape[0] != x.shape[1] for x in matrices):
        return False
    known = [np.asarray(x) for x in matrices if not is_traced(x)]
    return all(_close(kernel, x, _exchanged(kernel, x), scale=x) for x in known)


def _exchanged(kernel: Kernel, x: Any) -> Any:
    """Of (n, m, p, p') with (m, n, p', p)."""
    size = 1 if kernel.diagonal_spatial else 2
    pairs = (tuple(range(at, at + size))[::-1] for at in range(2, x.ndim, size))
    return x.transpose(1, 0, *(axis for pair in pairs for axis in pair))


def _close(kernel: Kernel, x: Any, y: Any, scale: Any = None) -> bool:
    """Whether entries differ by rounding alone; those that are not numbers say nothing."""
    if x.shape != y.shape:
        return False
    with np.errstate(invalid="ignore"):
        apart = np.abs(x - y)
    precision = np.finfo(x.dtype).eps if np.issubdtype(x.dtype, np.floating) else 0
    largest = np.max(np.abs(kernel.cov1 if scale is None else scale), initial=0.0)
    return not np.any(apart > _ROUNDING * precision * largest)
