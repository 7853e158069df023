"""Integrals of functions that bend on a length far below the standard deviation: by quadrature, in loops.

The rule is that of `ntc.ir.quadrature`, entry by entry: u is the variable of larger variance, and nodes of both are
evenly spaced in t = asinh(x / b). The loops take as many steps as the entries need that have a use for them: none,
where the series of all others is enough. Derivatives are integrals of derivatives (Price 1958),

    d E[f(u) g(v)] = E[f' g'] dk + E[f'' g] dv1 / 2 + E[f g''] dv2 / 2,

so none is infinite, at correlations of one as well.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import pi, sqrt
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.backends.jax.functions import row_of
from ntc.backends.jax.integrals.family import root, where
from ntc.backends.jax.integrals.gap import gap
from ntc.ir.ops import Analytic

END = {"float32": 6.5, "float64": 9.0}
"""Standard deviations at which integrals end."""

STEP = {"float32": 0.14, "float64": 0.09}
FEWEST = {"float32": 24, "float64": 40}

EDGE = {"float32": 1e-7, "float64": 1e-14}
"""Largest part of the whole that the integrand may be at the ends."""

_Loop = tuple[jax.Array, jax.Array]


def derivative(phi: Analytic, order: int) -> Callable[[jax.Array], jax.Array]:
    """phi, or one of its derivatives."""
    if order == 0:
        return lambda x: row_of(phi)(phi, {}, x)
    below = derivative(phi, order - 1)
    return lambda x: jax.jvp(below, (x,), (jnp.ones_like(x),))[1]


class _Outer(NamedTuple):
    """Of the variable of larger variance: its nodes are even in t from -end to end."""

    variance: jax.Array
    end: jax.Array
    slope: jax.Array  # of the mean of the other variable
    deviation: jax.Array  # of the other variable
    turned: jax.Array  # whether it is v


def square(
    function: Callable[[jax.Array], jax.Array], v: jax.Array, shift: float, bend: float
) -> tuple[jax.Array, jax.Array]:
    """E[f(u)^2] at variances v, and the part of it at the ends, by nodes that are shifted by a part of a step."""
    end = _range(v, bend)
    count, last = _count(end, jnp.asarray(True)), jnp.asarray(0, v.dtype)

    def parts(i: jax.Array) -> jax.Array:
        x, weight = _node(v, end, i.astype(v.dtype) + shift, count, bend)
        return function(x) ** 2 * weight

    whole = lax.fori_loop(0, count, lambda i, total: total + parts(i), jnp.zeros_like(v) + last)
    return whole, jnp.maximum(parts(jnp.zeros_like(count)), parts(count - 1))


def _range(v: jax.Array, bend: float) -> jax.Array:
    """Where t ends."""
    return jnp.arcsinh(END[str(v.dtype)] / bend * root(v))


def _count(end: jax.Array, far: jax.Array) -> jax.Array:
    """Of nodes, for the longest range where it is of use."""
    name = str(end.dtype)
    longest = jnp.max(where(far, end, 0.0) if far.shape else end, initial=0)
    wanted = jnp.ceil(2 * jnp.minimum(longest, 100) / STEP[name]).astype(jnp.int32)
    return jnp.where(jnp.any(far), jnp.maximum(wanted, FEWEST[name]), 0)


def _node(v: jax.Array, end: jax.Array, i: jax.Array, count: jax.Array, bend: float) -> _Loop:
    """Node i of a variable of variance v, and its weight. A variance of zero has all of them at zero."""
    last = (count - 1).astype(v.dtype)
    t = end * (2 * i / last - 1)
    x = bend * jnp.sinh(t)
    safe = where(v > 0, v, 1.0)
    weight = bend * jnp.cosh(t) * 2 * end / last * jnp.exp(-(x * (x / safe)) / 2) / (sqrt(2 * pi) * jnp.sqrt(safe))
    return x, weight


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def integral(
    phi: Analytic, orders: tuple[int, int], far: jax.Array, k: jax.Array, v1: jax.Array, v2: jax.Array
) -> jax.Array:
    """E[f(u) g(v)] where `far`, else anything; f and g are derivatives of phi of these orders. Arrays are of one shape,
    and the larger of both variances is above zero where `far`."""
    turned = v1 < v2
    larger, smaller = where(turned, v2, v1), where(turned, v1, v2)
    safe = where(larger > 0, larger, 1.0)
    smooth = float(np.sqrt(np.finfo(k.dtype).eps))  # where v is known given u: of a length that changes nothing
    deviation = jnp.maximum(jnp.sqrt(gap(k, larger, smaller) / safe), smooth)
    outer = _Outer(larger, _range(larger, phi.bend), where(smaller > 0, k / safe, 0.0), deviation, turned)
    count = _count(outer.end, far)
    f, g = (derivative(phi, order) for order in orders)

    def step(i: jax.Array, total: jax.Array) -> jax.Array:
        u, weight = _node(outer.variance, outer.end, i.astype(k.dtype), count, phi.bend)
        given = _given(f, g, outer, outer.slope * u, far, phi.bend)
        value = f(u) if orders[0] == orders[1] else where(turned, g(u), f(u))
        return total + weight * value * given

    total: jax.Array = lax.fori_loop(0, count, step, jnp.zeros_like(k))
    return total


def _given(f: Any, g: Any, outer: _Outer, mean: jax.Array, far: jax.Array, bend: float) -> jax.Array:
    """E[g(v) | u], or where turned E[f(u) | v]."""
    deviation, name = outer.deviation, str(mean.dtype)
    reach = END[name] * deviation
    start, above, below = (_grown(x, bend) for x in (mean, mean + reach, mean - reach))
    roots = [(x + bend**2 / x) / 2 for x in (start, above, below)]
    high = jnp.log1p(reach * (1 + above / start) / (roots[0] + roots[1]))  # asinh((m + r) / b) - asinh(m / b)
    low = -jnp.log1p(reach * (1 + start / below) / (roots[0] + roots[2]))
    count = _count((high - low) / 2, far)
    start /= bend
    step = (high - low) / (count - 1).astype(mean.dtype)

    def add(i: jax.Array, total: jax.Array) -> jax.Array:
        grown = jnp.expm1((low + step * i.astype(mean.dtype)) / 2)
        factor = 1 + grown
        middle = start * factor
        change = bend / 2 * (middle + 1 / middle) * (grown + grown / factor)
        end = middle * factor
        density = (end + 1 / end) * jnp.exp(-((change / deviation) ** 2) / 2)
        x = mean + change
        return total + density * (g(x) if f is g else where(outer.turned, f(x), g(x)))

    total: jax.Array = lax.fori_loop(0, count, add, jnp.zeros_like(mean))
    return total * step * (bend / 2 / sqrt(2 * pi)) / deviation


def _grown(x: jax.Array, bend: float) -> jax.Array:
    """x + sqrt(x^2 + b^2) = b exp(asinh(x / b)) for the length b on which functions bend."""
    root = jnp.sqrt(x**2 + bend**2)
    return where(x > 0, x + root, bend**2 / (root - x))


@integral.defjvp
def _integral_jvp(phi: Analytic, orders: tuple[int, int], primals: Any, tangents: Any) -> _Loop:
    far, k, v1, v2 = primals
    _, dk, dv1, dv2 = tangents
    a, b = orders
    of_k = integral(phi, (a + 1, b + 1), far, k, v1, v2)
    of_v1, of_v2 = integral(phi, (a + 2, b), far, k, v1, v2), integral(phi, (a, b + 2), far, k, v1, v2)
    return integral(phi, orders, far, k, v1, v2), of_k * dk + (of_v1 * dv1 + of_v2 * dv2) / 2
