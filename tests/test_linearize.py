"""Networks near some of their parameters: Taylor expansions, and the weights of the linearised network in training."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntc
from ntc import nn
from ntc.errors import InputError, ParameterError
from ntc.finite import empirical_ntk_fn, linearized_weights

pytestmark = pytest.mark.usefixtures("no_promotion_of_ranks")
NETWORKS = {
    "polynomial": nn.input(4) >> nn.dense(6) >> nn.monomial(2) >> nn.dense(3),
    "relu": nn.input(4) >> nn.dense(6) >> nn.relu() >> nn.dense(5) >> nn.relu() >> nn.dense(3),
    "convolutional": nn.input(5, 2) >> nn.conv(4, 3) >> nn.tanh() >> nn.layer_norm() >> nn.flatten() >> nn.dense(2),
}


def network(name: str) -> tuple[Any, Any, Any, Any]:
    """A function of parameters and inputs in float64, two sets of parameters, and inputs."""
    program = ntc.build(NETWORKS[name], dtype="float64")
    x = np.random.default_rng(0).normal(size=(3, *NETWORKS[name].root.spatial, NETWORKS[name].root.channels))
    return program.apply, program.init(jax.random.key(0)), program.init(jax.random.key(1)), x


@pytest.fixture(autouse=True)
def float64() -> Any:
    """float64 for all of JAX."""
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("degree", [1, 2, 3])
def test_remainder_is_of_the_next_order(name: str, degree: int) -> None:
    """Protects every term: with the step halved, what the expansion misses falls by 2 to the next degree."""
    f, params, other, x = network(name)
    expanded = ntc.taylor_expand(f, params, degree)

    def missed(step: float) -> float:
        new = jax.tree.map(lambda a, b: a + step * b, params, other)
        return float(jnp.abs(f(new, x) - expanded(new, x)).max())

    ratio = missed(2e-2) / max(missed(1e-2), 1e-300)
    exact = missed(1e-2) < 1e-13
    assert exact or ratio == pytest.approx(2 ** (degree + 1), rel=0.2)


def test_a_polynomial_is_its_expansion() -> None:
    """Protects the factorials: a network that is a polynomial of its parameters, of degree 3, equals its expansion at
    any distance, and not that of degree 2."""
    f, params, other, x = network("polynomial")
    np.testing.assert_allclose(ntc.taylor_expand(f, params, 3)(other, x), f(other, x), rtol=1e-10)
    assert np.abs(ntc.taylor_expand(f, params, 2)(other, x) - f(other, x)).max() > 1e-2
    np.testing.assert_allclose(ntc.taylor_expand(f, params, 0)(other, x), f(params, x), rtol=1e-12)


def test_linearisation_has_the_same_tangent_kernel() -> None:
    """Protects training of the linearised network: its gradient is that of the network at the start, everywhere."""
    f, params, other, x = network("convolutional")
    linear = ntc.linearize(f, params)
    right = empirical_ntk_fn(f)(x, None, params)
    for at in (params, other):
        np.testing.assert_allclose(empirical_ntk_fn(linear)(x, None, at), right, rtol=1e-9)


@pytest.mark.parametrize("vmap_axes", [None, 0])
def test_weights_in_time_are_those_of_gradient_descent(vmap_axes: Any) -> None:
    """Protects the closed form: many small steps of gradient descent of the linearised network on half the mean of
    squares give its weights at that time."""
    f, params, _, x = network("convolutional")
    y = jnp.asarray(np.random.default_rng(1).normal(size=(3, 2)))
    linear, rate, steps = ntc.linearize(f, params), 1e-3, 3000

    def loss(p: Any) -> jax.Array:
        return 0.5 * jnp.mean((linear(p, x) - y) ** 2)

    def step(_: int, p: Any) -> Any:
        return jax.tree.map(lambda w, g: w - rate * g, p, jax.grad(loss)(p))

    trained = jax.lax.fori_loop(0, steps, step, params)
    weights = linearized_weights(f, params, x, y, vmap_axes=vmap_axes)
    for one, other in zip(jax.tree.leaves(trained), jax.tree.leaves(weights(rate * steps)), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)
    np.testing.assert_allclose(linear(weights(None), x), y, atol=1e-8)
    np.testing.assert_allclose(linear(weights(0.0), x), f(params, x), atol=1e-12)


def test_mistakes_are_refused() -> None:
    """Protects users from expansions of another network than they think."""
    f, params, _, x = network("relu")
    for degree in (-1, 1.0, True):
        with pytest.raises(ParameterError, match="whole number"):
            ntc.taylor_expand(f, params, degree)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="structure"):
        ntc.linearize(f, params)((params, params), x)
    with pytest.raises(InputError, match="shape"):
        linearized_weights(f, params, x, jnp.zeros((3, 1)))
