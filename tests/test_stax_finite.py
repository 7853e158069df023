"""`init_fn` and `apply_fn` of `ntc.stax`, against stored results of Neural Tangents 0.6.5 and against each other."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntc import stax
from ntc.errors import InputError, ParameterError, ShapeError
from tests.golden import finite_cases

STORED = np.load(finite_cases.GOLDEN)
KEY = jax.random.PRNGKey(3)


@pytest.mark.parametrize("name", finite_cases.networks(stax))
def test_finite_networks_are_those_of_the_peer(name: str) -> None:
    """Protects parameters saved by old scripts: nesting, shapes, key splitting, scales, axes, and the forward pass."""
    with jax.enable_x64(True), jax.threefry_partitionable(False), jax.numpy_rank_promotion("raise"):
        found = finite_cases.results(stax, name)
    stored = {key: STORED[f"{name}/{key}"] for key in (k.partition("/")[2] for k in STORED if k.startswith(f"{name}/"))}
    assert set(found) == set(stored)
    for key, value in found.items():
        assert value.dtype == stored[key].dtype or key == "tree"
        if value.dtype.kind == "f":
            np.testing.assert_allclose(value, stored[key], rtol=1e-11, atol=1e-11)
        else:
            np.testing.assert_array_equal(value, stored[key])


def test_signatures_are_those_of_the_peer() -> None:
    """Protects calls with positions and names of parameters, and their defaults."""
    wanted = json.loads(finite_cases.SIGNATURES.read_text())
    found = finite_cases.signatures(stax)
    assert {name: found.get(name) for name in wanted} == wanted
    assert {*wanted, "Slice"} <= {*stax.__all__}


def test_masked_positions_are_as_if_not_there() -> None:
    """Protects masks at finite width: zeros around a sequence are what padding reads, and no mean counts them."""
    conv, cos = stax.Conv(4, (3,), padding="SAME", b_std=0.3), stax.Elementwise(jnp.cos)
    init_fn, apply_fn, _ = stax.serial(conv, cos, conv, stax.GlobalAvgPool())
    _, params = init_fn(KEY, (-1, 5, 2))
    x = jax.random.normal(KEY, (3, 5, 2))
    longer = jnp.concatenate([x, jnp.full((3, 4, 2), jnp.nan)], axis=1)
    found = jax.jit(partial(apply_fn, mask_constant=float("nan")))(params, longer)
    np.testing.assert_allclose(found, jax.jit(apply_fn)(params, x), rtol=1e-5, atol=1e-6)


def test_aggregate_multiplies_by_the_adjacency() -> None:
    """Protects patterns at finite width: dense, as edges, and made by a function, on the axis that is named."""
    x = jax.random.normal(KEY, (2, 3, 4))  # examples, channels, vertices
    edges = jnp.array([[[0, 1], [0, 1], [3, 2], [-1, -1]], [[1, 0], [2, 2], [3, 1], [1, 3]]])
    dense = np.zeros((2, 4, 4), np.float32)
    dense[0, 0, 1], dense[0, 3, 2] = 2, 1
    for tail, head in np.asarray(edges[1]):
        dense[1, tail, head] += 1
    axes: Any = {"aggregate_axis": 2, "batch_axis": 0, "channel_axis": 1}
    wanted = jnp.matmul(x, dense, precision="highest")
    for layer, pattern in (
        (stax.Aggregate(**axes), dense),
        (stax.Aggregate(**axes, implementation="SPARSE"), edges),
        (stax.Aggregate(**axes, to_dense=lambda half: 2 * half), dense / 2),
    ):
        np.testing.assert_allclose(layer[1]((), x, pattern=pattern), wanted, rtol=1e-6, atol=1e-6)


def test_training_reduces_the_loss() -> None:
    """Protects gradients through lists, None and stacks of parameters, under jit."""
    block = stax.repeat(stax.serial(stax.Erf(), stax.Dense(16, 1.5, 0.1)), 2)
    init_fn, apply_fn, _ = stax.serial(stax.Dense(16, 1.5), block, stax.Relu(), stax.Dense(1))
    _, params = init_fn(KEY, (-1, 1))
    x = jnp.linspace(-1, 1, 8)[:, None]

    def loss(params: Any) -> jax.Array:
        return jnp.mean((apply_fn(params, x) - jnp.sin(3 * x)) ** 2)

    step = jax.jit(lambda params: jax.tree.map(lambda p, g: p - 0.1 * g, params, jax.grad(loss)(params)))
    before = loss(params)
    for _ in range(30):
        params = step(params)
    assert loss(params) < before / 4


def test_wrong_use_says_what_is_wrong() -> None:
    """Protects users: shapes that do not fit, forgotten keys and parameters of something else are errors by name."""
    init_fn, apply_fn, _ = stax.serial(stax.Dense(3), stax.Dropout(0.5))
    _, params = init_fn(KEY, (-1, 2))
    with pytest.raises(InputError, match="rng"):
        apply_fn(params, jnp.ones((1, 2)))
    with pytest.raises(ShapeError, match="keep the shape"):
        stax.repeat(stax.Dense(5), 2)[0](KEY, (-1, 4))
    with pytest.raises(ParameterError, match="takes one array, got a tuple of 2"):
        stax.Dense(3)[0](KEY, ((-1, 2), (-1, 2)))
    with pytest.raises(InputError, match="have no w"):
        stax.Dense(3)[1]((), jnp.ones((1, 2)))
    with pytest.raises(InputError, match="pattern"):
        stax.Aggregate(1)[1]((), jnp.ones((1, 2, 3)), pattern=jnp.ones((1, 3, 3)))
