"""Gaussian integrals by Hermite series, in float64: the reference for functions without a closed form."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import pi, sqrt

import numpy as np

from ntc.ir.op import Array

TERMS = 1536
"""Of the series. Those of tanh at variance 10 fall by a factor of 1e-15 (squared) within them."""

LEFT_OUT = 1e-9
"""Largest part of the whole that the terms left out may be, else the result is NaN."""

_END = 14.0
_NODES = 701


SHIFT = 0.382
"""In steps between nodes: where the nodes of the second quadrature lie, whose result must be the same."""

EDGE = 1e-20
"""Largest part of the whole that the integrand may be at the ends, where it is cut off."""


@lru_cache
def _basis(shift: float = 0.0) -> tuple[Array, Array, Array]:
    """Nodes z, weights of z, and the matrix that takes values at the nodes to coefficients.

    The trapezoidal rule; the Hermite polynomials times exp(-z^2 / 4), which keeps them bounded, by their recurrence.
    """
    z = np.linspace(-_END, _END, _NODES) + shift * 2 * _END / (_NODES - 1)
    half = np.exp(-(z**2) / 4)
    functions = np.zeros((TERMS, _NODES))
    functions[0], functions[1] = half, z * half
    for n in range(1, TERMS - 1):
        functions[n + 1] = (z * functions[n] - sqrt(n) * functions[n - 1]) / sqrt(n + 1)
    weight = half * (2 * _END / (_NODES - 1)) / sqrt(2 * pi)
    return z, weight * half, (functions * weight).T


def _coefficients(function: Callable[[Array], Array], v: Array, checked: bool) -> Array:
    """a_l(v), l last. NaN where the terms left out are too large, or the nodes do not resolve the function."""
    z, weight, matrix = _basis()
    values = function(np.sqrt(v)[..., None] * z)
    found = values @ matrix
    whole = values**2 @ weight
    enough = whole - np.sum(found**2, axis=-1) <= LEFT_OUT * whole
    if checked:
        shifted, _, other = _basis(SHIFT)
        apart = np.sum((function(np.sqrt(v)[..., None] * shifted) @ other - found) ** 2, axis=-1)
        ends = np.maximum(values[..., 0] ** 2 * weight[0], values[..., -1] ** 2 * weight[-1])
        enough &= (apart <= LEFT_OUT * whole) & (ends <= EDGE * whole)
    return np.where(enough[..., None], found, np.nan)


def series(function: Callable[[Array], Array], k: Array, v1: Array, v2: Array, checked: bool = False) -> Array:
    """E[f(u) f(v)] = sum over l of a_l(v1) a_l(v2) c^l. A variance of zero counts as correlation one."""
    norm = np.sqrt(v1 * v2)
    cosine = np.where(norm > 0, np.clip(k / np.where(norm > 0, norm, 1), -1, 1), 1)
    first, second = (_coefficients(function, v, checked) for v in (v1, v2))
    total = np.zeros(np.broadcast_shapes(np.shape(k), v1.shape, v2.shape))
    for level in reversed(range(TERMS)):
        total = total * cosine + first[..., level] * second[..., level]
    return total
