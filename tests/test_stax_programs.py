"""Programs that people brought from Neural Tangents, in small: each once ran there and not here."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntc
from ntc import stax
from tests.assertions import assert_close

X1, X2 = (np.random.default_rng(seed).standard_normal((4 + seed, 3)) for seed in (0, 1))


def test_a_kernel_in_place_of_a_function() -> None:
    """Protects networks that are known by a kernel alone: its NTK is found by differentiation, here of the normalised
    exponential of Shankar et al. 2020 (arXiv:2003.02237), whose closed form is another layer."""

    def normalised(cov12: Any, var1: Any, var2: Any) -> Any:
        product = jnp.sqrt(var1 * var2)
        return product * jnp.exp(cov12 / product - 1)

    pair = stax.Elementwise(nngp_fn=normalised), stax.ExpNormalized()
    found, expected = (stax.serial(stax.Dense(1), layer, stax.Dense(1))[2] for layer in pair)
    for other in (X2, None):
        for kernel in ("nngp", "ntk"):
            assert_close(found(X1, other, kernel), expected(X1, other, kernel), "float32")


def test_a_function_in_place_of_its_kernel() -> None:
    """Protects kernels of JAX functions as scripts ask for them: they are those of the closed form."""
    pair = stax.ElementwiseNumerical(lambda x: jax.nn.gelu(x, approximate=False), deg=25), stax.Gelu()
    found, expected = (stax.serial(stax.Dense(1), layer, stax.Dense(1))[2](X1, X2) for layer in pair)
    assert_close(found.nngp, expected.nngp, "float32")
    assert_close(found.ntk, expected.ntk, "float32")


@pytest.mark.parametrize("flag", [True, False])
def test_kernels_of_test_and_training_examples_in_depth(flag: bool) -> None:
    """Protects phase diagrams of Xiao et al. 2020 (arXiv:1912.13053): the kernels between test and training examples go
    through one layer again and again, and end where the deep network does, even where they are said to be the same."""
    depth = 5
    block = (stax.Erf(), stax.Dense(1, 1.3, 0.2))
    step = jax.jit(stax.serial(*block)[2])
    test, train = X1, X2[:4]
    start = stax.Dense(1, 1.3, 0.2)[2](test, train)
    kernel = ntc.Kernel(
        start.nngp,
        start.ntk,
        cov1=start.cov1,
        cov2=start.cov2,
        x1_is_x2=flag,
        is_gaussian=True,
        shape1=(4, 9),
        shape2=(4, 9),
    )
    for _ in range(depth):
        kernel = step(kernel)
    deep = stax.serial(stax.Dense(1, 1.3, 0.2), *block * depth)[2](test, train)
    assert_close(kernel.nngp, deep.nngp, "float32")
    assert_close(kernel.ntk, deep.ntk, "float32")


def test_fixed_points_of_a_layer_by_its_derivative() -> None:
    """Protects the search for q = Q(q) by Newton's method: a layer of a one-entry kernel, differentiated in a loop."""

    def step(q: Any) -> Any:
        layer = stax.serial(stax.Erf(), stax.Dense(1, jnp.sqrt(1.7), jnp.sqrt(0.1)))[2]
        one = ntc.Kernel(q[None, None], cov1=q[None], x1_is_x2=True, is_gaussian=True, shape1=(1, 9))
        return layer(one).nngp[0, 0]

    def newton(q: Any, _: Any) -> tuple[Any, None]:
        value, slope = jax.value_and_grad(lambda x: step(x) - x)(q)
        return q - value / slope, None

    q, _ = jax.jit(lambda start: jax.lax.scan(newton, start, length=8))(jnp.asarray(1.0))
    integral = 2 / np.pi * np.arcsin(2 * q / (1 + 2 * q))  # Williams 1997, of erf
    assert float(q) == pytest.approx(1.7 * integral + 0.1, rel=1e-6)
