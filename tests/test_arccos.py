"""The arc cosine of the jax backend: as exact as it says, everywhere and at the ends."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ntc.backends.jax.arccos import arccos

_GRID = np.unique(
    np.concatenate([np.linspace(-1, 1, 200_001), 1 - np.logspace(-7, 0, 1000), np.logspace(-7, 0, 1000) - 1])
).astype(np.float32)


def test_float32_error() -> None:
    """Protects angles near zero, where relative errors matter: 3e-7 of the angle for x >= 0, else 5e-7."""
    found, exact = np.asarray(jax.jit(arccos)(_GRID), np.float64), np.arccos(_GRID.astype(np.float64))
    positive = _GRID >= 0
    assert (np.abs(found - exact) <= 3e-7 * exact)[positive].all()
    assert np.abs(found - exact)[~positive].max() <= 5e-7


def test_ends_are_exact() -> None:
    """Protects correlation one: its angle is zero, that of minus one pi."""
    assert np.asarray(arccos(jnp.array([1.0, -1.0], jnp.float32))).tolist() == [0.0, float(np.float32(np.pi))]


@given(st.floats(1 / 1024 - 1, 1 - 1 / 1024, width=32))
def test_derivative_is_the_formula(x: float) -> None:
    """Protects gradients: they are those of the arc cosine, not of the polynomial."""
    found = jax.grad(arccos)(jnp.float32(x))
    np.testing.assert_allclose(found, -1 / np.sqrt(1 - np.float64(np.float32(x)) ** 2), rtol=1e-6)
