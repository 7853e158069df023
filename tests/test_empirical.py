"""Empirical kernels of finite networks: every implementation against dense Jacobians, and stored values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

import ntc
from ntc import nn
from ntc.errors import InputError, ParameterError
from ntc.finite import (
    NtkImplementation,
    empirical_kernel_fn,
    empirical_nngp_fn,
    empirical_ntk_fn,
    empirical_ntk_vp_fn,
)
from tests.assertions import assert_close

EXPLICIT = [how for how in NtkImplementation if how is not NtkImplementation.AUTO]


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def normal(seed: int, *shape: int) -> jax.Array:
    return random.normal(random.key(seed), shape, jnp.float64)


NETWORKS: dict[str, Any] = {
    "fully connected": nn.input(5) >> nn.dense(7, b_std=0.1) >> nn.relu() >> nn.dense(3, b_std=0.2),
    "residual convolutional": nn.input(4, 4, 2)
    >> nn.conv(5, 3, b_std=0.1)
    >> nn.sum(nn.relu() >> nn.conv(5, 3), nn.identity())
    >> nn.conv(4, 2, 2)
    >> nn.flatten()
    >> nn.dense(2),
    "layer norm": nn.input(5) >> nn.dense(6) >> nn.layer_norm() >> nn.gelu() >> nn.dense(2),
    "attention": nn.input(3, 4) >> nn.conv(4, 1) >> nn.self_attention(4, 2, 2, 2) >> nn.flatten() >> nn.dense(2),
}
SHAPES = {"residual convolutional": (4, 4, 2), "attention": (3, 4)}


def shared(params: Any, x: jax.Array) -> jax.Array:
    """A weight used twice, one in a loop, one under remat, one transposed and negated, one with a batch dimension."""
    h = jnp.sin(x @ params["twice"]) @ params["twice"]
    h, _ = jax.lax.scan(lambda h, _: (jnp.tanh(h @ params["loop"]), None), h, None, length=2)
    h = jax.checkpoint(lambda h: jnp.cos(h @ params["remat"]))(h)
    h = jax.nn.softmax(h @ (-2.0 * params["moved"]).T)
    return jnp.einsum("ngi,gij->ngj", h.reshape(len(h), 2, 2), params["groups"]).reshape(len(h), -1)


def dilated(params: Any, x: jax.Array) -> jax.Array:
    """A filter of another layout than its image, which is dilated as well, and whose result has a third layout."""
    y = jax.lax.conv_general_dilated(
        x, params["filter"], (2,), [(1, 2)], (2,), (3,), dimension_numbers=("NWC", "OIW", "NCW")
    )
    return jnp.tanh(y).reshape(len(x), -1) @ params["last"]


def case(name: str) -> tuple[Callable[..., Any], Any, jax.Array, jax.Array]:
    if name == "shared":
        shapes = {"twice": (4, 4), "loop": (4, 4), "remat": (4, 4), "moved": (4, 4), "groups": (2, 2, 2)}
        params: Any = {key: normal(i, *shape) for i, (key, shape) in enumerate(shapes.items())}
        return shared, params, normal(8, 3, 4), normal(9, 2, 4)
    if name == "dilated":
        params = {"filter": normal(0, 5, 2, 3), "last": normal(1, 5 * 4, 2)}
        return dilated, params, normal(2, 3, 6, 2), normal(3, 2, 6, 2)
    program = ntc.build(NETWORKS[name], dtype="float64") if name != "attention" else None
    graph = NETWORKS[name].graph()
    params = program.init(random.key(0)) if program else ntc.finite.init(graph, random.key(0), jnp.float64)
    shape = SHAPES.get(name, (5,))
    return lambda p, x: ntc.finite.apply(graph, p, x), params, normal(1, 3, *shape), normal(2, 2, *shape)


def dense(f: Callable[..., Any], params: Any, x1: jax.Array, x2: jax.Array) -> jax.Array:
    """The definition, for outputs of two axes: (n1, n2, o1, o2)."""
    pairs = zip(*(jax.tree.leaves(jax.jacobian(f)(params, x)) for x in (x1, x2)), strict=True)
    flat = [[j.reshape(*j.shape[:2], -1) for j in pair] for pair in pairs]
    return sum((jnp.einsum("aip,bjp->abij", j1, j2) for j1, j2 in flat), jnp.zeros(()))


@pytest.mark.parametrize("name", [*NETWORKS, "shared", "dilated"])
def test_implementations_agree_with_dense_jacobians(name: str) -> None:
    """Protects every implementation on two batches, with independent examples and for "shared" without."""
    f, params, x1, x2 = case(name)
    expected = jax.jit(lambda p: dense(f, p, x1, x2))(params)
    vmap_axes = None if name == "shared" else 0

    def every(params: Any) -> list[Any]:
        return [empirical_ntk_fn(f, (), (), vmap_axes, how)(x1, x2, params) for how in EXPLICIT]

    for found in jax.jit(every)(params):
        assert_close(found, expected, "float64")


@pytest.mark.parametrize("vmap_axes", [None, 0])
def test_traces_and_diagonals_are_those_of_the_whole_kernel(vmap_axes: int | None) -> None:
    """Protects shapes, the order of axes, means over traced axes, and x2=None."""
    f, params, x1, x2 = case("fully connected")
    whole, own = dense(f, params, x1, x2), dense(f, params, x1, x1)

    def kernels(how: NtkImplementation) -> Any:
        traced, diagonal, paired = (empirical_ntk_fn(f, *axes, vmap_axes, how) for axes in ((-1, ()), ((), 1), ((), 0)))
        return traced(x1, x2, params), diagonal(x1, None, params), paired(x1[:2], x2, params)

    for how in EXPLICIT:
        traced, diagonal, paired = jax.jit(lambda how=how: kernels(how))()
        assert_close(traced, jnp.einsum("abii->ab", whole) / 3, "float64")
        assert_close(diagonal, jnp.einsum("abii->abi", own), "float64")
        assert_close(paired, jnp.einsum("aaij->aij", whole[:2]), "float64")


@pytest.mark.parametrize("how", EXPLICIT)
def test_trees_and_keywords(how: NtkImplementation) -> None:
    """Protects outputs that are trees, axes per argument, and keyword arguments of either side."""

    def f(params: Any, x: Any, gain: Any, shift: float) -> Any:
        h = x["a"] @ params[0] * gain[:, None] + shift
        return {"same": h, "moved": (jnp.tanh(h) @ params[1]).T}

    params = [normal(0, 3, 4), normal(1, 4, 2)]
    x1, x2 = {"a": normal(2, 3, 3)}, {"a": normal(3, 2, 3)}
    keywords = {"gain": (normal(4, 3), normal(5, 2)), "shift": 0.5}
    axes = ({"a": 0}, {"same": 0, "moved": 1}, {"gain": 0})

    def ntk(vmap_axes: Any, how: NtkImplementation) -> Any:
        return jax.jit(lambda p: empirical_ntk_fn(f, (), (), vmap_axes, how)(x1, x2, p, **keywords))(params)

    expected, found = ntk(None, NtkImplementation.JACOBIAN_CONTRACTION), ntk(axes, how)
    for key, shape in {"same": (3, 2, 4, 4), "moved": (2, 2, 3, 2)}.items():
        assert found[key].shape == shape
        assert_close(found[key], expected[key], "float64")


def test_one_key_is_split_unless_the_batches_are_one() -> None:
    """Protects noise: the same for x2=None, another for another batch, and as given for two keys."""
    nngp = empirical_nngp_fn(lambda params, x, rng: random.normal(rng, (len(x), 1)), ())
    x, key = normal(0, 2, 3), random.key(3)
    same = nngp(x, None, (), rng=key)[..., 0, 0]
    assert_close(same, same.T, "rounding")
    assert not np.allclose(nngp(x, x, (), rng=key)[..., 0, 0], same)
    assert_close(nngp(x, x, (), rng=(key, key))[..., 0, 0], same, "rounding")


def test_auto_returns_the_fastest_measured() -> None:
    """Protects auto: it gives the same kernel, also inside jit."""
    f, params, x1, x2 = case("fully connected")
    auto = empirical_ntk_fn(f, (), (), 0, NtkImplementation.AUTO)
    expected = dense(f, params, x1, x2)
    assert_close(jax.jit(auto)(x1, x2, params), expected, "float64")
    assert_close(auto(x1, x2, params), expected, "float64")


def test_products_with_the_kernel() -> None:
    """Protects NTK-vector products."""
    f, params, x1, x2 = case("fully connected")
    v = normal(5, 2, 3)
    expected = jnp.einsum("abij,bj->ai", dense(f, params, x1, x2), v)
    assert_close(empirical_ntk_vp_fn(f, x1, x2, params)(v), expected, "float64")


def test_a_deep_linear_network_has_the_kernel_of_its_formula() -> None:
    """Protects against an error common to all: f = x W V has the NTK x1.x2 V'V + (x1 W).(x2 W)."""
    w, v, x1, x2 = normal(0, 3, 4), normal(1, 4, 1), normal(2, 3, 3), normal(3, 2, 3)
    both = empirical_kernel_fn(lambda p, x: x @ p[0] @ p[1], vmap_axes=0, implementation=3)(x1, x2, None, (w, v))
    assert_close(both.ntk, x1 @ x2.T * jnp.sum(v**2) + x1 @ w @ (x2 @ w).T, "float64")
    assert_close(both.nngp, x1 @ w @ v @ (x2 @ w @ v).T, "float64")


def test_what_does_not_fit_is_refused() -> None:
    """Protects against a wrong number, and against an error from deep inside."""
    f, params, x1, x2 = case("fully connected")
    with pytest.raises(InputError, match="axis 5"):
        empirical_ntk_fn(f, 5)(x1, x2, params)
    with pytest.raises(InputError, match="in trace_axes and in diagonal_axes"):
        empirical_ntk_fn(f, -1, 1)(x1, x2, params)
    with pytest.raises(InputError, match="3 entries for x1 and 2"):
        empirical_ntk_fn(f, (), 0)(x1, x2, params)
    with pytest.raises(InputError, match="gain, which is not given"):
        empirical_ntk_fn(f, vmap_axes=(0, 0, {"gain": 0}))(x1, x2, params)
    with pytest.raises(InputError, match="get should be nngp, ntk"):
        empirical_kernel_fn(f)(x1, x2, "ntkk", params)
    with pytest.raises(ParameterError, match="no implementation 7"):
        empirical_ntk_fn(f, implementation=7)
