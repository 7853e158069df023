"""Kernels estimated from random networks: `monte_carlo_kernel_fn`."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntc
from ntc import nn
from ntc.errors import InputError, ParameterError
from ntc.finite import MonteCarloEstimate, empirical_kernel_fn

pytestmark = pytest.mark.usefixtures("no_promotion_of_ranks")
PROGRAM = ntc.build(nn.input(3) >> nn.dense(64, 1.5, 0.1) >> nn.relu() >> nn.dense(16))
X1, X2 = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
KEY = jax.random.key(7)


def init_fn(key: jax.Array, shape: tuple[int, ...]) -> tuple[tuple[int, ...], Any]:
    return (shape[0], 16), PROGRAM.init(key)


def apply_fn(params: Any, x: jax.Array) -> jax.Array:
    return PROGRAM.apply(params, x)


def sampled(n: Any, **options: Any) -> Any:
    return ntc.monte_carlo_kernel_fn(init_fn, apply_fn, KEY, n, **options)


@cache
def networks() -> list[Any]:
    """Kernels of 21 networks, one by one."""
    kernel_fn = jax.jit(lambda params: empirical_kernel_fn(apply_fn)(X1, X2, ("nngp", "ntk"), params))
    return [kernel_fn(init_fn(jax.random.split(key)[0], X1.shape)[1]) for key in jax.random.split(KEY, 21)]


def mean(name: str, count: int) -> Any:
    """Of the kernels of the first networks."""
    return np.stack([np.asarray(getattr(k, name), np.float64) for k in networks()[:count]]).mean(0)


def test_mean_and_standard_error_are_those_of_the_networks() -> None:
    """Protects the estimate, over several calls of the loop: means and standard errors are those of kernels computed
    one by one."""
    count = 21
    found = sampled(count, standard_error=True)(X1, X2)
    assert found.samples == count
    for name in ("nngp", "ntk"):
        each = np.stack([np.asarray(getattr(k, name), np.float64) for k in networks()])
        np.testing.assert_allclose(getattr(found.mean, name), mean(name, count), rtol=1e-4, atol=1e-5)
        error = each.std(0, ddof=1) / np.sqrt(count)
        np.testing.assert_allclose(getattr(found.standard_error, name), error, rtol=1e-3, atol=1e-5)


def test_estimates_agree_with_the_infinite_network() -> None:
    """Protects the meaning of the standard error: of 100 entries none is 5 of them away from the infinite network's
    (chance 6e-5), whose NNGP finite networks of one hidden layer have in the mean."""
    found = sampled(256, standard_error=True)(X1, X2, "nngp")
    right = np.asarray(PROGRAM(X1, X2).nngp)
    assert np.all(np.abs(found.mean - right) < 5 * found.standard_error)
    assert np.max(found.standard_error) < 0.1 * np.abs(right).max()


@pytest.mark.parametrize("size", [2, 7])
def test_blocks_do_not_change_the_networks(size: int) -> None:
    """Protects one initialisation per network whatever the blocks, which need not divide the examples."""
    parts = sampled(21, batch_size=size)(X1, X2)
    for name in ("nngp", "ntk"):
        np.testing.assert_allclose(getattr(parts, name), mean(name, 21), rtol=1e-4, atol=1e-5)


def test_blocks_of_a_symmetric_kernel() -> None:
    """Protects x2=None in blocks: it is x1."""
    parts, whole = (sampled(2, batch_size=size)(X1, None, "nngp") for size in (2, 0))
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


def test_a_generator_gives_running_means() -> None:
    """Protects several numbers of networks: each estimate is that of the first so many networks, the work is shared."""
    counts = (5, 21)
    for count, estimate in zip(counts, sampled(counts)(X1, X2, "ntk"), strict=True):
        np.testing.assert_allclose(estimate, mean("ntk", count), rtol=1e-4, atol=1e-5)


def test_it_stops_at_the_precision() -> None:
    """Protects the budget: fewer networks where they suffice, all of them where they do not."""
    loose = sampled(1000, standard_error=True, precision=0.3)(X1, X2, "nngp")
    assert isinstance(loose, MonteCarloEstimate)
    assert loose.samples < 100
    assert np.max(loose.standard_error) <= 0.3 * np.abs(loose.mean).max()
    assert sampled(20, standard_error=True, precision=1e-9)(X1, X2, "nngp").samples == 20


def test_keys_reach_networks_that_draw() -> None:
    """Protects dropout and the like: `rng` is another key for every network, and x1 and x2 have their own."""

    def noisy(params: Any, x: jax.Array, rng: jax.Array) -> jax.Array:
        return apply_fn(params, x) + 10 * jax.random.normal(rng, (x.shape[0], 16))

    plain = sampled(64)(X1, X2, "nngp")
    drawn = ntc.monte_carlo_kernel_fn(init_fn, noisy, KEY, 64)(X1, X2, "nngp")
    assert 0.1 < np.abs(drawn - plain).max() < 6 * 100 / np.sqrt(64 * 16)


def test_progress_and_host_arrays() -> None:
    """Protects progress, and `store_on_device`."""
    seen: list[tuple[int, int]] = []
    found = sampled(20, store_on_device=False, progress=lambda *x: seen.append(x))(X1, get="nngp")
    assert isinstance(found, np.ndarray)
    assert seen == [(0, 20), (16, 20), (20, 20)]


@pytest.mark.parametrize("n", [0, -1, 1.5, True, (), (2, 2), (3, 1)])
def test_bad_numbers_are_refused(n: Any) -> None:
    """Protects users from estimates of no networks."""
    with pytest.raises((ParameterError, TypeError)):
        sampled(n)
    with pytest.raises(ParameterError):
        sampled(1, device_count=-2)


def test_outputs_may_be_any_tree() -> None:
    """Protects networks of several outputs, and inputs that are trees."""

    def both(params: Any, x: dict[str, jax.Array]) -> dict[str, jax.Array]:
        y = apply_fn(params, x["left"] + x["right"])
        return {"y": y, "square": y**2}

    def init(key: jax.Array, shapes: Any) -> Any:
        assert shapes == {"left": X1.shape, "right": X1.shape}
        return None, PROGRAM.init(key)

    x = {"left": jnp.asarray(X1), "right": jnp.asarray(X2)}
    found = ntc.monte_carlo_kernel_fn(init, both, KEY, 3, batch_size=2)(x, None, "nngp")
    np.testing.assert_allclose(found["y"], sampled(3)(X1 + X2, None, "nngp"), rtol=1e-4)


@pytest.mark.parametrize("n", [2, 17])
@pytest.mark.parametrize("size", [0, 2])
def test_estimates_are_differentiable(n: int, size: int) -> None:
    """Protects gradients through the estimate, in one call of the loop and in several: those of the mean of kernels of
    the same networks, one by one; within `jax.jit` as without."""

    def one_by_one(x: Any) -> Any:
        kernel_fn = empirical_kernel_fn(apply_fn)
        keys = [jax.random.split(key)[0] for key in jax.random.split(KEY, n)]
        kernels = [kernel_fn(x, X2, "ntk", init_fn(key, x.shape)[1]) for key in keys]
        return jnp.sin(jnp.mean(jnp.stack(kernels), 0)).sum()

    def estimated(x: Any) -> Any:
        return jnp.sin(sampled(n, batch_size=size, store_on_device=False)(x, X2, "ntk")).sum()

    expected = jax.jit(jax.grad(one_by_one))(X1)
    scale = np.abs(expected).max()
    for gradient in (jax.grad(estimated), jax.jit(jax.grad(estimated))):
        np.testing.assert_allclose(gradient(X1), expected, rtol=0, atol=1e-4 * scale)
    with pytest.raises(InputError, match="a precision needs numbers"):
        jax.grad(lambda x: sampled(n, precision=0.1)(x, X2, "ntk").sum())(X1)


def test_one_program_for_every_number() -> None:
    """Protects time to the first estimate: networks are traced once, however many are asked for."""
    traced: list[int] = []

    def counted(params: Any, x: Any) -> Any:
        traced.append(1)
        return apply_fn(params, x)

    ntc.monte_carlo_kernel_fn(init_fn, counted, KEY, 1)(X1, None, "nngp")
    once = len(traced)
    list(ntc.monte_carlo_kernel_fn(init_fn, counted, KEY, (3, 20, 41))(X1, None, "nngp"))
    assert len(traced) == 2 * once


def test_blocks_need_axes_of_examples() -> None:
    """Protects blocks from axes that they are put together along."""
    with pytest.raises(ParameterError, match="two axes of examples"):
        sampled(1, batch_size=2, trace_axes=(0, -1))
