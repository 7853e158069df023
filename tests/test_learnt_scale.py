"""A learnt scale of channels directly before a nonlinearity, as behind a normalisation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntc
from ntc import nn
from ntc.errors import NotGaussianError
from tests.assertions import assert_unbiased

X = np.random.default_rng(0).normal(size=(3, 5))


@pytest.mark.parametrize("layer", [nn.relu(), nn.tanh(), nn.gelu(), nn.activation("x * sigmoid(x)")], ids=str)
def test_a_nonlinearity_behind_a_learnt_scale(layer: Any) -> None:
    """Protects the part of the NTK that belongs to a channel, E[psi psi] with psi(x) = x phi'(x): its mean over wide
    networks, of the parameters of the scale alone, beside which that of other layers would hide it."""
    scale = nn.layer_scale(0.8) >> nn.bias(0.0, parameterization="standard")
    hidden = nn.input(5) >> nn.dense(2000, 1.5, learning_rate=0.0) >> scale >> layer
    program = ntc.build(hidden >> nn.dense(1, 1.2, learning_rate=0.0))
    expected = program(X).ntk
    x = jnp.asarray(X, jnp.float32)
    params = program.init(jax.random.key(0))
    learnt = [name for name in params if not name.startswith("dense")]

    def one(key: Any) -> Any:
        drawn = program.init(key)

        def f(own: Any, x: Any) -> Any:
            return program.apply({**drawn, **own}, x)

        return ntc.empirical_ntk_fn(f)(x, None, {name: drawn[name] for name in learnt})

    samples = jax.lax.map(one, jax.random.split(jax.random.key(1), 100))
    assert_unbiased(samples, expected)
    plain = ntc.build(
        nn.input(5) >> nn.dense(2000, 1.5, learning_rate=0.0) >> nn.scale(0.8) >> layer >> nn.dense(1, 1.2)
    )
    assert np.abs(plain(X).nngp - program(X).nngp).max() < 1e-5


def test_other_layers_between_are_refused() -> None:
    """Protects from the rule where it does not hold: the slope then depends on more than the scaled value."""
    x = nn.input(5) >> nn.dense(8)
    for between in (
        nn.bias(0.5),
        nn.sum(nn.identity(), nn.dense(8)),
        nn.dense(8) >> nn.layer_scale() >> nn.layer_scale(),
    ):
        with pytest.raises(NotGaussianError):
            (x >> nn.layer_scale() >> between >> nn.relu()).graph()
    with pytest.raises(NotGaussianError):
        (x >> nn.layer_scale() >> nn.sin()).graph()
