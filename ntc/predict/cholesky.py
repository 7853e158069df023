"""The Cholesky factorisation of large matrices, panel by panel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg

LARGE = 12_000
"""Rows from which on panels are used, in up to twice the time. With several threads, `potrf` of OpenBLAS 0.3.30, which
is that of SciPy 1.17, ends the process by a fault of memory for 16,000 rows."""

PANEL = 1024
"""Columns of a panel."""


def factorised(matrix: npt.NDArray[Any], panel: int = PANEL) -> int:
    """Overwrites the lower triangle of a symmetric matrix (n, n), in Fortran's order, by its Cholesky factor.

    Returns zero, or the number of the first leading minor that is not positive, from 1. Left-looking: a panel is read
    with all before it, and written once, so the matrix may be a memory map.
    """
    n = len(matrix)
    (potrf,) = scipy.linalg.get_lapack_funcs(("potrf",), (matrix,))
    (trsm,) = scipy.linalg.get_blas_funcs(("trsm",), (matrix,))
    for start in range(0, n, panel):
        stop = min(start + panel, n)
        columns = matrix[start:, start:stop]
        columns -= matrix[start:, :start] @ matrix[start:stop, :start].T
        own, failed = potrf(columns[: stop - start], lower=True, clean=True)
        if failed:
            return start + int(failed)
        columns[: stop - start] = own
        if stop < n:
            columns[stop - start :] = trsm(1.0, own, columns[stop - start :], side=1, lower=1, trans_a=1)
    return 0


def solved(factor: npt.NDArray[Any], right: npt.NDArray[Any], panel: int = PANEL) -> npt.NDArray[Any]:
    """(L L')^-1 right (n, columns), of the factor L (n, n) that `factorised` left, which is read twice, in order."""
    (trsm,) = scipy.linalg.get_blas_funcs(("trsm",), (factor,))
    n, found = len(factor), np.array(right, factor.dtype, order="F")
    spans = [(start, min(start + panel, n)) for start in range(0, n, panel)]
    for start, stop in spans:
        found[start:stop] = trsm(1.0, factor[start:stop, start:stop], found[start:stop], lower=1)
        found[stop:] -= factor[stop:, start:stop] @ found[start:stop]
    for start, stop in reversed(spans):
        rest = found[start:stop] - factor[stop:, start:stop].T @ found[stop:]
        found[start:stop] = trsm(1.0, factor[start:stop, start:stop], rest, lower=1, trans_a=1)
    return found
