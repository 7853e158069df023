"""Integrals of functions of analytic pieces: those of their kinks in closed form, and a series of the rest.

See `ntc.ir.ops.Kinked`. The coefficients are those of one example, so they are what is taken of its marginal: an array
(2 + 2 terms, ...) of the root of the variance, of zero or NaN as the series is enough or is not, and of the
coefficients of the rest and of all kinks. They are found by Gauss-Legendre rules between the kinks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import inf, pi, sqrt
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.backends.jax.expressions import on_arrays
from ntc.backends.jax.integrals.family import Family, Same, clamped, root, where
from ntc.backends.jax.integrals.gap import gap
from ntc.backends.jax.integrals.quadrant import Terms, of_terms
from ntc.ir.kinks import LIMITS, Kinks, kinks, slope
from ntc.ir.ops import Kinked
from ntc.ir.piecewise import Piecewise
from ntc.ir.quadrature import panels

TERMS = {"float32": 1024, "float64": 2048}
"""Of the series. If all pieces are polynomials, they are as many as the degree, and one."""

LEFT_OUT = {"float32": 1e-4, "float64": 1e-6}
"""Largest part of the whole that terms left out may be, and that two rules may differ by."""

EDGE = {"float32": 1e-7, "float64": 1e-14}
"""Largest part of the whole that the integrand may be where it is cut off."""

FLAT = 4
"""Times as many terms where a function is smooth at a place and not analytic, such as exp(-1 / x) for x > 0, and times
as much may be left out."""

PANEL = 24
"""Nodes of a panel."""

BENT = 0.0, 0.15
"""Of two rules, whose results must be the same."""

Rule = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]

_FEW = 4
_END = 13.0


@dataclass(frozen=True)
class Expansion:
    """From variances (...) to what is known of one example, of phi or of its derivative."""

    phi: Kinked
    slope: bool

    @cached_property
    def form(self) -> Piecewise:
        """The pieces."""
        return slope(self.phi.form) if self.slope else self.phi.form

    def kinks(self, dtype: Any) -> Kinks:
        """What is taken out of them."""
        return kinks(self.form, LIMITS[str(dtype)])

    def terms(self, dtype: Any) -> int:
        """Of the series."""
        found = self.kinks(dtype)
        return TERMS[str(dtype)] * (FLAT if found.flat else 1) if found.degree is None else found.degree + 1

    def arrays(self, dtype: Any) -> Terms:
        """The kinks as arrays."""
        found = self.kinks(dtype).terms
        columns = (
            [x.sign for x in found],
            [x.distance for x in found],
            [x.coefficients for x in found],
            [x.width**-2 if x.width < inf else 0.0 for x in found],
        )
        return Terms(*(jnp.asarray(np.array(x, np.float64), dtype) for x in columns))

    def __call__(self, v: jax.Array) -> jax.Array:
        own, name = root(v), str(v.dtype)
        if self.kinks(v.dtype).degree is not None:
            found, _, _ = self._projected(own, _FEW, BENT[:1])
            return jnp.concatenate([own[None], jnp.zeros_like(own)[None], *found[0]])
        terms = self.terms(v.dtype)
        panels = int(2 * _END * sqrt(terms) / 40) + 2  # of 20 rad of the last function, times its envelope
        (found, other), (rest, whole), ends = self._projected(own, panels, BENT)
        last = jnp.sum(jnp.abs(found[0] * found[1])[-(terms // 8) :], 0)  # beyond, terms fall as power 3.5 or faster
        left = rest - jnp.sum(found[0] ** 2, 0) + 8 * last
        left_out = LEFT_OUT[name] * (FLAT if self.kinks(v.dtype).flat else 1)
        enough = (left <= left_out * whole) & (ends <= EDGE[name] * whole)
        enough &= jnp.sum((other - found) ** 2, (0, 1)) <= LEFT_OUT[name] ** 2 * whole
        state = where(enough | (v == 0), jnp.zeros_like(own), jnp.nan)
        return jnp.concatenate([own[None], state[None], *found])

    def _projected(
        self, own: jax.Array, panels: int, bent: tuple[float, ...]
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Coefficients (rules, 2, terms, ...) of the rest and of all kinks by several rules; by the first, the
        integrals of the squares of the rest and of the whole, and the part of that at the ends."""
        pairs = [_nodes(own, self.form.places, _rule(panels, x)) for x in bent]
        z, weight = (jnp.stack(x) for x in zip(*pairs, strict=True))
        rest, taken = self._values(own, z, panels * PANEL)
        half = jnp.exp(-(z**2) / 4)
        weight = weight * half / sqrt(2 * pi)
        values = jnp.stack([rest, taken])
        weighted = values * weight
        squares = jnp.sum(jnp.stack([rest, rest + taken])[:, 0] ** 2 * (weight * half)[0], -1)
        edges = ((rest + taken)[0] * half[0]) ** 2
        ends = jnp.maximum(edges[..., 0], edges[..., -1])

        def step(last: tuple[jax.Array, jax.Array], n: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            below, here = last
            above = (z * here - jnp.sqrt(n) * below) / jnp.sqrt(n + 1)
            return (here, above), jnp.sum(weighted * here, -1)

        _, found = lax.scan(step, (jnp.zeros_like(half), half), jnp.arange(self.terms(own.dtype), dtype=own.dtype))
        return jnp.moveaxis(found, (2, 1), (0, 1)), squares, ends

    def _values(self, own: jax.Array, z: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
        """The rest and all kinks at nodes z, `count` in each piece."""
        places, found = self.form.places, self.kinks(z.dtype)
        wholes, kinked = [], []
        for i, branch in enumerate(self.form.branches):
            x = own[..., None] * z[..., i * count : (i + 1) * count]
            low, high = (
                _inside(end, turn, x.dtype) for end, turn in (((-inf, *places)[i], 1), ((*places, inf)[i], -1))
            )
            x = jnp.clip(x, low, high)
            here = jnp.zeros_like(x)
            for j, term in enumerate(found.terms):
                if (term.sign > 0 and i > j) or (term.sign < 0 and i <= j):
                    here += _kink(term, x)
            kinked.append(here)
            wholes.append(on_arrays(branch if found.rest is None else found.rest, x))
        whole, taken = jnp.concatenate(wholes, -1), jnp.concatenate(kinked, -1)
        rest = whole if found.rest is not None else whole - taken
        still = jnp.broadcast_to((own == 0)[..., None], rest.shape)  # where phi is at zero, which may be a kink
        at_zero = self.phi.slope_at_zero if self.slope else self.phi.at_zero
        return where(still, at_zero, rest), where(still, 0.0, taken)


def _inside(end: float, turn: int, dtype: Any) -> float | None:
    """Just within a piece: at the place itself a derivative may be zero times infinity."""
    return None if abs(end) == inf else end + turn * 16 * float(np.finfo(dtype).eps) * max(1.0, abs(end))


def _kink(term: Any, x: jax.Array) -> jax.Array:
    y = term.sign * x - term.distance
    value = jnp.zeros_like(y)
    for coefficient in reversed(term.coefficients):
        value = value * y + coefficient
    return value if term.width == inf else value * jnp.exp(-((y / term.width) ** 2) / 2)


def _nodes(own: jax.Array, places: tuple[float, ...], rule: Rule) -> tuple[jax.Array, jax.Array]:
    """Nodes (..., pieces * nodes) between the places in standard deviations, and weights."""
    nodes, weights = (jnp.asarray(x, own.dtype) for x in rule)
    safe = where(own > 0, own, 1.0)
    inner = [where(own * _END > abs(t), t / safe, float(np.sign(t)) * _END) for t in places]
    ends = jnp.stack([jnp.full_like(own, -_END), *inner, jnp.full_like(own, _END)])
    middle, half = (ends[1:] + ends[:-1]) / 2, (ends[1:] - ends[:-1]) / 2
    z, weight = middle[..., None] + half[..., None] * nodes, half[..., None] * weights
    return jnp.concatenate(list(z), -1), jnp.concatenate(list(weight), -1)


@lru_cache
def _rule(count: int, bent: float) -> Rule:
    """Nodes and weights on (-1, 1), of panels of one length but for a sine of this size."""
    t = np.linspace(-1, 1, count + 1)
    return panels(t + bent * np.sin(np.pi * t) / np.pi, PANEL)


def _integral(expansion: Expansion, k: jax.Array, m1: jax.Array, m2: jax.Array, same: Same) -> jax.Array:
    count = expansion.terms(k.dtype)
    (root1, state1), (root2, state2) = m1[:2], m2[:2]
    norm = root1 * root2
    positive = norm > 0
    safe = where(positive, norm, 1.0)
    cosine = where(positive, clamped(k / safe, -1, 1), 1.0)
    if same is not None:
        cosine = jnp.where(same, 1, cosine)

    def step(total: jax.Array, rows: tuple[jax.Array, ...]) -> tuple[jax.Array, tuple[()]]:
        rest1, taken1, rest2, taken2 = rows
        return total * cosine + (rest1 * (rest2 + taken2) + taken1 * rest2), ()

    rows = tuple(x[2 + i * count : 2 + (i + 1) * count] for x in (m1, m2) for i in (0, 1))
    total, _ = lax.scan(step, jnp.zeros_like(cosine), rows, reverse=True, unroll=min(8, count))
    total += where(positive, _of_kinks(expansion, k, (root1, root2), same), 0.0)
    return where(state1 + state2 + 0 * total == 0, total, jnp.nan)


def _of_kinks(expansion: Expansion, k: jax.Array, roots: tuple[jax.Array, jax.Array], same: Same) -> jax.Array:
    """E[p(u) p(v)], p the sum of all kinks."""
    k, root1, root2 = jnp.broadcast_arrays(k, *roots)
    v1, v2 = (where(x > 0, x, 1.0) ** 2 for x in (root1, root2))
    k = where((root1 > 0) & (root2 > 0), k, 0.0)
    k = k if same is None else jnp.where(same, v1, k)
    determinant = gap(k, v1, v2)
    determinant = determinant if same is None else jnp.where(same, 0, determinant)
    arrays = expansion.arrays(k.dtype)
    count = len(arrays.sign)

    def pair(one: Terms, other: Terms) -> jax.Array:
        return of_terms(one, other, k, v1, v2, determinant)

    if count == 1:
        only = Terms(*(x[0] for x in arrays))
        return pair(only, only)

    @jax.checkpoint
    def step(total: jax.Array, i: jax.Array) -> tuple[jax.Array, tuple[()]]:
        one, other = (Terms(*(x[index] for x in arrays)) for index in (i // count, i % count))
        return total + pair(one, other), ()

    return lax.scan(step, jnp.zeros_like(k), jnp.arange(count**2))[0]


def _dual(phi: Kinked, k: jax.Array, m1: jax.Array, m2: jax.Array, same: Same) -> jax.Array:
    return _integral(Expansion(phi, False), k, m1, m2, same)


def _dual_dot(phi: Kinked, k: jax.Array, m1: jax.Array, m2: jax.Array, same: Same) -> jax.Array:
    return _integral(Expansion(phi, True), k, m1, m2, same)


@dataclass(frozen=True)
class KinkedFamily(Family):
    """The family whose marginals depend on the function."""

    def marginal_of(self, phi: Any, slope: bool) -> Callable[[jax.Array], jax.Array]:
        return Expansion(phi, slope)


FAMILY = KinkedFamily(root, _dual, _dual_dot)
