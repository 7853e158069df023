"""The Gaussian integrals of the nonlinearities, in the reference and in JAX, against quadrature.

With u = sqrt(v1) r cos t and v = sqrt(v2) r cos(t - alpha), cos alpha the correlation, E[f(u) g(v)] is an
integral over angle t and radius r of a function that is smooth but for the angles at which u or v changes
sign. Panels of Gauss-Legendre nodes that shrink geometrically towards those angles, and towards r = 0,
resolve every function here, also those that are steep at zero.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache, partial
from itertools import pairwise
from math import pi
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntc.backends.jax.integrals import family
from ntc.ir import ops
from ntc.ir.op import Array
from ntc.ir.ops import Elementwise, PiecewiseLinear
from tests.assertions import assert_close
from tests.formulas import phi, slope
from tests.strategies import trials

ACTIVATIONS: list[Elementwise] = [
    ops.Relu(),
    ops.LeakyRelu(0.1),
    ops.LeakyRelu(-1.5),
    ops.AbRelu(-0.5, 2.0),
    ops.AbRelu(1.5, 1.5),
    ops.Abs(),
    ops.Erf(),
    ops.Erf(1.5, 0.4, -0.7),
    ops.Erf(-0.5, 3.0, 0.2),
    ops.RectifiedMonomial(1),
    ops.RectifiedMonomial(2),
    ops.RectifiedMonomial(5),
]
"""What the quadrature below resolves at any variance: functions of a kink at zero. The others are in
`test_activations`."""
CORRELATIONS = [-1.0, -1 + 1e-9, -0.999, -0.6, -1e-7, 0.0, 0.3, 0.9, 0.9999, 1 - 1e-9, 1.0]
VARIANCES = [(1.0, 1.0), (0.3, 2.0), (1e-6, 1e-6), (1e-3, 1e3), (1e6, 1.0), (1e6, 1e6), (1e-6, 1e6)]
ids = pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)


@lru_cache
def _panels(points: tuple[float, ...]) -> tuple[Array, Array]:
    """Nodes and weights of Gauss-Legendre panels between consecutive points."""
    x, w = np.polynomial.legendre.leggauss(16)
    low, high = np.array(points[:-1])[:, None], np.array(points[1:])[:, None]
    return (low + (high - low) * (x + 1) / 2).ravel(), ((high - low) / 2 * w).ravel()


def _towards_ends(low: float, high: float) -> list[float]:
    """Points of an interval that gather at both ends, down to 1e-8 of it."""
    steps = (high - low) * 10.0 ** -np.arange(8.0, 0.0, -1.0)
    return [low, *(low + steps), *(high - steps[::-1])]


def quadrature(f: Callable[[Array], Array], correlation: float, v1: float, v2: float) -> float:
    """E[f(u) f(v)] for (u, v) of variances v1, v2 and this correlation."""
    alpha = 2 * np.arcsin(np.sqrt((1 - correlation) / 2))  # keeps the digits of 1 - correlation
    kinks = np.unique(np.mod([pi / 2, 3 * pi / 2, alpha + pi / 2, alpha + 3 * pi / 2], 2 * pi))
    ends = [*kinks, kinks[0] + 2 * pi]
    r, weight_r = _panels((0.0, *(10.0 ** np.arange(-8.0, 0.0)), 0.5, *np.arange(1.0, 11.0)))
    total = 0.0
    for low, high in pairwise(ends):
        if high - low < 1e-12:
            continue
        t, weight_t = _panels((*_towards_ends(low, high), high))
        u, v = r * np.cos(t)[:, None], r * np.cos(t - alpha)[:, None]
        values = f(np.sqrt(v1) * u) * f(np.sqrt(v2) * v) * r * np.exp(-(r**2) / 2)
        total += float(weight_t @ values @ weight_r)
    return total / (2 * pi)


@cache
def table(activation: Elementwise) -> tuple[Array, Array, Array, Array, Array]:
    """k, v1, v2 and the two integrals, for all correlations and variances above."""
    rows = []
    for v1, v2 in VARIANCES:
        for correlation in CORRELATIONS:
            both = [quadrature(f, correlation, v1, v2) for f in (phi(activation), slope(activation))]
            rows.append((correlation * np.sqrt(v1 * v2), v1, v2, *both))
    k, v1s, v2s, dual, dual_dot = np.array(rows).T
    return k, v1s, v2s, dual, dual_dot


def sizes(activation: Elementwise, k: Array, v1: Array, v2: Array) -> tuple[Array, Array]:
    """What errors are relative to: the geometric mean of the integrals of the two variables alone."""
    (dual, dual_dot), root = (activation.dual, activation.dual_dot), np.sqrt
    return root(dual(v1, v1, v1) * dual(v2, v2, v2)), root(dual_dot(v1, v1, v1) * dual_dot(v2, v2, v2))


@ids
def test_reference_agrees_with_quadrature(activation: Elementwise) -> None:
    """Protects dual and dual_dot of the reference: 1e-9 of their size at any correlation and variance; but
    dual_dot 1e-8, as 1 - correlation of 1e-9 itself is known to 1e-7 and the angle to half its digits."""
    k, v1, v2, dual, dual_dot = table(activation)
    size, size_dot = sizes(activation, k, v1, v2)
    assert np.max(np.abs(activation.dual(k, v1, v2) - dual) / size) <= 1e-9
    assert np.max(np.abs(activation.dual_dot(k, v1, v2) - dual_dot) / size_dot) <= 1e-8


@ids
def test_jax_float64_agrees_with_the_reference(activation: Elementwise) -> None:
    """Protects the JAX integrals in float64. The cosine is rounded, so near correlation one the angle keeps
    half the digits: 3 sqrt(eps) = 5e-8."""
    k, v1, v2, _, _ = table(activation)
    size, size_dot = sizes(activation, k, v1, v2)
    dual, dual_dot = jax_integrals(activation, k, v1, v2)
    assert np.max(np.abs(dual - activation.dual(k, v1, v2)) / size) <= 1e-13
    assert np.max(np.abs(dual_dot - activation.dual_dot(k, v1, v2)) / size_dot) <= 5e-8


@cache
def integrals(activation: Elementwise) -> tuple[Any, Any]:
    """The two integrals of the JAX backend as functions of (phi, k, v1, v2, same), compiled."""
    row = family(activation)

    def of_variances(function: Any, slope: bool) -> Any:
        marginal = row.marginal_of(activation, slope)

        def of_arrays(k: Any, v1: Any, v2: Any, same: Any) -> Any:
            return function(activation, k, marginal(v1), marginal(v2), same)

        known = {same: jax.jit(partial(of_arrays, same=same)) for same in (None, True)}
        masked = jax.jit(of_arrays)

        def call(phi: Elementwise, k: Any, v1: Any, v2: Any, same: Any) -> Any:
            assert phi == activation
            return masked(k, v1, v2, same) if isinstance(same, jax.Array) else known[same](k, v1, v2)

        return call

    return of_variances(row.dual, False), of_variances(row.dual_dot, True)


def jax_integrals(activation: Elementwise, k: Array, v1: Array, v2: Array) -> tuple[Array, Array]:
    """The two integrals of the JAX backend in the type of the arguments."""
    with jax.enable_x64(True):
        x, y, z = (jnp.asarray(array) for array in (k, v1, v2))
        found = [np.asarray(f(activation, x, y, z, None)) for f in integrals(activation)]
    assert all(value.dtype == np.asarray(k).dtype for value in found)
    return found[0].astype(np.float64), found[1].astype(np.float64)


@ids
@given(st.integers(0, 2**32 - 1))
@trials(15)
def test_jax_float32_is_within_its_bound(activation: Elementwise, seed: int) -> None:
    """Protects the float32 integrals on 2000 points that float32 represents, against float64 at those points.

    Each value is, to 16 eps of its size, the exact one at a covariance that differs by 4 eps. (Near correlation
    one that is an angle of sqrt(8 eps) = 1e-3: the rounding of k itself costs as much.)
    """
    k, v1, v2 = random_points(np.random.default_rng(seed))
    exact = k.astype(np.float64), v1.astype(np.float64), v2.astype(np.float64)
    eps = float(np.finfo(np.float32).eps)
    found = jax_integrals(activation, k, v1, v2)
    for value, function, size in zip(
        found, (activation.dual, activation.dual_dot), sizes(activation, *exact), strict=True
    ):
        ends = [function(x, *exact[1:]) for x in neighbours(*exact, 4 * eps)]
        low, high = np.minimum(*ends), np.maximum(*ends)
        assert np.all(value >= low - 16 * eps * size)
        assert np.all(value <= high + 16 * eps * size)


def neighbours(k: Array, v1: Array, v2: Array, distance: float) -> tuple[Array, Array]:
    """k times 1 +- distance, as far as the variances allow."""
    largest = np.sqrt(v1 * v2)
    return np.clip(k * (1 - distance), -largest, largest), np.clip(k * (1 + distance), -largest, largest)


def random_points(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """k, v1, v2 in float32: variances from 1e-6 to 1e6, correlations dense near -1, 0 and 1."""
    v1, v2 = (10 ** random.uniform(-6, 6, (2, 2000))).astype(np.float32)
    gap = 10 ** random.uniform(-8, 0, 2000)
    correlation = random.choice([-1.0, 1.0], 2000) * np.where(random.random(2000) < 0.5, 1 - gap, gap)
    k = (correlation * np.sqrt(v1.astype(np.float64) * v2)).astype(np.float32)
    return k, v1, v2


@ids
def test_zero_variance(activation: Elementwise) -> None:
    """Protects kernels of zero inputs: dual is phi(0) E[phi], here phi(0)^2 as the odd part has no mean; dual_dot
    of a kink takes the correlation as one."""
    k, v1, v2 = np.zeros(3), np.array([0.0, 0.0, 2.0]), np.array([0.0, 2.0, 0.0])
    in_reference = activation.dual(k, v1, v2), activation.dual_dot(k, v1, v2)
    for dual, dual_dot in (in_reference, jax_integrals(activation, k, v1, v2)):
        assert_close(dual, phi(activation)(k) ** 2, "rounding", scale=1.0)
        if isinstance(activation, PiecewiseLinear):
            below, above = activation.slopes
            assert_close(dual_dot, np.full(3, (below**2 + above**2) / 2), "rounding")


@ids
@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.floats(-1, 1))
def test_dual_dot_is_the_derivative_of_dual(activation: Elementwise, v1: float, v2: float, c: float) -> None:
    """Protects the factors of dual_dot: d E[phi(u) phi(v)] / dk = E[phi'(u) phi'(v)] (Price 1958), by JAX, away
    from the ends where the derivative of the angle is infinite."""
    with jax.enable_x64(True):
        root = np.sqrt(v1 * v2)
        k = jnp.asarray(0.999 * c * root)
        dual, dual_dot = integrals(activation)
        found = jax.grad(lambda k: dual(activation, k, jnp.asarray(v1), jnp.asarray(v2), None))(k)
        expected = dual_dot(activation, k, jnp.asarray(v1), jnp.asarray(v2), None)
        _, size = sizes(activation, *map(np.asarray, (k, v1, v2)))
        assert_close(found, expected, "exact", scale=float(size))


@ids
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_derivatives_are_finite_at_the_ends(activation: Elementwise, dtype: type[np.floating]) -> None:
    """Protects gradients at equal, opposite and zero inputs: correlation one, minus one, variance zero."""
    with jax.enable_x64(True):
        k, v1, v2 = (jnp.asarray(x, dtype) for x in ([1.0, -1.0, 0.0, 0.0, 2.0], [1.0, 1, 0, 0, 4], [1.0, 1, 0, 1, 1]))
        for function in integrals(activation):
            derivatives = jax.grad(lambda *a, f=function: f(activation, *a, None).sum(), (0, 1, 2))
            assert np.isfinite(np.asarray(jax.jit(derivatives)(k, v1, v2))).all()
