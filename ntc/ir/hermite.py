"""Gaussian integrals by Hermite series, in float64: the reference for functions without a closed form.

A series falls slowly where the function bends on a length far below the standard deviation; there the integrals are
those of `ntc.ir.quadrature`, which take longer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import pi, sqrt

import numpy as np
import numpy.typing as npt

from ntc.ir import quadrature
from ntc.ir.op import Array

TERMS = 1536
"""Of the series. Those of tanh at variance 10 fall by a factor of 1e-15 (squared) within them."""

LEFT_OUT = 1e-9
"""Largest part of the whole that the terms left out may be."""

LAST = 1e-13
"""Largest part of the whole that the last eighth of the terms may be, which tells sooner what is left out: rounding
does not hide it."""

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
    enough &= np.sum(found[..., TERMS - TERMS // 8 :] ** 2, axis=-1) <= LAST * whole
    if checked:
        shifted, _, other = _basis(SHIFT)
        apart = np.sum((function(np.sqrt(v)[..., None] * shifted) @ other - found) ** 2, axis=-1)
        ends = np.maximum(values[..., 0] ** 2 * weight[0], values[..., -1] ** 2 * weight[-1])
        enough &= (apart <= LEFT_OUT * whole) & (ends <= EDGE * whole)
    return np.where(enough[..., None], found, np.nan)


def series(
    function: Callable[[Array], Array],
    k: Array,
    v1: Array,
    v2: Array,
    checked: bool = False,
    bend: float = quadrature.BEND,
) -> Array:
    """E[f(u) f(v)] = sum over l of a_l(v1) a_l(v2) c^l, or by quadrature where that takes too many terms. A variance of
    zero counts as correlation one. NaN where f is `checked`, and the nodes of neither resolve it."""
    k, v1, v2 = np.broadcast_arrays(k, v1, v2)
    norm = np.sqrt(v1) * np.sqrt(v2)
    cosine = np.where(norm > 0, np.clip(k / np.where(norm > 0, norm, 1), -1, 1), 1)
    (own1, which1), (own2, which2) = (np.unique(v, return_inverse=True) for v in (v1, v2))
    first, second = (_coefficients(function, own, checked).T for own in (own1, own2))
    total = np.zeros(k.shape)
    for level in reversed(range(TERMS)):
        total = total * cosine + (first[level][which1] * second[level][which2]).reshape(k.shape)
    far = np.isnan(total) & np.isfinite(k) & (v1 < np.inf) & (v2 < np.inf)
    if checked:
        far &= _resolved(function, v1, bend) & _resolved(function, v2, bend)
    found = np.array(total)
    found[far] = quadrature.integral(function, k[far], v1[far], v2[far], bend)
    return found


def _resolved(function: Callable[[Array], Array], v: Array, bend: float) -> npt.NDArray[np.bool_]:
    """Whether the nodes of the quadrature resolve a function of which nothing is known, at each variance."""
    known = {float(one): is_resolved(function, float(one), bend) for one in np.unique(v)}
    return np.array([known[float(one)] for one in v.ravel()], bool).reshape(v.shape)


def is_resolved(function: Callable[[Array], Array], v: float, bend: float, left_out: float = LEFT_OUT) -> bool:
    """Whether two quadratures agree that bend on this length, and the integrand vanishes at their ends."""
    if not 0 < v < np.inf:
        return v == 0
    (whole, ends), (shifted, _) = (quadrature.square(function, v, shift, bend) for shift in (0.0, SHIFT))
    return bool(abs(shifted - whole) <= left_out * whole and ends <= quadrature.EDGE * whole)
