"""The float32 forms of integrals: as exact as they say, everywhere and at the ends."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntc.backends.jax.integrals import family
from ntc.backends.jax.integrals import relu as duals
from ntc.backends.jax.integrals.single import Angle
from ntc.ir import ops
from ntc.ir.op import Array

_GRID = np.unique(
    np.concatenate([np.linspace(-1, 1, 200_001), 1 - np.logspace(-7, 0, 1000), np.logspace(-7, 0, 1000) - 1])
).astype(np.float32)


def exact(cosine: Array) -> tuple[Array, Array]:
    """(sin + (pi - angle) cos) / (2 pi) and (pi - angle) / (2 pi), in float64, without cancellation at -1."""
    angle = np.arccos(cosine)
    acute = 2 * np.arcsin(np.sqrt((1 - np.abs(cosine)) / 2))
    small = np.where(acute > 1e-2, np.sin(acute) - acute * np.cos(acute), acute**3 / 3 - acute**5 / 30)
    return (np.pi * np.maximum(cosine, 0) + small) / (2 * np.pi), (np.pi - angle) / (2 * np.pi)


def test_float32_errors() -> None:
    """Protects float32: 3e-7 of the value of dual, also where it is tiny; 1e-7 of dual_dot, absolutely."""
    one = jnp.ones_like(_GRID)
    dual, dual_dot = exact(_GRID.astype(np.float64))
    found = np.asarray(jax.jit(duals._dual_of_relu, static_argnums=2)(_GRID, one, None), np.float64)
    assert (np.abs(found - dual) <= 4e-7 * dual).all()
    found = np.asarray(jax.jit(duals._dual_dot_of_relu, static_argnums=2)(_GRID, one, None), np.float64)
    assert np.abs(found - dual_dot).max() <= 1e-7


def test_ends_are_exact() -> None:
    """Protects correlation one and minus one, and variance zero, which counts as one."""
    k, norm = jnp.array([1.0, -1.0, 0.0], jnp.float32), jnp.array([1.0, 1.0, 0.0], jnp.float32)
    assert np.asarray(duals._dual_of_relu(k, norm, None)).tolist() == [0.5, 0.0, 0.5]
    assert np.asarray(duals._dual_dot_of_relu(k, norm, None)).tolist() == [0.5, 0.0, 0.5]


@given(st.floats(1 / 1024 - 1, 1 - 1 / 1024, width=32))
@pytest.mark.parametrize("name", ["dual", "dual_dot"])
def test_derivatives_are_the_formulas(name: str, x: float) -> None:
    """Protects gradients: they are those of the integrals, not of the polynomials."""
    function = getattr(duals, f"_{name}_of_relu")
    found = jax.grad(function)(jnp.float32(x), jnp.float32(1), None)
    angle = np.arccos(np.float64(np.float32(x)))
    expected = (np.pi - angle) / (2 * np.pi) if name == "dual" else 1 / (2 * np.pi * np.sin(angle))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_angles_in_single_precision() -> None:
    """Protects erf and gelu: the angle to 4e-7 of its size, also where it is tiny, and its cosine."""
    random = np.random.default_rng(0)
    v1, v2 = (10 ** random.uniform(-6, 3, (2, 4000))).astype(np.float32)
    k = (random.choice([-1, 1], 4000) * (1 - 10 ** random.uniform(-5, 0, 4000)) * np.sqrt(v1 * v2)).astype(np.float32)
    found = jax.jit(lambda *x: Angle.of(2.0, *x, None))(k, v1, v2)
    exact = [x.astype(np.float64) for x in (k, v1, v2)]
    sine = 2 * exact[0] / np.sqrt((1 + 2 * exact[1]) * (1 + 2 * exact[2]))
    near_right = np.sqrt(1 - sine**2)  # there the rounding of variances is one of the angle
    assert (np.abs(found.angle - np.arcsin(sine)) <= 4e-7 * np.abs(np.arcsin(sine)) / np.minimum(1, near_right)).all()
    assert (np.abs(found.cosine - near_right) <= 4e-7 / np.minimum(1, near_right)).all()


@given(
    st.floats(-0.875, 0.875, width=32), st.sampled_from([ops.Erf(1.2, 0.7, 0.3), ops.Gelu(), ops.Sin(1.1, 0.8, 0.3)])
)
def test_derivatives_in_single_precision(x: float, phi: Any) -> None:
    """Protects gradients: they are those of the formulas, to the rounding of single precision."""
    one = jnp.float32(1)
    found = jax.grad(family(phi).dual, 1)(phi, jnp.float32(x), one, one, None)
    expected = phi.dual_dot(*(np.float64(y) for y in (np.float32(x), 1.0, 1.0)))  # Price 1958
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with_v = jax.grad(family(phi).dual, 2)(phi, jnp.float32(x), one, one, None)
    ends = [phi.dual(np.float64(np.float32(x)), np.float64(1 + step), np.float64(1)) for step in (1e-5, -1e-5)]
    np.testing.assert_allclose(with_v, (ends[0] - ends[1]) / 2e-5, rtol=1e-4, atol=1e-5)
