"""Empirical kernels of models of other libraries: any function f(params, x) will do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax import random

from ntc.finite import NtkImplementation, empirical_ntk_fn
from tests.assertions import assert_close
from tests.test_empirical import EXPLICIT, dense


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def equinox_model() -> tuple[Callable[..., Any], Any]:
    """A convolutional network with layer normalisation and attention over positions."""
    keys = random.split(random.key(0), 4)
    layers = {
        "conv": eqx.nn.Conv2d(2, 4, 3, padding=1, key=keys[0]),
        "norm": eqx.nn.LayerNorm(4),
        "attention": eqx.nn.MultiheadAttention(2, 4, key=keys[1]),
        "out": eqx.nn.Linear(4, 3, key=keys[2]),
    }
    params, static = eqx.partition(layers, eqx.is_inexact_array)

    def f(params: Any, x: jax.Array) -> jax.Array:
        model = eqx.combine(params, static)

        def single(x: jax.Array) -> jax.Array:
            h = jax.nn.relu(model["conv"](jnp.moveaxis(x, -1, 0)))
            h = jax.vmap(model["norm"])(h.reshape(4, -1).T)
            return model["out"](model["attention"](h, h, h).mean(0))

        return jax.vmap(single)(x)

    return f, jax.tree.map(lambda x: x.astype(jnp.float64), params)


def flax_model() -> tuple[Callable[..., Any], Any]:
    """The same kind of network as a module of Flax, where that is installed."""
    linen = pytest.importorskip("flax.linen")

    class Model(linen.Module):  # type: ignore[misc, name-defined]
        @linen.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            h = linen.gelu(linen.Conv(4, (3, 3))(x))
            h = linen.LayerNorm()(h) + linen.Dense(4)(h)
            h = linen.MultiHeadDotProductAttention(2)(h.reshape(len(h), -1, 4))
            return linen.Dense(3)(h.mean(1))  # type: ignore[no-any-return]

    model = Model()
    params = model.init(random.key(0), jnp.ones((1, 4, 4, 2)))
    return model.apply, jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), params)


@pytest.mark.parametrize("make", [equinox_model, flax_model])
def test_implementations_agree_with_dense_jacobians(make: Callable[[], tuple[Callable[..., Any], Any]]) -> None:
    """Protects models of other libraries, whose parameters are any trees: every implementation gives the dense
    Jacobians' kernel to 1e-9."""
    f, params = make()
    x1, x2 = (random.normal(random.key(seed), (n, 4, 4, 2), jnp.float64) for seed, n in ((1, 3), (2, 2)))
    expected = jax.jit(lambda p: dense(f, p, x1, x2))(params)

    def every(params: Any) -> list[Any]:
        return [empirical_ntk_fn(f, (), (), 0, how)(x1, x2, params) for how in EXPLICIT]

    for how, found in zip(EXPLICIT, jax.jit(every)(params), strict=True):
        assert NtkImplementation(how)
        assert_close(found, expected, "float64")
