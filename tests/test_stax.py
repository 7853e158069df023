"""`kernel_fn` of `ntc.stax`: how it is called, which axes are which, when it compiles, what it refuses.

What the kernels are is in `test_golden.py`, which evaluates stored networks of Neural Tangents with `ntc.stax`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ntc
from ntc import nn, stax
from ntc.errors import NotGaussianError, ParameterError, UnsupportedError
from ntc.frontend.elaborate import load_graph
from ntc.ir.graph import Graph
from ntc.ir.ops import SelfAttention
from ntc.passes.translate import Translate
from ntc.stax.compiled import network
from ntc.stax.part import layouts
from tests.assertions import assert_close
from tests.golden.networks import wrn

X1 = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
X2 = np.random.default_rng(1).normal(size=(2, 6)).astype(np.float32)
IMAGES = np.random.default_rng(2).normal(size=(2, 5, 4, 3)).astype(np.float32)


def dense_network() -> Any:
    return stax.serial(stax.Dense(8, 1.3, 0.2), stax.Relu(), stax.Dense(1, 1.3, 0.2))


def graph_of(layer: Any, shape: tuple[int, ...]) -> Graph:
    """The tensor graph of a layer on inputs of this shape."""
    part = layer[2].part
    return network(part, shape, layouts(shape, part.placed))[0]


def test_networks_are_those_of_model_files() -> None:
    """Protects speed: a network in `ntc.stax` is the same graph as in the language, so it is the same program."""
    written = load_graph(Path(__file__).parents[1] / "examples" / "wrn.nt")
    translate = Translate(dtype="f32", between="cross")
    graph = replace(graph_of(wrn(stax, 4), (1, 32, 32, 3)), name=written.name)
    assert translate(graph) == translate(written)


def test_get_names_kernels_in_any_order() -> None:
    """Protects what is unpacked: one matrix for a word, a namedtuple in the order asked for, both by default."""
    kernel_fn = dense_network()[2]
    both = kernel_fn(X1, X2)
    for get in (("ntk", "nngp"), ["ntk", "nngp"]):
        ntk, nngp = found = kernel_fn(X1, X2, get)
        assert found._fields == ("ntk", "nngp")
        np.testing.assert_array_equal(ntk, both.ntk)
        np.testing.assert_array_equal(nngp, both.nngp)
    np.testing.assert_array_equal(kernel_fn(X1, X2, "ntk"), both.ntk)
    assert kernel_fn(X1, None, get="nngp").shape == (3, 3)


def test_transformations() -> None:
    """Protects scripts that jit, differentiate or map kernels, under strict rank promotion: the same numbers."""
    kernel_fn = dense_network()[2]
    with jax.numpy_rank_promotion("raise"):
        plain = kernel_fn(X1, X2, "ntk")
        assert_close(jax.jit(kernel_fn, static_argnums=(2,))(X1, X2, "ntk"), plain, "float32")
        one_by_one = jax.vmap(lambda x: kernel_fn(x[None], X2, "ntk")[0])(jnp.asarray(X1))
        assert_close(one_by_one, plain, "float32")
        direction = jnp.ones_like(X1)
        slope = jax.jvp(partial(kernel_fn, x2=X2, get="ntk"), (jnp.asarray(X1),), (direction,))[1]
        gradient = jax.grad(lambda x: kernel_fn(x, X2, "ntk").sum())(jnp.asarray(X1))
        assert_close(jnp.sum(gradient), jnp.sum(slope), "float32")
        assert abs(float(jnp.sum(slope))) > 1e-3


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_scales_may_be_differentiated(parameterization: str) -> None:
    """Protects scripts that maximise over scales of weights: a traced one gives the kernel and the finite network of
    the number, and derivatives are those of differences."""

    def layers(w_std: Any, b_std: Any) -> Any:
        dense = partial(stax.Dense, 4, w_std, b_std, parameterization=parameterization)
        return stax.serial(dense(), stax.Relu(), dense())

    def value(w_std: Any, b_std: Any) -> Any:
        init_fn, apply_fn, kernel_fn = layers(w_std, b_std)
        _, params = init_fn(jax.random.key(0), (-1, 6))
        return kernel_fn(X1.astype(np.float64), None, "ntk").sum() + apply_fn(params, X1.astype(np.float64)).sum()

    with jax.enable_x64(True):
        at, h = (jnp.array(1.4), jnp.array(0.3)), 1e-5
        traced = jax.jit(value)
        assert_close(traced(*at), value(*at), "float64")
        slopes = jax.jit(jax.grad(value, argnums=(0, 1)))(*at)
        for argument, slope in enumerate(slopes):
            up, down = (traced(*(x + sign * h * (i == argument) for i, x in enumerate(at))) for sign in (1, -1))
            np.testing.assert_allclose(slope, (up - down) / (2 * h), rtol=1e-6)


def test_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects loops over batches: a program is built for a new shape, precision or choice, and for nothing else."""
    built = []
    monkeypatch.setattr(
        "ntc.stax.compiled.build", lambda *args, **kwargs: built.append(kwargs) or ntc.build(*args, **kwargs)
    )
    kernel_fn = dense_network()[2]
    for x in (X1, X2, X1[:1]):
        kernel_fn(x, X2, "ntk")
        kernel_fn(x, None, "ntk")
    assert len(built) == 1
    kernel_fn(X1[:, :4], None, "ntk")
    kernel_fn(X1, None, "nngp")
    with jax.enable_x64(True):
        kernel_fn(X1.astype(np.float64), None, "ntk")
    assert [kwargs["dtype"] for kwargs in built] == ["float32", "float32", "float32", "float64"]


def test_precision_is_that_of_jax() -> None:
    """Protects float64: computed where it is enabled and given, and not where it is not, without a warning."""
    kernel_fn, wide = dense_network()[2], X1.astype(np.float64)
    assert kernel_fn(wide, None, "ntk").dtype == np.float32
    with jax.enable_x64(True):
        assert kernel_fn(wide, None, "ntk").dtype == np.float64
        assert kernel_fn(X1, None, "ntk").dtype == np.float32


ORDERS = [word for word in map("".join, permutations("NHWC")) if word.index("H") < word.index("W")]


@settings(max_examples=6)
@given(letters=st.sampled_from(ORDERS), readout=st.sampled_from(["flatten", "average", "none"]))
def test_axes_may_be_anywhere(letters: str, readout: str) -> None:
    """Protects `dimension_numbers`, `batch_axis` and `channel_axis`: moving axes of the input changes no kernel."""

    def kernel_fn(letters: str) -> Any:
        batch, channel = axes = letters.index("N"), letters.index("C")
        conv = stax.Conv(4, (2, 3), dimension_numbers=(letters, "HWIO", letters))
        found = [stax.FanOut(2), stax.parallel(conv, conv), stax.FanInSum(), stax.LayerNorm(channel, 1e-12, *axes)]
        found += [stax.Relu(), stax.AvgPool((2, 1), None, "VALID", False, *axes)]
        found += {"flatten": [stax.Flatten(batch)], "average": [stax.GlobalAvgPool(*axes)], "none": []}[readout]
        return stax.serial(*found)[2]

    x = np.transpose(IMAGES, ["NHWC".index(letter) for letter in letters])
    assert_close(kernel_fn(letters)(x, None, "nngp"), kernel_fn("NHWC")(IMAGES, None, "nngp"), "float32")


def test_results_and_inputs_nest() -> None:
    """Protects networks of several inputs and of several results: each result is that of its own network."""
    left, right = stax.serial(stax.Dense(4), stax.Relu()), stax.Dense(4, 1.5, 0.1)
    first, second = stax.parallel(left, right)[2]((X1, X1[:, :4]), None, ("nngp", "ntk"))
    assert_close(first.nngp, left[2](X1, None, "nngp"), "float32")
    assert_close(second.ntk, right[2](X1[:, :4], None, "ntk"), "float32")
    joined = stax.serial(stax.parallel(left, right), stax.FanInConcat(), stax.Dense(1))[2]
    assert_close(
        joined((X1, X1), (X2, X2), "nngp"), (left[2](X1, X2, "nngp") + right[2](X1, X2, "nngp")) / 2, "float32"
    )


def test_diagonal_spatial_is_the_diagonal() -> None:
    """Protects `diagonal_spatial`: entries of each position with itself."""
    kernel_fn = stax.Conv(4, (2, 2))[2]
    whole = kernel_fn(IMAGES, None, "nngp")
    found = kernel_fn(IMAGES, None, "nngp", diagonal_spatial=True)
    np.testing.assert_array_equal(found, np.einsum("nmaabb->nmab", whole))


def test_repeat_is_serial() -> None:
    """Protects `repeat`: the kernels of so many layers."""
    layer = stax.serial(stax.Erf(), stax.Dense(8, 1.2, 0.3))
    repeated, written = (
        stax.serial(stax.Dense(8), own)[2] for own in (stax.repeat(layer, 3), stax.serial(*[layer] * 3))
    )
    np.testing.assert_array_equal(repeated(X1, X2, "ntk"), written(X1, X2, "ntk"))


def test_edges_are_adjacency() -> None:
    """Protects sparse patterns: the kernel of the edges is that of their matrix, tails and heads not swapped."""
    dense, edges = np.zeros((2, 5, 5), np.float32), np.array([[[0, 1], [3, 2], [3, 2]], [[4, 0], [1, 1], [-1, 2]]])
    for example, tail, head in ((0, 0, 1), (0, 3, 2), (0, 3, 2), (1, 4, 0), (1, 1, 1)):
        dense[example, tail, head] += 1
    x = IMAGES[..., 0]
    of_dense = stax.serial(stax.Aggregate(1), stax.GlobalAvgPool())[2]
    of_edges = stax.serial(stax.Aggregate(1, implementation=stax.AggregateImplementation.SPARSE), stax.GlobalAvgPool())[
        2
    ]
    wanted = of_dense(x, x[:1], "nngp", pattern=(dense, dense[1:]))
    assert_close(of_edges(x, x[:1], "nngp", pattern=(edges, edges[1:])), wanted, "float32")
    first, second = (np.einsum("nij,nic->nc", *each) / 5 for each in ((dense, x), (dense[1:], x[:1])))
    assert_close(wanted, first @ second.T / x.shape[-1], "float32")
    traced = jax.jit(lambda edges: of_edges(x, x[:1], "nngp", pattern=(edges, edges[1:])))
    assert_close(traced(edges), wanted, "float32")


def test_functions_become_formulas() -> None:
    """Protects `Elementwise` and `ElementwiseNumerical`: a JAX function is the nonlinearity it is, and integrals that
    are given with it are used for nothing but a check."""

    def swish(x: Any) -> Any:
        return x * jax.nn.sigmoid(x)

    def arcsine(cov12: Any, var1: Any, var2: Any) -> Any:
        return 2 / jnp.pi * jnp.arcsin(2 * cov12 / jnp.sqrt((1 + 2 * var1) * (1 + 2 * var2)))

    x = graph_of(stax.serial(stax.Dense(1), stax.ElementwiseNumerical(swish, deg=25)), (1, 6)).nodes[-1]
    assert x.op == nn.activation("x * sigmoid(x)").op  # type: ignore[attr-defined]
    pairs: list[Any] = [stax.Elementwise(jax.scipy.special.erf, arcsine), stax.Erf()]
    of_formula, of_erf = (stax.serial(stax.Dense(1), own)[2](X1, X2, "ntk") for own in pairs)
    assert_close(of_formula, of_erf, "float32")
    with pytest.raises(ParameterError, match="but the integral of fn is"):
        stax.serial(stax.Dense(1), stax.Elementwise(jnp.tanh, arcsine))[2](X1, X2, "ntk")


@pytest.mark.parametrize(
    ("decay", "wanted"),
    [
        (lambda d: 1 / (1 + 2 * d), {"decay": "inverse", "decay_rate": 2.0, "embedding_std": 0.5}),
        (lambda d: 4 * np.exp(-0.3 * d), {"decay": "exponential", "decay_rate": 0.3, "embedding_std": 1.0}),
        (lambda d: d == 0, {"decay": None, "embedding_std": 0.5}),
    ],
)
def test_decays_are_recognised(decay: Callable[[Any], Any], wanted: dict[str, Any]) -> None:
    """Protects embeddings of positions: functions of the distance become the decay that they are, with its scale."""
    layer = stax.GlobalSelfAttention(4, 4, 4, 1, pos_emb_type="SUM", pos_emb_decay_fn=decay, W_pos_emb_std=0.5)
    op = graph_of(layer, (1, 5, 3)).nodes[-1].op
    assert isinstance(op, SelfAttention)
    assert {name: getattr(op, name) for name in wanted} == pytest.approx(wanted)


def test_embeddings_have_any_covariance() -> None:
    """Protects pos_emb_decay_fn, of the distance in any norm: R of embeddings is the function at every pair."""
    layer = stax.GlobalSelfAttention(
        4, 4, 4, 1, pos_emb_type="SUM", pos_emb_p_norm=1.5, pos_emb_decay_fn=lambda d: jnp.exp(-d) / (1 + d)
    )
    op = graph_of(layer, (1, 3, 2, 3)).nodes[-1].op
    assert isinstance(op, SelfAttention)
    distances = [a**1.5 + b**1.5 for a in range(3) for b in range(2)]
    assert op.decay_values == pytest.approx([np.exp(-d) / (1 + d) for d in distances], rel=1e-14)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: stax.serial(stax.Dense(1), stax.Relu(), stax.Relu())[2](X1), NotGaussianError, "not Gaussian"),
        (lambda: stax.Relu()[2](X1), NotGaussianError, "not Gaussian"),
        (lambda: stax.Dense(1)[2](X1, None, "foo"), ParameterError, "get should be"),
        (lambda: stax.Dense(1)[2](X1[0]), ParameterError, "at least two axes"),
        (lambda: stax.Dense(1)[2](X1, X1[:, :3]), ValueError, "should have shape"),
        (lambda: stax.Conv(1, (3,), padding="HALF"), ParameterError, "CIRCULAR, SAME, VALID"),
        (lambda: stax.Dropout(0.0), ParameterError, "keep"),
        (lambda: stax.Dense(1, parameterization="mean_field"), ParameterError, "parameterization"),
        (stax.serial, ParameterError, "one or more"),
        (lambda: stax.serial(stax.Dense(1), stax.Relu), ParameterError, r"write Relu\(\) in place of Relu"),
        (lambda: stax.parallel(stax.Dense(1), stax.Relu), ParameterError, r"write Relu\(\) in place of Relu"),
        (lambda: stax.serial([stax.Dense(1), stax.Relu()]), ParameterError, r"write serial\(\*layers\)"),
        (lambda: stax.repeat(stax.Dense(1)[2], 2), ParameterError, "Dense: its kernel_fn is given"),
        (lambda: stax.serial(5), ParameterError, "a layer is wanted, got 5"),
        (lambda: stax.FanInSum()[2](X1), ParameterError, "tuple"),
        (lambda: stax.Index(stax.Slice[0])[2](IMAGES), UnsupportedError, "examples"),
        (
            lambda: stax.serial(stax.Conv(1, (2, 2)), stax.GlobalAvgPool(channel_axis=1))[2](IMAGES),
            ParameterError,
            "give all layers the same axes",
        ),
        (
            lambda: stax.serial(
                stax.Dense(1, channel_axis=1), stax.GlobalSelfAttention(1, 1, 1, 1, False, channel_axis=1)
            )[2](IMAGES),
            NotImplementedError,
            "no closed form",
        ),
        (
            lambda: stax.GlobalSelfAttention(1, 1, 1, 1, pos_emb_type="SUM", pos_emb_decay_fn=lambda d: 1 - 0.1 * d)[2](
                IMAGES
            ),
            ParameterError,
            "no covariance",
        ),
    ],
)
def test_wrong_use_is_a_value_error(make: Callable[[], Any], error: type[Exception], says: str) -> None:
    """Protects scripts that catch ValueError, or NotImplementedError where there is no formula."""
    with pytest.raises(error, match=says) as caught:
        make()
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", ["Relu", "Identity", "FanInSum", "GlobalAvgPool", "serial"])
def test_layers_have_names(name: str) -> None:
    """Protects printing: each of the three functions has the name of its layer."""
    layer = stax.serial(stax.Relu()) if name == "serial" else getattr(stax, name)()
    assert {function.__name__ for function in layer} == {name}
