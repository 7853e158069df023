"""Gaussian integrals by quadrature, in float64: the reference for functions whose series does not converge.

Written for functions that bend on a length of about one around zero, and are nearly straight far from it, of variables
of any variance. With u the variable of larger variance and v given u of mean m and standard deviation s,

    E[f(u) g(v)] = integral of f(u) p(u) (integral of g(v) p(v | u) dv) du,

by the trapezoidal rule in t, u = b sinh(t) and v = b sinh(t): nodes are evenly spaced where functions bend, and in
proportion to the distance from there. Where s is small, the nodes of v are all close to m. The rule converges faster
than any power of the step. Source: Trefethen & Weideman 2014 (SIAM Review 56), sections 5 and 14.
"""

from __future__ import annotations

from collections.abc import Callable
from math import asinh, ceil, pi, sqrt

import numpy as np

from ntc.ir.op import Array

BEND = 2.0
"""b: within about this distance of zero, nodes are evenly spaced. Functions may say another."""

END = 9.0
"""Standard deviations at which integrals end: at 9, what is left out is below 1e-16 of the whole."""

EDGE = 1e-14
"""Largest part of the whole that the integrand may be at the ends."""

STEP = 0.07
FEWEST = 48
"""Nodes where all of them are so close that the step is small: 2 * 9 / 47 standard deviations apart."""

Function = Callable[[Array], Array]


def gap(k: Array, v1: Array, v2: Array) -> Array:
    """v1 v2 - k^2, not below zero, as differences that are exact where the correlation is near one."""
    size = np.abs(k)
    value: Array = np.maximum(((v1 - size) * (v2 + size) + (v2 - size) * (v1 + size)) / 2, 0.0)
    return value


def integral(function: Function, k: Array, v1: Array, v2: Array, bend: float = BEND) -> Array:
    """E[f(u) f(v)] of variables with these variances and covariance, which broadcast; not finite where f overflows."""
    arrays = np.broadcast_arrays(k, v1, v2)
    found = [_pair(function, *map(float, entry), bend=bend) for entry in zip(*(x.ravel() for x in arrays), strict=True)]
    return np.array(found).reshape(arrays[0].shape)


def square(function: Function, v: float, shift: float = 0.0, bend: float = BEND) -> tuple[float, float]:
    """E[f(u)^2], and the part of it at the ends, by nodes that are shifted by a part of a step."""
    u, weight = _nodes(v, shift, bend)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is no integral
        parts = function(u) ** 2 * weight
    return float(parts.sum()), float(max(parts[0], parts[-1]))


def _nodes(v: float, shift: float, bend: float) -> tuple[Array, Array]:
    """Of a variable of variance v > 0, and weights."""
    end = asinh(END * sqrt(v) / bend)
    count = max(FEWEST, ceil(2 * end / STEP))
    step = 2 * end / (count - 1)
    t = np.linspace(-end, end, count) + shift * step
    u = bend * np.sinh(t)
    return u, step * bend * np.cosh(t) * np.exp(-(u**2) / (2 * v)) / sqrt(2 * pi * v)


def _pair(function: Function, k: float, v1: float, v2: float, *, bend: float) -> float:
    larger, smaller = max(v1, v2), min(v1, v2)
    if larger == 0:
        return float(function(np.zeros(1))[0] ** 2)
    u, weight = _nodes(larger, 0.0, bend)
    deviation = sqrt(float(gap(*map(np.asarray, (k, v1, v2)))) / larger) if smaller > 0 else 0.0
    mean = k / larger * u if smaller > 0 else 0 * u
    given = _given(function, mean, deviation, bend) if deviation > 0 else function(mean)
    return float((function(u) * given * weight).sum())


def _given(function: Function, mean: Array, deviation: float, bend: float) -> Array:
    """E[f(v)] of variables of these means and of this standard deviation."""
    far = END * deviation
    low, high = -distance(-mean, far, bend), distance(mean, far, bend)
    count = max(FEWEST, ceil(float(np.max(high - low)) / STEP))
    t = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, count)
    start = np.arcsinh(mean / bend)[:, None]
    change = 2 * bend * np.cosh(start + t / 2) * np.sinh(t / 2)
    density = bend * np.cosh(start + t) * np.exp(-((change / deviation) ** 2) / 2) / (deviation * sqrt(2 * pi))
    value: Array = (function(mean[:, None] + change) * density).sum(1) * (high - low) / (count - 1)
    return value


def panels(ends: Array, count: int) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights, `count` between consecutive ends, which are the last axis."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    middle, half = (ends[..., 1:] + ends[..., :-1])[..., None] / 2, (ends[..., 1:] - ends[..., :-1])[..., None] / 2
    shape = *ends.shape[:-1], -1
    return (middle + half * nodes).reshape(shape), (half * weights).reshape(shape)


def distance(start: Array, far: float, bend: float = BEND) -> Array:
    """asinh((x + d) / b) - asinh(x / b) of a start x and d = far > 0, to all digits."""
    end = start + far
    crosses = (start < 0) & (end > 0)
    near = np.where(start >= 0, start, -end)  # the nearer end, where both have one sign
    root, root_far = np.hypot(bend, near), np.hypot(bend, near + far)
    one_side = np.log1p(far * (1 + (2 * near + far) / (root + root_far)) / (np.maximum(near, 0) + root))
    value: Array = np.where(crosses, np.arcsinh(end / bend) - np.arcsinh(start / bend), one_side)
    return value
