"""In which precision kernels are computed, by the type of the inputs and the setting of JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntc
from ntc import nn, stax

INIT_FN, APPLY_FN, KERNEL_FN = stax.serial(stax.Dense(8, 1.3, 0.1), stax.Relu(), stax.Dense(1))
NETWORK = nn.input(3) >> nn.dense(8, 1.3, 0.1) >> nn.relu() >> nn.dense(1)
TYPES = ["float64", "float32", "float16", "bfloat16", "uint8", "int8", "int32", "int64", "bool"]
types = pytest.mark.parametrize("dtype", TYPES)


def examples(dtype: str) -> Any:
    return (np.arange(12).reshape(4, 3) % 5 % 3).astype(jnp.dtype(dtype))


@types
def test_float64_wherever_it_is_enabled(dtype: str) -> None:
    """Protects the digits of scripts that enable x64: kernels are those of float64, whatever the data are."""
    with jax.enable_x64(True):
        x = examples(dtype)
        right = ntc.build(NETWORK, dtype="float64")(np.asarray(x, np.float64))
        for found in (KERNEL_FN(x, None, "ntk"), jax.jit(KERNEL_FN, static_argnames="get")(x, None, get="ntk")):
            assert found.dtype == jnp.float64
            np.testing.assert_allclose(found, right.ntk, rtol=1e-13)
        assert KERNEL_FN(x).nngp.dtype == jnp.float64
        estimate = ntc.monte_carlo_kernel_fn(INIT_FN, APPLY_FN, jax.random.PRNGKey(0), 2)(x, None, "nngp")
        assert estimate.dtype == jnp.float64
        predict = ntc.predict.gradient_descent_mse_ensemble(KERNEL_FN, x, np.ones((4, 1)), diag_reg=1e-3)
        assert predict(x_test=x, get="ntk").dtype == jnp.float64


@types
def test_every_real_type_is_an_input(dtype: str) -> None:
    """Protects data that are not float32, without x64: programs and kernel functions give those of the numbers."""
    x = examples(dtype)
    right = ntc.build(NETWORK, dtype="float64")(np.asarray(x, np.float64)).ntk
    for found in (KERNEL_FN(x, None, "ntk"), ntc.build(NETWORK)(x).ntk):
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, right, rtol=1e-6)


@types
def test_kernels_of_every_real_type_are_predicted_with(dtype: str) -> None:
    """Protects predictions with matrices of numbers that are not float32."""
    kernel = np.eye(3).astype(jnp.dtype(dtype))
    found = ntc.predict.gradient_descent_mse(kernel, jnp.ones((3, 1)), diag_reg=0.0)(None)
    assert found.dtype == (jnp.float64 if dtype == "float64" else jnp.float32)
    np.testing.assert_allclose(found, np.ones((3, 1)), rtol=1e-6)
