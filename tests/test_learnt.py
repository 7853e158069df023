"""Layer scale, biases and embeddings, class tokens: their rules against empirical kernels, and where they may stand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntc import nn
from ntc.backends.reference import interpret
from ntc.compiler import build
from ntc.errors import NotGaussianError, ShapeError
from ntc.frontend.layers import Layer, Network
from ntc.ir.graph import tensor_op
from ntc.ir.op import Array
from ntc.passes.translate import Translate
from tests.assertions import assert_close, assert_unbiased
from tests.test_monte_carlo import as_reference, inputs, sampled

LINE = nn.input(3, 2)
BELOW = LINE >> nn.dense(16, 1.2, 0.3)


def rules(network: Network, *x: Array) -> dict[str, Array]:
    """Both kernels in the reference."""
    return interpret(Translate(dtype="f64", between="cross" if len(x) == 2 else "self")(network.graph()), *x)


LAYERS: dict[str, Layer] = {
    "layer_scale": nn.layer_scale(0.6),
    "layer_scale_rate": nn.layer_scale(-1.5, learning_rate=0.3),
    "bias": nn.bias(0.7),
    "bias_standard": nn.bias(0.7, parameterization="standard"),
    "bias_zero": nn.bias(0.0, parameterization="standard"),
    "embedding": nn.bias(0.7, True),
    "embedding_standard": nn.bias(0.7, True, "standard"),
    "class_token": nn.class_token(0.7),
    "class_token_last": nn.class_token(0.7, last=True, parameterization="standard"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_mean_over_networks_is_the_rule(name: str) -> None:
    """Protects both kernels of every one of these layers, between two others and a nonlinearity above."""
    above = nn.serial(nn.dense(2, 1.3, 0.2))
    network = BELOW >> nn.erf() >> LAYERS[name] >> above
    x = inputs(network)
    with jax.enable_x64(True):
        covariance, ntk = map(np.asarray, sampled(network.graph(), x, 600, seed=0))
    expected = rules(network, x)
    assert_unbiased(as_reference(covariance), expected["nngp"])
    assert_unbiased(as_reference(ntk), expected["ntk"])


@pytest.mark.parametrize("name", LAYERS)
def test_programs_agree(name: str) -> None:
    """Protects the backend: in float64 a program is what the reference computes, also with several axes."""
    network = nn.input(3, 2, 2) >> nn.conv(4, 2) >> LAYERS[name] >> nn.conv(4, 2) >> nn.relu() >> nn.flatten()
    x, y = (np.random.default_rng(seed).normal(size=(2, 3, 2, 2)) for seed in (0, 1))
    found = build(network, dtype="float64")(x, y)
    for label, expected in rules(network, x, y).items():
        assert_close(getattr(found, label), expected, "float64")


def test_token_lies_where_it_is_said() -> None:
    """Protects the order of positions, in kernel and finite network: the token is as long as it is for any example."""
    x = np.random.default_rng(0).normal(size=(2, 3, 2))
    for last, position in ((False, 0), (True, 3)):
        network = LINE >> nn.class_token(0.5, last=last)
        k = rules(network, x, x)["nngp"]
        assert_close(k[:, :, position, position], np.full((2, 2), 0.25), "rounding")
        assert_close(np.delete(k[:, :, position], position, 2), np.zeros((2, 2, 3)), "rounding")
        program = build(network)
        y = np.asarray(program.apply(program.init(jax.random.key(0)), jnp.asarray(x, jnp.float32)))
        assert_close(np.delete(y, position, 1), x.astype("f4"), "rounding")
        assert (y[0, position] == y[1, position]).all()


def test_layer_scale_begins_as_a_constant() -> None:
    """Protects finite networks: all channels have the same scale at first, and it is a parameter."""
    network = LINE >> nn.layer_scale(0.25)
    program = build(network)
    assert (np.asarray(program.init(jax.random.key(0))["layer_scale1"]["g"]) == 0.25).all()
    assert not tensor_op(network.graph().nodes[0]).has_weights


def test_nonlinearities_without_a_rule_do_not_follow_a_learnt_scale() -> None:
    """Protects the NTK: its part from the scale depends on the value itself, for which there is no rule behind other
    layers, or without the integral of x phi'(x) (`test_learnt_scale` has that); frozen, it is a plain scale."""
    for between in (nn.bias(0.5) >> nn.relu(), nn.scale(2.0) >> nn.relu(), nn.sin()):
        with pytest.raises(NotGaussianError):
            (BELOW >> nn.layer_scale() >> between).graph()
    assert (BELOW >> nn.layer_scale(learning_rate=0.0) >> nn.relu()).graph().nodes
    assert (BELOW >> nn.relu() >> nn.layer_scale() >> nn.dense(3) >> nn.relu()).graph().nodes
    assert (BELOW >> nn.bias(0.0, parameterization="standard") >> nn.relu()).graph().nodes


def test_homogeneous_functions_pass_a_scale_on() -> None:
    """Protects what the page says: the NTK of g relu(x) is that of relu(g x), of which gradients are measured."""
    network = BELOW >> nn.relu() >> nn.layer_scale() >> nn.dense(1)
    program = build(network, dtype="float64")
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 2)))
        params = program.init(jax.random.key(0))
        hidden = build(BELOW, dtype="float64")

        def scaled_before(g: jax.Array) -> jax.Array:
            below = hidden.apply({"dense1": params["dense1"]}, x)
            return jax.nn.relu(g * below) @ (params["dense2"]["w"] / 4)

        def scaled_behind(g: jax.Array) -> jax.Array:
            return program.apply({**params, "layer_scale1": {"g": g}}, x)

        before, behind = (jax.jacobian(f)(params["layer_scale1"]["g"]) for f in (scaled_before, scaled_behind))
        assert_close(np.asarray(before), np.asarray(behind), "float64")


def test_errors_name_the_axis() -> None:
    """Protects the message of a token along an axis that is not there."""
    with pytest.raises(ShapeError, match="class_token: its input has 1 spatial axes, none with number 1"):
        (LINE >> nn.class_token(axis=1)).graph()
