"""Resizing along one axis as a matrix: interpolation kernels, sampled at half-pixel centres."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from ntc.errors import LimitError

Method = Literal["nearest", "linear", "cubic", "lanczos3", "lanczos5"]
Array = npt.NDArray[np.float64]

MAX_WEIGHTS = 2**24
"""Largest matrix of one axis: outputs times positions."""

_NO_WEIGHT = 1000 * float(np.finfo(np.float32).eps)
"""Weights whose sum is less are not normalised, but zero, as in `jax.image.resize`."""


def check_resize(size: int, outputs: int) -> None:
    """Raises LimitError if the matrix from `size` to `outputs` positions is too large."""
    if size * outputs > MAX_WEIGHTS:
        raise LimitError(f"resize: from {size} to {outputs} positions takes more than {MAX_WEIGHTS} weights")


@cache
def resize_matrix(size: int, outputs: int, method: Method, antialias: bool) -> Array:
    """Weights (outputs, size). Output p samples at (p + 1/2) size / outputs - 1/2.

    The kernel is widened by size / outputs when that is more than one, if `antialias`; weights are normalised to
    sum one. These are the conventions of `jax.image.resize`.
    """
    check_resize(size, outputs)
    ratio = size / outputs
    if method == "nearest":
        nearest = np.floor((np.arange(outputs) + 0.5) * size / outputs).astype(int)
        chosen: Array = (nearest[:, None] == np.arange(size)).astype(np.float64)
        return chosen
    centre = (np.arange(outputs) + 0.5) * ratio - 0.5
    distance = np.abs(centre[:, None] - np.arange(size)) / (max(ratio, 1.0) if antialias else 1.0)
    weights = _KERNELS[method](distance)
    total = weights.sum(1, keepdims=True)
    enough = np.abs(total) > _NO_WEIGHT
    normalized: Array = np.where(enough, weights / np.where(enough, total, 1.0), 0.0)
    return normalized


def _triangle(x: Array) -> Array:
    return np.maximum(0.0, 1.0 - x)


def _cubic(x: Array) -> Array:
    """Keys 1981 (Cubic convolution interpolation for digital image processing), eq. 15: a = -1/2."""
    near = ((1.5 * x - 2.5) * x) * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _lanczos(radius: int, x: Array) -> Array:
    """sinc(x) sinc(x / radius) inside the radius (Duchon 1979)."""
    return np.where(x > radius, 0.0, np.sinc(x) * np.sinc(x / radius))


_KERNELS: Mapping[str, Callable[[Array], Array]] = {
    "linear": _triangle,
    "cubic": _cubic,
    "lanczos3": partial(_lanczos, 3),
    "lanczos5": partial(_lanczos, 5),
}
