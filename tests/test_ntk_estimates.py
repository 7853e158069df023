"""Parts of an empirical NTK, and estimates without its matrix, against the matrix."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from ntc.errors import InputError, ParameterError
from ntc.finite import (
    empirical_ntk_by_layer_fn,
    empirical_ntk_fn,
    empirical_ntk_subset_fn,
    ntk_eigenvalues,
    ntk_sketch,
    ntk_trace,
)
from tests.assertions import assert_close

PARAMS = {
    "first": {"w": random.normal(random.key(0), (3, 5)), "b": random.normal(random.key(1), (5,))},
    "last": {"w": random.normal(random.key(2), (5, 2))},
}
X = random.normal(random.key(3), (4, 3))


def f(params: Any, x: jax.Array) -> jax.Array:
    return jnp.tanh(x @ params["first"]["w"] + params["first"]["b"]) @ params["last"]["w"]


def matrix() -> np.ndarray[Any, Any]:
    """The whole kernel as a matrix, (n outputs, n outputs)."""
    whole = empirical_ntk_fn(f, (), ())(X, None, PARAMS)
    return np.asarray(whole.transpose(0, 2, 1, 3).reshape(8, 8), np.float64)


def test_layers_add_up_and_are_those_of_subsets() -> None:
    """Protects the split: layers sum to the whole, each is the kernel of training it alone."""
    layers = empirical_ntk_by_layer_fn(f, vmap_axes=0)(X, None, PARAMS)
    assert list(layers) == ["first", "last"]
    assert_close(layers["first"] + layers["last"], empirical_ntk_fn(f)(X, None, PARAMS), "float32")
    last = empirical_ntk_subset_fn(f, lambda name: name == "last/w", vmap_axes=0)(X, None, PARAMS)
    assert_close(layers["last"], last, "float32")
    h = jnp.tanh(X @ PARAMS["first"]["w"] + PARAMS["first"]["b"])
    assert_close(last, h @ h.T, "float32")


def test_the_trace_is_within_its_standard_error() -> None:
    """Protects the estimate and its error: five standard errors, and these shrink as samples grow."""
    exact = np.trace(matrix())
    few, many = (ntk_trace(f, X, PARAMS, random.key(5), samples) for samples in (64, 1024))
    for found in (few, many):
        assert abs(found.value - exact) < 5 * found.standard_error
    assert 2 < few.standard_error / many.standard_error < 8  # 4 up to chance


def test_lanczos_finds_the_spectrum() -> None:
    """Protects Ritz values after all steps, and the bounds after few."""
    exact = np.linalg.eigvalsh(matrix())
    found = ntk_eigenvalues(f, X, PARAMS, random.key(6), steps=8)
    assert_close(found.values, exact[::-1], "float32")
    few = ntk_eigenvalues(f, X, PARAMS, random.key(6), steps=3)
    distance = np.abs(few.values[:, None] - exact).min(1)
    assert (distance <= few.bounds + 1e-5 * exact.max()).all()
    assert few.bounds.max() > 1e-3 * exact.max()


def test_a_sketch_states_its_error() -> None:
    """Protects features: unbiased up to five stated standard errors, which are neither too small nor too large."""
    sketch = ntk_sketch(f, X, PARAMS, random.key(7), 2000)
    score = (np.asarray(sketch.kernel()) - matrix()) / np.asarray(sketch.standard_error())
    assert np.abs(score).max() < 5
    assert 0.3 < np.sqrt(np.mean(score**2)) < 2


def test_what_cannot_be_is_refused() -> None:
    """Protects against estimates of nothing."""
    with pytest.raises(InputError, match="no parameter is selected"):
        empirical_ntk_subset_fn(f, lambda name: name == "w")(X, None, PARAMS)
    with pytest.raises(ParameterError, match="keep parameters apart"):
        empirical_ntk_by_layer_fn(f, implementation=2)
    with pytest.raises(ParameterError, match="two samples"):
        ntk_trace(f, X, PARAMS, random.key(0), 1)
    with pytest.raises(ParameterError, match="steps"):
        ntk_eigenvalues(f, X, PARAMS, random.key(0), 0)
    with pytest.raises(ParameterError, match="features"):
        ntk_sketch(f, X, PARAMS, random.key(0), 0)
