"""`ntc.batch`: tiles of kernel functions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntc
from ntc import stax
from ntc.errors import ParameterError
from tests.assertions import assert_close

X1 = np.random.default_rng(0).normal(size=(7, 4, 3)).astype(np.float32)
X2 = np.random.default_rng(1).normal(size=(5, 4, 3)).astype(np.float32)
NETWORK = stax.serial(stax.Aggregate(1), stax.GlobalAvgPool(), stax.Dense(1, 1.5, 0.1))


@pytest.mark.parametrize("batch_size", [0, 3])
@pytest.mark.parametrize("on_device", [True, False])
def test_tiles_are_parts_of_the_matrix(batch_size: int, on_device: bool) -> None:
    """Protects sizes that do not divide, the kernel of x1 with itself, and results that stay with the host."""
    random = np.random.default_rng(2)
    first, second = (random.integers(0, 2, size=(len(x), 4, 4)) for x in (X1, X2))
    kernel_fn = NETWORK[2]
    batched = ntc.batch(kernel_fn, batch_size, store_on_device=on_device)
    for x2, pattern in ((X2, (first, second)), (None, (first, None))):
        found = batched(X1, x2, ("nngp", "ntk"), pattern=pattern)
        for matrix, wanted in zip(found, kernel_fn(X1, x2, ("nngp", "ntk"), pattern=pattern), strict=True):
            assert_close(matrix, wanted, "float32")
            assert isinstance(matrix, jax.Array if on_device else np.ndarray)


def test_dropout_is_on_the_diagonal_alone() -> None:
    """Protects tiles of k(x, x): those between different examples are between different inputs."""
    kernel_fn = stax.serial(stax.Flatten(), stax.Dense(1), stax.Relu(), stax.Dropout(0.5), stax.Dense(1))[2]
    assert_close(ntc.batch(kernel_fn, 3)(X1, None, "nngp"), kernel_fn(X1, None, "nngp"), "float32")


def test_networks_that_keep_some_examples_are_not_cut() -> None:
    """Protects examples by their numbers, which those of a tile are not."""
    kernel_fn = stax.serial(stax.Flatten(), stax.Index(stax.Slice[::2]), stax.Dense(1), stax.Relu(), stax.Dense(1))[2]
    for other in (X2, None):
        found, whole = ntc.batch(kernel_fn, 3)(X1, other, "ntk"), kernel_fn(X1, other, "ntk")
        assert_close(found, whole, "float32")


def test_functions_of_other_kinds() -> None:
    """Protects empirical kernels: functions of x1, x2 and further arguments, without examples, and calls inside jit."""

    def kernel_fn(x1: jax.Array, x2: jax.Array | None, get: str, params: jax.Array) -> dict[str, jax.Array]:
        return {get: jnp.einsum("nij,mij,i->nm", x1, x1 if x2 is None else x2, params)}

    params = jnp.arange(4.0)
    wanted = kernel_fn(X1, X2, "ntk", params)["ntk"]
    batched = ntc.batch(kernel_fn, batch_size=3, device_count=0)
    assert_close(batched(X1, X2, "ntk", params)["ntk"], wanted, "float32")
    assert_close(jax.jit(lambda params: batched(X1, X2, "ntk", params))(params)["ntk"], wanted, "float32")


def test_wrong_sizes_are_refused() -> None:
    """Protects users: sizes below nothing, and devices that are not there."""
    kernel_fn = stax.Dense(1)[2]
    for given in ({"batch_size": -1}, {"batch_size": 2.5}, {"device_count": -2}, {"device_count": 4096}):
        with pytest.raises(ParameterError, match=next(iter(given))):
            ntc.batch(kernel_fn, **given)  # type: ignore[arg-type]
