"""Empirical NTKs in blocks of examples: the numbers of the whole, in less memory, each pair of blocks once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import random
from jax.extend.core import ClosedJaxpr

from ntc.finite import NtkImplementation, empirical_ntk_fn
from ntc.finite.blocks import MEMORY_BUDGET
from tests.assertions import assert_close
from tests.marks import others_slow

pytestmark = pytest.mark.usefixtures("no_promotion_of_ranks")
EXPLICIT = [how for how in NtkImplementation if how is not NtkImplementation.AUTO]
every = pytest.mark.parametrize("how", EXPLICIT)


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def network(params: Any, x: jax.Array, gain: jax.Array) -> jax.Array:
    """(n, features) to (n, 2, 3), with one number for every example."""
    h = jnp.tanh(x @ params[0]) * gain[:, None]
    return (jnp.sin(h @ params[1])).reshape(len(x), 2, 3)


def weights(width: int = 5) -> list[jax.Array]:
    one, two = random.split(random.key(0))
    return [random.normal(one, (4, width)), random.normal(two, (width, 6))]


def batches(*sizes: int) -> tuple[list[jax.Array], list[jax.Array]]:
    keys = random.split(random.key(1), 2 * len(sizes))
    pairs = zip(keys, (*sizes, *sizes), strict=True)
    drawn = [random.normal(key, (n, 4) if i < len(sizes) else (n,)) for i, (key, n) in enumerate(pairs)]
    return drawn[: len(sizes)], drawn[len(sizes) :]


def kernel(how: NtkImplementation, axes: Any, budget: int, x1: Any, x2: Any, gain: Any) -> jax.Array:
    """Jitted, with the gain of every example as a keyword argument."""
    function = empirical_ntk_fn(network, *axes, (0, 0, {"gain": 0}), how, memory_budget=budget)
    return jax.jit(lambda p: function(x1, x2, p, gain=gain))(weights())


AXES = [((), ()), ((-1,), ()), ((-1,), (0,)), ((0, 2), (1,)), ((), (0, 2))]


@every
@pytest.mark.parametrize("axes", others_slow(AXES, AXES[1:4:2]), ids=str)
def test_blocks_are_the_whole(how: NtkImplementation, axes: Any) -> None:
    """Protects slices of examples and keyword arguments, places and mirror images of blocks, examples that are traced
    over or paired, and a last block that overlaps: 7 and 5 examples, in blocks of one (no budget suffices) and of
    several."""
    paired = 0 not in (*axes[0], *axes[1])
    (x1, x2), (gain1, gain2) = batches(7, 5 if paired else 7)
    for other, gain in ((x2, (gain1, gain2)), (None, gain1)):
        whole = kernel(how, axes, MEMORY_BUDGET, x1, other, gain)
        for budget in (1, 9000):
            found = kernel(how, axes, budget, x1, other, gain)
            assert found.shape == whole.shape
            assert_close(found, whole, "float64")


def steps(traced: ClosedJaxpr) -> list[int]:
    """Lengths of the loops of a function, outermost ones."""
    return [equation.params["length"] for equation in traced.jaxpr.eqns if equation.primitive.name == "scan"]


def test_each_pair_of_blocks_is_computed_once() -> None:
    """Protects from twice the work: of x with itself, the blocks on the diagonal and on one side of it."""
    (x1, x2), (gain1, gain2) = batches(6, 6)
    of = partial(empirical_ntk_fn, network, (), (), (0, 0, {"gain": 0}), memory_budget=1)
    assert steps(jax.make_jaxpr(lambda p: of()(x1, x2, p, gain=(gain1, gain2)))(weights())) == [36]
    assert steps(jax.make_jaxpr(lambda p: of()(x1, None, p, gain=gain1))(weights())) == [21]
    diagonal = empirical_ntk_fn(network, (), (0,), (0, 0, {"gain": 0}), memory_budget=1)
    assert steps(jax.make_jaxpr(lambda p: diagonal(x1, None, p, gain=gain1))(weights())) == [6]


@every
def test_memory_is_that_of_the_budget(how: NtkImplementation) -> None:
    """Protects the bound: temporaries of 64 examples and 30,000 weights, whose Jacobians are 92 MB, are within twice
    a budget of 4 MB, which excludes what the network itself needs."""
    params = weights(3000)
    (x,), (gain,) = batches(64)
    budget, needed = 4 * 10**6, []
    for limit in (MEMORY_BUDGET, budget):
        function = empirical_ntk_fn(network, (-1,), (), (0, 0, {"gain": 0}), how, memory_budget=limit)
        compiled = jax.jit(lambda p, f=function: f(x, None, p, gain=gain)).lower(params).compile()
        needed.append(compiled.memory_analysis().temp_size_in_bytes)
    assert needed[0] > 5 * budget
    assert needed[1] <= 2 * budget


def test_derivatives_of_a_kernel_in_blocks() -> None:
    """Protects reverse mode: a sum over the kernel has the gradient of the whole."""
    (x,), (gain,) = batches(5)

    def total(budget: int, params: Any) -> jax.Array:
        function = empirical_ntk_fn(network, (-1,), (), (0, 0, {"gain": 0}), memory_budget=budget)
        return jnp.sum(jnp.cos(function(x, None, params, gain=gain)))

    whole, found = (jax.jit(jax.grad(partial(total, budget)))(weights()) for budget in (MEMORY_BUDGET, 1))
    for a, b in zip(found, whole, strict=True):
        assert_close(a, b, "float64")
