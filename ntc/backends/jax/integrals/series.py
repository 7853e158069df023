"""Integrals of functions without a closed form: series in the correlation.

Its coefficients are those of one example, so they are what is taken of its marginal: an array (3 + terms, ...), of
which the first is the variance, the second its root, and the third tells whether the series is enough: 0 if it is, 1 if
its terms fall too slowly, NaN if nothing is known. The sum over terms runs in a loop: no array has the size of terms
times entries. Where the series of one of two examples is not enough, their entry is found in another way, or is NaN for
the family `ALONE`, which takes less time to compile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import pi, sqrt
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.backends.jax.integrals import far, logistic
from ntc.backends.jax.integrals.family import Family, Same, clamped, root, where
from ntc.ir.hermite import EDGE, SHIFT
from ntc.ir.ops import Analytic

TERMS = {"float32": 256, "float64": 512}
"""Of the series after those of degree 0 and 1; twice the degree where every other one is zero."""

LEFT_OUT = {"float32": 1e-4, "float64": 1e-7}
"""Largest part of the whole that the terms left out may be."""

LAST = {"float32": 1e-10, "float64": 1e-13}
"""Largest part of the whole that the last eighth of the terms may be, which tells sooner what is left out: rounding
does not hide it."""

_END = 13.0
_NODES = 521


@dataclass(frozen=True)
class Expansion:
    """From variances (...) to them, their roots, whether the series is enough, and its coefficients (3 + terms, ...):
    of phi or of its derivative."""

    phi: Analytic
    slope: bool

    @property
    def step(self) -> int:
        """Between the degrees from the third term on."""
        return 1 if self.phi.parity is None else 2

    @property
    def first(self) -> int:
        """Degree of the third term, after those of degree 0 and 1."""
        if self.phi.parity is None:
            return 2
        return 3 if self.phi.parity != self.slope else 2

    def __call__(self, v: jax.Array) -> jax.Array:
        own, name = root(v), str(v.dtype)
        found, whole, ends = self._projected(own, 0.0)
        last = jnp.sum(found[-(TERMS[name] // 8) :] ** 2, 0)
        enough = (whole - jnp.sum(found**2, 0) <= LEFT_OUT[name] * whole) & (last <= LAST[name] * whole)
        known = jnp.isfinite(own)
        if self.phi.checked:
            apart = jnp.sum((self._projected(own, SHIFT)[0] - found) ** 2, 0)
            enough &= (apart <= LEFT_OUT[name] * whole) & (ends <= EDGE * whole)
            known &= self._resolved(v)
        state = where(enough, 0.0, where(known, jnp.ones_like(own), jnp.nan))
        return jnp.concatenate([v[None], own[None], state[None], jnp.where(enough, found, 0)])

    def _resolved(self, v: jax.Array) -> jax.Array:
        """Whether the nodes of the quadrature resolve a function of which nothing is known."""
        function, v = far.derivative(self.phi, int(self.slope)), lax.stop_gradient(v)
        (whole, ends), (shifted, _) = (far.square(function, v, shift, self.phi.bend) for shift in (0.0, SHIFT))
        apart = jnp.abs(shifted - whole)
        return (apart <= LEFT_OUT[str(v.dtype)] * whole) & (ends <= far.EDGE[str(v.dtype)] * whole)

    def _projected(self, own: jax.Array, shift: float) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Coefficients, E[phi^2], and the part of it at the ends, by nodes that are shifted by a part of a step."""
        z = np.linspace(-_END, _END, _NODES) + shift * 2 * _END / (_NODES - 1)
        values = far.derivative(self.phi, int(self.slope))(own[..., None] * jnp.asarray(z, own.dtype))
        half = np.exp(-(z**2) / 4)
        weight = half * (2 * _END / (_NODES - 1)) / sqrt(2 * pi)
        degrees = np.array([0, 1, *(self.first + self.step * np.arange(TERMS[str(own.dtype)]))])
        basis = _basis(z, degrees[-1] + 1, own.dtype)[degrees]
        weighted = values * jnp.asarray(weight, own.dtype)
        found = jnp.einsum("...z,lz->l...", weighted, basis, precision=lax.Precision.HIGHEST)
        squares = values * weighted * jnp.asarray(half, own.dtype)
        return found, jnp.sum(squares, -1), jnp.maximum(squares[..., 0], squares[..., -1])


def _basis(z: np.ndarray[Any, Any], terms: int, dtype: Any) -> jax.Array:
    """Hermite polynomials of norm one times exp(-z^2 / 4), which keeps them bounded: (terms, nodes)."""
    nodes = jnp.asarray(z, dtype)
    start = jnp.asarray(np.exp(-(z**2) / 4), dtype)

    def step(last: tuple[jax.Array, jax.Array], n: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        below, here = last
        above = (nodes * here - jnp.sqrt(n) * below) / jnp.sqrt(n + 1)
        return (here, above), here

    _, rows = lax.scan(step, (jnp.zeros_like(start), start), jnp.arange(terms, dtype=dtype))
    return rows


def _sum(expansion: Expansion, k: jax.Array, m1: jax.Array, m2: jax.Array, same: Same, beyond: bool) -> jax.Array:
    (v1, root1, state1, zero1, one1), (v2, root2, state2, zero2, one2) = m1[:5], m2[:5]
    norm = root1 * root2
    positive = norm > 0
    cosine = jnp.where(positive, clamped(k / jnp.where(positive, norm, 1), -1, 1), 1)
    if same is not None:
        cosine = jnp.where(same, 1, cosine)
    factor = cosine**expansion.step

    def step(total: jax.Array, pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, tuple[()]]:
        return total * factor + pair[0] * pair[1], ()

    rest, _ = lax.scan(step, jnp.zeros_like(cosine), (m1[5:], m2[5:]), reverse=True, unroll=8)
    total: jax.Array = zero1 * zero2 + one1 * one2 * cosine + rest * cosine**expansion.first
    state = jnp.broadcast_to(state1 + state2, total.shape)
    return where(state == 0, total, _beyond(expansion, state, k, (v1, v2), same) if beyond else jnp.nan)


def _beyond(
    expansion: Expansion, state: jax.Array, k: jax.Array, variances: tuple[jax.Array, jax.Array], same: Same
) -> jax.Array:
    """The integral where the series is not enough."""
    k, v1, v2 = jnp.broadcast_arrays(k, *variances)
    if same is not None:
        k = jnp.where(same, v1, k)
    if type(expansion.phi) in logistic.SMOOTHED:
        found = logistic.integral(expansion.phi, expansion.slope, state > 0, k, v1, v2)
    else:
        order = int(expansion.slope)
        found = far.integral(expansion.phi, (order, order), state > 0, k, v1, v2)
    return where(jnp.isnan(state), jnp.nan, found)


def _dual(phi: Analytic, k: jax.Array, m1: jax.Array, m2: jax.Array, same: Same, beyond: bool = True) -> jax.Array:
    return _sum(Expansion(phi, False), k, m1, m2, same, beyond)


def _dual_dot(phi: Analytic, k: jax.Array, m1: jax.Array, m2: jax.Array, same: Same, beyond: bool = True) -> jax.Array:
    return _sum(Expansion(phi, True), k, m1, m2, same, beyond)


@dataclass(frozen=True)
class Series(Family):
    """The family whose marginals depend on the function."""

    def marginal_of(self, phi: Any, slope: bool) -> Callable[[jax.Array], jax.Array]:
        return Expansion(phi, slope)


FAMILY = Series(root, _dual, _dual_dot)
ALONE = Series(root, partial(_dual, beyond=False), partial(_dual_dot, beyond=False))
