"""Kernel matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ntc.errors import InputError
from ntc.plot.canvas import axes_on

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def kernel(
    k: npt.ArrayLike, labels: npt.ArrayLike | None = None, *, correlation: bool = False, axes: Axes | None = None
) -> Axes:
    """A matrix as a picture, with a scale of colours.

    Args:
      k: (n1, n2), such as `program(x).ntk`.
      labels: (n1,) classes of the examples of k(x, x): rows and columns are put in their order, with lines between.
      correlation: divides k(x, x) by the roots of its diagonal.
      axes: where to draw.

    Raises:
      InputError: k is not a matrix, or labels do not fit it.
    """
    matrix = _matrix(k)
    if correlation:
        scale = np.sqrt(np.diagonal(_square(matrix, "correlations are")))
        matrix = matrix / np.outer(scale, scale)
    edges: npt.NDArray[Any] = np.zeros(0)
    if labels is not None:
        classes = np.asarray(labels)
        if classes.shape != (len(_square(matrix, "labels are")),):
            raise InputError(f"labels should have shape ({len(matrix)},), got {classes.shape}")
        order = np.argsort(classes, kind="stable")
        matrix, ordered = matrix[np.ix_(order, order)], classes[order]
        edges = np.flatnonzero(ordered[1:] != ordered[:-1])
    axes = axes_on(axes)
    image = axes.imshow(matrix, cmap="viridis", interpolation="nearest")
    for edge in edges:
        for line in (axes.axhline, axes.axvline):
            line(edge + 0.5, color="white", linewidth=0.8)
    axes.set(xlabel="x'", ylabel="x")
    axes.figure.colorbar(image, ax=axes, label="correlation" if correlation else "kernel", fraction=0.046)
    return axes


def spectrum(k: npt.ArrayLike, *, axes: Axes | None = None) -> Axes:
    """Eigenvalues of k(x, x) over their mean, from the largest, and the floor below which they are rounding.

    The mean of the eigenvalues is that of the diagonal, so a value of `diag_reg` is a height in this picture: what lies
    below it is regularised away. The floor is n times the unit of rounding of the dtype times the largest one.

    Args:
      k: (n, n), symmetric.
      axes: where to draw.

    Raises:
      InputError: k is not a square matrix.
    """
    matrix = _square(_matrix(k), "eigenvalues are")
    dtype = np.asarray(k).dtype
    unit = float(np.finfo(dtype if dtype.kind == "f" else np.float64).eps)
    values = np.linalg.eigvalsh(matrix.astype(np.float64))[::-1]
    scaled = values / values.mean()
    floor = len(values) * unit * scaled[0]
    axes = axes_on(axes)
    places = np.arange(1, len(values) + 1)
    axes.loglog(places, np.where(scaled > 0, scaled, np.nan), ".-", markersize=4)
    axes.axhspan(min(floor, float(scaled[scaled > 0].min())) / 2, floor, color="gray", alpha=0.2, label="rounding")
    axes.set(xlabel="eigenvalue, from the largest", ylabel="over the mean of the diagonal")
    axes.legend()
    return axes


def _matrix(k: npt.ArrayLike) -> npt.NDArray[Any]:
    matrix = np.asarray(k)
    if matrix.ndim != 2 or not matrix.size:
        hint = "of a program's result, give one kernel: program(x).nngp"
        raise InputError(f"a kernel matrix has two axes and entries, got shape {matrix.shape}", hint=hint)
    return matrix


def _square(matrix: npt.NDArray[Any], what: str) -> npt.NDArray[Any]:
    if matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"{what} of k(x, x), which is square; got {matrix.shape}")
    return matrix
