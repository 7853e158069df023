"""Gaussian integrals of functions of pieces by quadrature between their kinks, in float64: the definition.

With u the variable of larger variance and v given u of mean m and standard deviation s,

    E[f(u) f(v)] = integral of f(u) p(u) (integral of f(v) p(v | u) dv) du,

on Gauss-Legendre panels between the places of f; those of u shrink as well towards where m is at a place, as the inner
integral is steep there on a length of s, and all of them towards places, where derivatives may be infinite. Of pieces
that are polynomials the inner integral is exact, by moments of the Gaussian between places. Two numbers of nodes must
give one value, else the result is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import comb, pi, sqrt

import numpy as np

from ntc.ir.numpy_functions import NUMPY
from ntc.ir.op import Array
from ntc.ir.quadrature import gap, panels

END = 9.0
"""Standard deviations at which integrals end."""

APART = 1e-7
"""Largest difference of two rules, in parts of the geometric mean of the integrals of both variables alone."""

_GRADED = 16
"""Panels towards a place, each a quarter of the one before."""

_TOWARDS = 0.25 ** np.array([0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14])
"""Of the inner variable, where there are more of them: coarser close to a place."""

Function = Callable[[Array], Array]


Polynomials = tuple[tuple[float, ...], ...]
"""Coefficients of every piece, from that of 1 on."""


def integral(
    function: Function, places: tuple[float, ...], k: Array, v1: Array, v2: Array, pieces: Polynomials | None = None
) -> Array:
    """E[f(u) f(v)] of variables with these variances and covariance, which broadcast; NaN where two rules disagree.

    `pieces` are those of f, if they are polynomials.
    """
    arrays = np.broadcast_arrays(k, v1, v2)
    entries = zip(*(x.ravel() for x in arrays), strict=True)
    found = [_pair(function, places, pieces, *map(float, entry)) for entry in entries]
    return np.array(found).reshape(arrays[0].shape)


@lru_cache(maxsize=4096)
def _pair(
    function: Function, places: tuple[float, ...], pieces: Polynomials | None, k: float, v1: float, v2: float
) -> float:
    larger, smaller = max(v1, v2), min(v1, v2)
    at_zero = function(np.zeros(1))
    if larger == 0:
        return float(at_zero[0] ** 2)
    values = [_integrated(function, places, pieces, k, larger, smaller, nodes) for nodes in (24, 16)]
    size = sqrt(_alone(function, places, larger) * _alone(function, places, smaller))
    return values[0] if abs(values[0] - values[1]) <= APART * size else float("nan")


def _alone(function: Function, places: tuple[float, ...], v: float) -> float:
    if v == 0:
        return float(function(np.zeros(1))[0] ** 2)
    u, weight = _nodes(np.array(places), v, np.zeros(0), 0.0, 16)
    return float(function(u) ** 2 @ weight)


def _integrated(
    function: Function,
    places: tuple[float, ...],
    pieces: Polynomials | None,
    k: float,
    larger: float,
    smaller: float,
    n: int,
) -> float:
    if smaller == 0:
        u, weight = _nodes(np.array(places), larger, np.zeros(0), 0.0, n)
        return float(function(u) @ weight * function(np.zeros(1))[0])
    deviation = sqrt(float(gap(*map(np.asarray, (k, larger, smaller)))) / larger)
    steep = np.array(places) * larger / k if k else np.zeros(0)
    width = deviation * larger / abs(k) if k else 0.0
    u, weight = _nodes(np.array(places), larger, steep, width, n)
    mean = k / larger * u
    if deviation == 0:
        given = function(mean)
    elif pieces is None:
        given = _given(function, places, mean, deviation, n)
    else:
        given = _moments(pieces, places, mean, deviation)
    return float(function(u) * given @ weight)


def _nodes(places: Array, v: float, steep: Array, width: float, n: int) -> tuple[Array, Array]:
    """Nodes of a variable of variance v, and weights."""
    reach = END * sqrt(v)
    grid = _grid(reach, sqrt(v))
    towards = np.outer([1, -1], 0.25 ** np.arange(_GRADED)).ravel() * min(1.0, sqrt(v))
    around = np.outer([1, -1], 2.0 ** np.arange(-2, 12)).ravel() * width
    ends = [grid, places, (places[:, None] + towards).ravel(), steep, (steep[:, None] + around).ravel()]
    ends_ = np.unique(np.clip(np.concatenate(ends), -reach, reach))
    u, weight = panels(ends_, n)
    return u, weight * np.exp(-(u**2) / (2 * v)) / sqrt(2 * pi * v)


def _grid(reach: float, deviation: float) -> Array:
    """Ends of panels as long as a standard deviation or as functions bend on, whichever is less."""
    short = min(deviation, 1.0)
    count = 2 * int(np.ceil(np.arcsinh(reach / short)))
    value: Array = short * np.sinh(np.linspace(-1, 1, 2 * count + 1) * np.arcsinh(reach / short))
    return value


def _given(function: Function, places: tuple[float, ...], mean: Array, deviation: float, n: int) -> Array:
    """E[f(v)] of variables of these means and of this standard deviation, one row of panels for each."""
    own = np.sort(np.array(places))
    towards = np.outer([1, -1], [0, *_TOWARDS]).ravel() * min(1.0, deviation)
    fixed = np.concatenate([(own[:, None] + towards).ravel(), 2.0 ** np.arange(0, 8), -(2.0 ** np.arange(0, 8))])
    steps = deviation * np.linspace(-END, END, 10)
    ends = np.concatenate([np.broadcast_to(fixed, (len(mean), len(fixed))), mean[:, None] + steps], 1)
    ends = np.sort(np.clip(ends, mean[:, None] - END * deviation, mean[:, None] + END * deviation), 1)
    total = np.zeros(len(mean))
    for start in range(0, len(mean), 512):  # at a time
        part = slice(start, start + 512)
        v, weight = panels(ends[part], n)
        density = np.exp(-(((v - mean[part, None]) / deviation) ** 2) / 2) / (deviation * sqrt(2 * pi))
        total[part] = np.sum(np.where(weight > 0, function(v), 0) * weight * density, 1)
    return total


def _moments(pieces: Polynomials, places: tuple[float, ...], mean: Array, deviation: float) -> Array:
    """E[f(v)] of variables of these means and of this standard deviation, f being these polynomials between places."""
    z = np.array([-np.inf, *places, np.inf])[:, None] - mean
    z = z / deviation
    density = np.where(np.isfinite(z), np.exp(-(z**2) / 2) / sqrt(2 * pi), 0.0)
    inside = np.where(np.isfinite(z), z, 0.0)
    above, below = NUMPY["erfc"](z / sqrt(2)) / 2, NUMPY["erfc"](-z / sqrt(2)) / 2
    total = np.zeros_like(mean)
    for i, coefficients in enumerate(pieces):
        chance = np.where(z[i + 1] < 0, below[i + 1] - below[i], above[i] - above[i + 1])  # of the smaller tails
        moments = [chance, density[i] - density[i + 1]]
        for n in range(2, len(coefficients)):
            ends = inside[i] ** (n - 1) * density[i] - inside[i + 1] ** (n - 1) * density[i + 1]
            moments.append((n - 1) * moments[n - 2] + ends)
        for power, coefficient in enumerate(coefficients):  # (m + s z)^power
            terms = (comb(power, j) * mean ** (power - j) * deviation**j * moments[j] for j in range(power + 1))
            total = total + coefficient * sum(terms)
    return total
