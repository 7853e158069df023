"""Analytic nonlinearities of inputs that nobody scaled: right at every variance, by series, mixtures and quadrature."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from ntc import nn
from ntc.backends.jax.integrals.gap import gap
from ntc.backends.jax.integrals.logistic import noise
from ntc.compiler import build
from ntc.ir import ops
from ntc.ir.op import Array
from ntc.ir.ops import Elementwise
from tests.formulas import formula
from tests.test_integrals import integrals, jax_integrals, sizes

LOGISTIC: list[Elementwise] = [ops.Tanh(), ops.Sigmoid(), ops.Swish(), ops.Softplus()]
EVERY: list[Elementwise] = [*LOGISTIC, ops.Mish(), ops.GeluTanh(), ops.CustomActivation("x * sigmoid(1.5 * x)")]
every = pytest.mark.parametrize("activation", EVERY, ids=str)

K = np.array([0.0, 1.5e3, -999.0, 1234567.0 * (1 - 2.0**-20), 1e8])
V1 = np.array([300.0, 2e3, 1e6, 1234567.0, 1e8])
V2 = np.array([40.0, 2e3, 1.0, 1234567.0, 1e8])
"""Independent, correlated, opposite and of other scale, nearly equal, and equal."""


def at_one(function: Any, v1: float, v2: float, sign: int) -> float:
    """E[f(u) f(v)] of u = sqrt(v1) z, v = +-sqrt(v2) z, to 15 digits."""
    with mpmath.workdps(20):
        root1, root2 = mpmath.sqrt(v1), sign * mpmath.sqrt(v2)
        widths = (0, 1 / root1, 5 / root1, 20 / root1, 1 / root2, 5 / root2, 20 / root2, 1, 4, 12)
        points = sorted({mpmath.mpf(s * x) for x in widths for s in (-1, 1) if abs(x) <= 12})
        value = mpmath.quad(
            lambda z: function(mpmath, root1 * z) * function(mpmath, root2 * z) * mpmath.npdf(z), points
        )
        return float(value)


@pytest.mark.parametrize("activation", EVERY[:6], ids=str)
def test_the_reference_at_the_ends(activation: Elementwise) -> None:
    """Protects the definition at correlations of +-1, by integrals in one dimension of mpmath."""
    for v1, v2, sign in ((1e6, 1e6, 1), (1e8, 40.0, -1)):
        k, first, second = (np.array([x]) for x in (sign * np.sqrt(v1 * v2), v1, v2))
        found = activation.dual(k, first, second), activation.dual_dot(k, first, second)
        for value, function, size in zip(found, formula(activation), sizes(activation, k, first, second), strict=True):
            assert abs(value[0] - at_one(function, v1, v2, sign)) <= 1e-12 * size[0]


@pytest.mark.parametrize("activation", LOGISTIC, ids=str)
def test_the_reference_in_between(activation: Elementwise) -> None:
    """Protects the definition at all correlations: quadrature agrees with the mean over logistic noise, which has
    nothing in common with it."""
    expected = activation.dual(K, V1, V2), activation.dual_dot(K, V1, V2)
    for found, wanted, size in zip(
        jax_integrals(activation, K, V1, V2), expected, sizes(activation, K, V1, V2), strict=True
    ):
        assert np.all(np.abs(found - wanted) <= 1e-12 * size)


@every
def test_jax_is_right_in_both_precisions(activation: Elementwise) -> None:
    """Protects kernels of data that nobody scaled, which were NaN."""
    single = [x.astype(np.float32) for x in (K, V1, V2)]
    for arrays, bound in (((K, V1, V2), 1e-11), (single, 3e-6)):
        exact = [x.astype(np.float64) for x in arrays]
        expected = activation.dual(*exact), activation.dual_dot(*exact)
        found = jax_integrals(activation, *arrays)
        for value, wanted, size in zip(found, expected, sizes(activation, *exact), strict=True):
            assert np.all(np.abs(value - wanted) <= bound * size)


@pytest.mark.parametrize("activation", [ops.Tanh(), ops.Swish(), ops.GeluTanh()], ids=str)
def test_gradients(activation: Elementwise) -> None:
    """Protects gradients at large variances: by k it is dual_dot (Price 1958), by the variances a difference; and they
    are finite where both variables are equal."""
    dual = integrals(activation)[0]
    dot = activation.dual_dot(K, V1, V2)

    def slopes(dtype: Any) -> list[Array]:
        arrays = (jnp.asarray(x, dtype) for x in (K, V1, V2))
        found = jax.jit(jax.grad(lambda *x: dual(activation, *x, None).sum(), (0, 1, 2)))(*arrays)
        return [np.asarray(x, np.float64) for x in found]

    with jax.enable_x64(True):
        by_k, by_v1, by_v2 = slopes(np.float64)
        assert all(np.isfinite(x).all() for x in slopes(np.float32))
    size = np.sqrt(activation.dual_dot(V1, V1, V1) * activation.dual_dot(V2, V2, V2))
    np.testing.assert_allclose(by_k / size, dot / size, atol=1e-9)
    inside, step = slice(0, 4), 1e-4
    for slope, change in ((by_v1, (V1 * step, 0 * V2)), (by_v2, (0 * V1, V2 * step))):
        ends = [activation.dual(K, V1 + s * change[0], V2 + s * change[1])[:3] for s in (-1, 1)]
        wanted = (ends[1] - ends[0]) / (2 * (change[0] + change[1])[:3])
        scale = activation.dual(V1, V1, V1)[:3] / V1[:3]
        assert np.all(np.abs(slope[:3] - wanted) <= 1e-5 * np.maximum(scale, 1))
    assert np.isfinite(by_v1[inside]).all()


def test_noise_of_logistic_variables() -> None:
    """Protects the rule: tanh is the mean of its error functions, to what is said of it."""
    x = np.linspace(-8, 8, 400)
    for count, bound in ((9, 1e-7), (20, 1e-12)):
        variances, weights = noise(count)
        erf = np.vectorize(lambda y: float(mpmath.erf(y)))
        mean = sum(w * erf(2 * x / np.sqrt(2 * v)) for v, w in zip(variances, weights, strict=True))
        assert np.max(np.abs(mean - np.tanh(x))) < bound


def test_the_determinant_keeps_its_digits() -> None:
    """Protects v1 v2 - k^2 in float32 where the products agree in all digits but the last."""
    k, v1, v2 = (np.array([x], np.float32) for x in (1e6 * (1 - 2.0**-20), 999999.3, 1000000.7))
    right = float(v1[0]) * float(v2[0]) - float(k[0]) ** 2
    found = jax.jit(gap)(*map(jnp.asarray, (k, v1, v2)))
    np.testing.assert_allclose(found, max(right, 0), rtol=1e-6)


def test_pixels_have_kernels() -> None:
    """Protects programs of pixels from 0 to 255: float32 agrees with float64, where all entries were NaN."""
    x = np.random.default_rng(0).integers(0, 256, (4, 16)).astype(np.uint8)
    network = nn.input(16) >> nn.dense(8, 1.5, 0.1) >> nn.tanh() >> nn.dense(8, 1.5, 0.1) >> nn.swish() >> nn.dense(1)
    right = build(network, dtype="float64")(x)
    found = build(network)(x)
    assert np.isfinite(np.asarray(right.ntk)).all()
    np.testing.assert_allclose(found.ntk, right.ntk, rtol=2e-5)
    np.testing.assert_allclose(found.nngp, right.nngp, rtol=1e-5)
