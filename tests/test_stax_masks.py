"""Masks of `ntc.stax`: constants that are traced, and what goes on from kernels of masked inputs."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
import pytest

from ntc import stax
from ntc.errors import InputError
from tests.assertions import assert_close

RANDOM = np.random.default_rng(0)
SEQUENCES1 = 3 * RANDOM.normal(size=(3, 5, 2))
SEQUENCES2 = 3 * RANDOM.normal(size=(2, 5, 2))
NETWORK = stax.serial(stax.Conv(4, (3,), padding="SAME", b_std=0.1), stax.Erf(), stax.GlobalAvgPool(), stax.Dense(1))
ATTENTION = stax.serial(stax.GlobalSelfAttention(8, n_chan_key=8, n_chan_val=2, n_heads=2), stax.Flatten())


def sequences(constant: float, dtype: Any) -> list[Any]:
    """Two batches, of which some positions and one channel are missing if the type has the constant."""
    batches = [SEQUENCES1.astype(dtype), SEQUENCES2.astype(dtype)]
    for at, x in enumerate(batches):
        if constant >= 0 or np.isnan(constant):
            x[0, 3 + at :] = constant
            x[1, 1, 0] = constant
    return batches


@pytest.mark.parametrize(
    ("constant", "dtype", "network"),
    [
        (0.1, "float32", NETWORK),
        (np.nan, "float32", ATTENTION),
        (7, "int32", NETWORK),
        (-1, "uint8", ATTENTION),
    ],
)
def test_a_traced_constant_is_as_a_known_one(constant: float, dtype: str, network: Any) -> None:
    """Protects `jax.jit(kernel_fn)(x1, x2, mask_constant=c)` and finite networks: numbers are those without jit."""
    x1, x2 = sequences(constant, dtype)
    init_fn, apply_fn, kernel_fn = network
    get = ("nngp", "ntk")
    wanted = kernel_fn(x1, x2, get, mask_constant=constant)
    found = jax.jit(kernel_fn, static_argnames="get")(x1, x2, get, mask_constant=constant)
    for one, other in zip(found, wanted, strict=True):
        assert_close(one, other, "float32")
    _, params = init_fn(jax.random.key(0), x1.shape)
    applied = jax.jit(apply_fn)(params, x1, mask_constant=constant)
    assert_close(applied, apply_fn(params, x1, mask_constant=constant), "float32")


def test_gradients_and_masks_of_a_traced_constant() -> None:
    """Protects derivatives by the inputs, which are zero where something is missing, and the masks of a Kernel."""
    x1, x2 = sequences(0.1, "float32")

    def total(x: Any, constant: Any) -> Any:
        return NETWORK[2](x, x2, "ntk", mask_constant=constant).sum()

    wanted = jax.grad(total)(x1, 0.1)
    assert not wanted[0, 3:].any()
    assert wanted[0, :3].all()
    assert_close(jax.jit(jax.grad(total))(x1, 0.1), wanted, "float32")
    kernel = jax.jit(partial(stax.Dense(4)[2], x1, x2))(mask_constant=0.1)
    np.testing.assert_array_equal(kernel.mask1[..., 0], (x1 == np.float32(0.1)).all(-1))
    np.testing.assert_array_equal(kernel.mask2[..., 0], (x2 == np.float32(0.1)).all(-1))


def test_what_is_no_number_is_not_missing() -> None:
    """Protects against NaN and infinity in data, which a traced constant must not take for what it marks."""
    x = SEQUENCES1.astype("float32")
    x[0, 0, 0], x[1, 0, 0], x[2, 2] = np.nan, np.inf, 10
    found = jax.jit(partial(NETWORK[2], x, get="ntk"))(mask_constant=10.0)
    wanted = NETWORK[2](x, get="ntk", mask_constant=10)
    np.testing.assert_array_equal(np.isfinite(found), np.diag([False, False, True]))
    assert_close(found[2, 2], wanted[2, 2], "float32")


def test_whole_numbers_are_compared_as_real_ones() -> None:
    """Protects finite networks of pixels: 0.5 is not 0, and -1 is not 255."""
    init_fn, apply_fn, _ = stax.serial(stax.Flatten(), stax.Dense(3))
    x = np.array([[[0, 255], [3, 4]]], np.uint8)
    _, params = init_fn(jax.random.key(0), x.shape)
    for constant in (0.5, -1.0):
        assert_close(apply_fn(params, x, mask_constant=constant), apply_fn(params, x), "float32")


def test_infinity_marks_what_is_missing() -> None:
    """Protects constants that are infinite."""
    x = SEQUENCES1.astype("float32")
    wanted = NETWORK[2](np.where(x == x[0, 4], np.nan, x), get="ntk", mask_constant=np.nan)
    assert_close(NETWORK[2](np.where(x == x[0, 4], np.inf, x), get="ntk", mask_constant=np.inf), wanted, "float32")


def test_constants_that_are_no_numbers_are_refused() -> None:
    """Protects against a raw error of JAX."""
    with pytest.raises(InputError, match="mask_constant should be one number"):
        NETWORK[2](SEQUENCES1, get="ntk", mask_constant=np.zeros(3))
    with pytest.raises(InputError, match="mask_constant should be one number"):
        NETWORK[2](SEQUENCES1, get="ntk", mask_constant="zero")
