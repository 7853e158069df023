"""`gain`: a learnt scale and shift of every channel, as behind layer normalisation."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntc
from ntc import nn
from ntc.errors import NotGaussianError
from tests.assertions import assert_close, assert_unbiased

X = np.random.default_rng(0).normal(size=(3, 5))


@pytest.mark.parametrize("bias", [False, True])
def test_its_own_parameters_give_the_rule_exactly(bias: bool) -> None:
    """Protects T' = eta (K + [bias]) + s^2 T: on the input, at any width, the empirical NTK is K + 1."""
    program = ntc.build(nn.input(5) >> nn.gain(bias=bias, learning_rate=0.5), dtype="float64")
    with jax.enable_x64(True):
        params = program.init(jax.random.key(0))
        assert_close(program.apply(params, X), X, "exact")
        found = ntc.empirical_ntk_fn(program.apply)(jnp.asarray(X), None, params)
    assert_close(program(X).ntk, np.asarray(found) / 2, "exact")


def test_networks_of_finite_width_agree() -> None:
    """Protects both rules behind and before other layers, with numbers that differ: means over wide networks."""
    gain = nn.gain(scale=0.8, scale_std=0.3, b_std=0.5)
    network = nn.input(5) >> nn.dense(256) >> nn.layer_norm() >> gain >> nn.dense(256, 1.2) >> nn.relu() >> nn.dense(1)
    program = ntc.build(network)
    kernels = program(X)
    x = jnp.asarray(X, jnp.float32)
    empirical = ntc.empirical_kernel_fn(program.apply)

    def sample(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = empirical(x, None, ("nngp", "ntk"), program.init(key))
        return found.nngp, found.ntk

    nngp, ntk = jax.lax.map(sample, jax.random.split(jax.random.key(1), 200))
    assert_unbiased(nngp, kernels.nngp)
    assert_unbiased(ntk, kernels.ntk)


def test_channels_of_different_variances_have_no_nonlinearity() -> None:
    """Protects from a mean over channels in place of one of functions of channels."""
    wide = nn.input(5) >> nn.dense(8)
    assert (wide >> nn.gain() >> nn.relu()).graph().nodes
    with pytest.raises(NotGaussianError):
        (wide >> nn.gain(scale_std=0.1) >> nn.relu()).graph()
