"""Integrals of functions that are a step, a sign or a ramp smoothed by logistic noise, at any variance.

A logistic variable is a Gaussian one whose standard deviation is twice a random variable r with the distribution of
Kolmogorov (Andrews & Mallows 1974; Stefanski 1991), so that with Phi the normal distribution function

    sigmoid(x) = E[Phi(x / (2 r))],   softplus' = sigmoid,   swish(x) = x sigmoid(x),   tanh(x) = 2 sigmoid(2 x) - 1.

The integrals are means over two such r, with p = (2 r1)^2 and q = (2 r2)^2, of those of smoothed steps and ramps, which
are closed: with d = v1 v2 - k^2, e = d + p v2 + q v1 + p q, and the chance h = 1 / 4 + atan(k / sqrt(e)) / (2 pi),

    E[step step] = h,   E[ramp ramp] = k h + sqrt(e) / (2 pi),   and their derivatives by k (Price 1958),
    E[x Phi x Phi] = k h + (d + k^2 t) / (2 pi sqrt(e)),   t = p / (v1 + p) + q / (v2 + q).

The mean over r is a Gauss rule in log(r), all of whose weights are positive: nothing cancels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from math import pi
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.backends.jax.integrals.family import where
from ntc.backends.jax.integrals.gap import gap
from ntc.ir import ops

NODES = {"float32": 9, "float64": 20}
"""Of the rule. The functions of the module's text are within 5e-8 and 3e-13 of its sums."""

_POINTS = 4001
_SMALLEST, _LARGEST = 0.1, 6.5
"""Between which r is, but for chances below 1e-35."""


class _Pair(NamedTuple):
    """What integrals of two smoothed variables read: k, the variances, d, p, q, e and its root."""

    k: jax.Array
    v1: jax.Array
    v2: jax.Array
    d: jax.Array
    p: jax.Array
    q: jax.Array
    e: jax.Array
    root: jax.Array

    @property
    def chance(self) -> jax.Array:
        """h: that both variables are above zero."""
        return 0.25 + jnp.arctan2(self.k, self.root) / (2 * pi)


def _sign(x: _Pair) -> jax.Array:
    return 2 / pi * jnp.arctan2(x.k, x.root)


def _sign_dot(x: _Pair) -> jax.Array:
    return 2 / pi / x.root


def _chance(x: _Pair) -> jax.Array:
    return x.chance


def _chance_dot(x: _Pair) -> jax.Array:
    return 1 / (2 * pi * x.root)


def _ramp(x: _Pair) -> jax.Array:
    return x.k * x.chance + x.root / (2 * pi)


def _gated(x: _Pair) -> jax.Array:
    t = x.p / (x.v1 + x.p) + x.q / (x.v2 + x.q)
    return x.k * x.chance + (x.d / x.root + x.k * (x.k / x.root) * t) / (2 * pi)


def _gated_dot(x: _Pair) -> jax.Array:
    own, other = x.p / (x.v1 + x.p), x.q / (x.v2 + x.q)
    less = (x.d * (own + other) + x.p * own * x.v2 + x.q * other * x.v1 + x.p * x.q) / x.e
    return x.chance + x.k / x.root * (2 * (own + other) - less) / (2 * pi)


_Integral = Callable[[_Pair], jax.Array]

SMOOTHED: Mapping[type[Any], tuple[float, _Integral, _Integral]] = {
    ops.Tanh: (0.5, _sign, _sign_dot),
    ops.Sigmoid: (1.0, _chance, _chance_dot),
    ops.Softplus: (1.0, _ramp, _chance),
    ops.Swish: (1.0, _gated, _gated_dot),
}
"""By function: the scale of the noise, and both integrals."""


def integral(phi: Any, slope: bool, far: jax.Array, k: jax.Array, v1: jax.Array, v2: jax.Array) -> jax.Array:
    """E[phi phi], or with `slope` E[phi' phi'], where `far`; else zero. Arrays are of one shape."""
    scale, *both = SMOOTHED[type(phi)]
    variances, weights = (jnp.asarray(x, k.dtype) for x in noise(NODES[str(k.dtype)]))
    variances *= scale**2
    count = len(variances)

    def pairs() -> jax.Array:
        d = gap(k, v1, v2)

        @jax.checkpoint
        def step(total: jax.Array, i: jax.Array) -> tuple[jax.Array, tuple[()]]:
            p, q = variances[i // count], variances[i % count]
            e = d + p * v2 + q * v1 + p * q
            weight = weights[i // count] * weights[i % count]
            return total + weight * both[slope](_Pair(k, v1, v2, d, p, q, e, jnp.sqrt(e))), ()

        return lax.scan(step, jnp.zeros_like(k), jnp.arange(count**2))[0]

    return where(far, lax.cond(jnp.any(far), pairs, lambda: jnp.zeros_like(k)), 0.0)


@cache
def noise(count: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Nodes (2 r)^2 and weights of the Gauss rule in log(r), by the Lanczos process (Golub & Welsch 1969)."""
    place = np.linspace(np.log(_SMALLEST), np.log(_LARGEST), _POINTS, dtype=np.longdouble)
    chance = _density(np.exp(place)) * np.exp(place)
    vectors = [np.sqrt(chance / chance.sum())]
    diagonal, beside = [], []
    for _ in range(count):
        image = place * vectors[-1]
        diagonal.append(image @ vectors[-1])
        for vector in [*vectors, *vectors]:
            image = image - (image @ vector) * vector
        beside.append(np.sqrt(image @ image))
        vectors.append(image / beside[-1])
    above = np.diag(np.array(beside[:-1], np.float64), 1)
    nodes, found = np.linalg.eigh(np.diag(np.array(diagonal, np.float64)) + above + above.T)
    return 4 * np.exp(2 * nodes), found[0] ** 2


def _density(r: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Of Kolmogorov's distribution, by the one of its series that converges faster."""
    n = np.arange(1, 60)[:, None]
    large = 8 * np.sum((-1.0) ** (n - 1) * n**2 * r * np.exp(-2 * n**2 * r**2), 0)
    odd = (2 * n - 1) ** 2 * pi**2 / 8
    small = np.sqrt(2 * pi) * np.sum((2 * odd / r**4 - 1 / r**2) * np.exp(-odd / r**2), 0)
    density: np.ndarray[Any, Any] = np.where(r < 1, small, large)
    return density
