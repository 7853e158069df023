"""Nonlinearities of one's own in `ntc.stax`: functions, and integrals that are given as functions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntc
from ntc import stax
from ntc.errors import InputError, ParameterError, UnsupportedError
from ntc.ir.json import to_json
from ntc.ir.printer import show
from tests.assertions import assert_close

X1 = np.random.default_rng(0).normal(size=(3, 4))
X2 = np.random.default_rng(1).normal(size=(2, 4))


def normalized(cov12: Any, var1: Any, var2: Any) -> Any:
    """The kernel of `ExpNormalized()`."""
    size = jnp.sqrt(var1 * var2)
    return size * jnp.exp(cov12 / size - 1)


def twice(*layers: Any) -> Any:
    return stax.serial(stax.Dense(3, 1.2, 0.1), *layers, stax.Dense(2), *layers)


@pytest.mark.parametrize("other", [None, X2], ids=["alone", "two"])
def test_given_integrals_are_the_kernels(other: Any) -> None:
    """Protects `Elementwise(nngp_fn=...)`: the derivative is that of the function, and all fields are right."""
    with jax.enable_x64(True):
        found = twice(stax.Elementwise(nngp_fn=normalized))[2](X1, other)
        wanted = twice(stax.ExpNormalized())[2](X1, other)
        for name in ("nngp", "ntk", "cov1", *(("cov2",) if other is not None else ())):
            assert_close(getattr(found, name), getattr(wanted, name), "rounding")


def test_given_integrals_in_transformations() -> None:
    """Protects gradients by the inputs within jax.jit, where the layer is first used."""
    wanted, found = (
        jax.jit(jax.grad(lambda x, layer=layer: twice(layer)[2](x, X2, "ntk").sum()))(X1)
        for layer in (stax.ExpNormalized(), stax.Elementwise(nngp_fn=normalized))
    )
    assert_close(found, wanted, "float32")
    traced = jax.jit(stax.serial(stax.Dense(1), stax.Elementwise(jnp.cos))[2], static_argnums=2)(X1, X2, "ntk")
    assert_close(traced, stax.serial(stax.Dense(1), stax.Cos())[2](X1, X2, "ntk"), "float32")


def test_the_derivative_that_is_given_is_used() -> None:
    """Protects `d_nngp_fn`: the NTK of one layer is the product with it."""
    layer = stax.Elementwise(nngp_fn=normalized, d_nngp_fn=lambda cov12, var1, var2: 0 * cov12 + 7.0)
    below = stax.Dense(3, 1.2, 0.1)
    found = stax.serial(below, layer)[2](X1, X2)
    assert_close(found.ntk, 7 * below[2](X1, X2, "ntk"), "float32")
    assert_close(found.nngp, stax.serial(below, stax.ExpNormalized())[2](X1, X2, "nngp"), "float32")


def test_functions_without_a_formula_have_given_integrals() -> None:
    """Protects functions that no formula is found for: relu by a comparison, with the arc-cosine kernel."""

    def relu(x: Any) -> Any:
        return jax.lax.cond(x > 0, lambda: x, lambda: 0 * x)

    def arc_cosine(cov12: Any, var1: Any, var2: Any) -> Any:
        rest = jnp.sqrt(jnp.maximum(var1 * var2 - cov12**2, 1e-30))
        return (rest + (jnp.pi - jnp.arctan2(rest, cov12)) * cov12) / (2 * jnp.pi)

    own, wanted = (stax.serial(stax.Dense(5), layer) for layer in (stax.Elementwise(relu, arc_cosine), stax.Relu()))
    assert_close(own[2](X1, X2, "ntk"), wanted[2](X1, X2, "ntk"), "float32")
    _, params = own[0](jax.random.key(0), X1.shape)
    np.testing.assert_array_equal(own[1](params, X1), wanted[1](params, X1))


def test_given_integrals_are_no_data() -> None:
    """Protects files: a function is named in text, equal to itself alone, and never saved."""
    layers = [stax.Elementwise(nngp_fn=normalized), stax.Elementwise(nngp_fn=lambda k, v1, v2: k)]
    programs = [stax.serial(stax.Dense(1), layer)[2].compiled(X1).program for layer in (*layers, layers[0])]
    ops = [program.network.nodes[-1].op for program in programs]
    assert ops[0] == ops[2] != ops[1]
    assert "given_activation(%dense1) {nngp_fn=<nngp_fn>, d_nngp_fn=<d_nngp_fn>}" in show(programs[0].network)
    for graph in (programs[0].network, programs[0].graphs["cross"]):
        with pytest.raises(UnsupportedError, match="is a function, and no data"):
            to_json(graph)
    with pytest.raises(UnsupportedError, match="cannot be saved"):
        ntc.save(programs[0], "never_written.ntc")


def test_what_does_not_fit_is_refused() -> None:
    """Protects against integrals of another function, of other shapes, and against layers that are nothing."""
    network = stax.serial(stax.Dense(1), stax.Elementwise(jnp.tanh, normalized))
    with pytest.raises(ParameterError, match="but the integral of fn is"):
        network[2](X1, X2, "ntk")
    with pytest.raises(ParameterError, match="fn or nngp_fn"):
        stax.Elementwise()
    two = stax.serial(stax.Dense(1), stax.Elementwise(nngp_fn=lambda k, v1, v2: jnp.stack([k, k])))
    with pytest.raises(InputError, match="nngp_fn should return one number for three numbers"):
        two[2](X1, X2, "nngp")
    init_fn, apply_fn, _ = stax.serial(stax.Dense(3), stax.Elementwise(nngp_fn=normalized))
    shape, params = init_fn(jax.random.key(0), X1.shape)
    assert shape == (3, 3)
    with pytest.raises(UnsupportedError, match="only its integrals are given"):
        apply_fn(params, X1)


@pytest.mark.parametrize("layer", [stax.Relu(), stax.Sin(), stax.serial(stax.Identity(), stax.Erf())])
def test_nonlinearities_are_functions_of_numbers(layer: Any) -> None:
    """Protects functions made of the `apply_fn` of a layer: of a number, and as nonlinearities with equal kernels."""

    def function(x: Any) -> Any:
        return layer[1]([(), ()], x)

    numbers = np.array([-0.7, 0.0, 1.3], np.float32)
    whole = layer[1]([(), ()], numbers[:, None])[:, 0]
    np.testing.assert_array_equal(layer[1]([(), ()], numbers), whole)
    np.testing.assert_array_equal([function(x) for x in numbers], whole)
    wanted = stax.serial(stax.Dense(1), layer)[2](X1, X2, "ntk")
    for own in (stax.Elementwise(function), stax.ElementwiseNumerical(function, deg=25)):
        assert_close(stax.serial(stax.Dense(1), own)[2](X1, X2, "ntk"), wanted, "float32")
