"""Layers without a rule: their finite networks, and what is said where kernels are asked for."""

from __future__ import annotations

import json
import pickle  # noqa: TID251  # what users do
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntc import nn, stax
from ntc.backends.reference import interpret
from ntc.compiler import build, lower
from ntc.errors import ParameterError, ShapeError, UnsupportedError
from ntc.finite import monte_carlo_kernel_fn
from ntc.frontend.elaborate import read_graph
from ntc.frontend.layers import Layer
from ntc.ir.op import Array
from ntc.ir.ops import Softmax
from ntc.ir.parser import parse_graph
from ntc.ir.printer import show
from ntc.ir.types import Distribution
from ntc.passes.translate import Translate
from tests.assertions import assert_close
from tests.command_line import run

IMAGE = nn.input(4, 4, 3)
X = np.random.default_rng(0).normal(size=(5, 4, 4, 3))


def pooled(x: Array) -> Array:
    return x.reshape(len(x), 2, 2, 2, 2, -1).max((2, 4))


def padded(x: Array) -> Array:
    wide = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=-np.inf)
    taps = [wide[:, i : i + 4, j : j + 4] for i in range(3) for j in range(3)]
    return np.asarray(np.max(taps, 0))


def circular(x: Array) -> Array:
    return np.asarray(np.max([np.roll(x, (-i, -j), (1, 2)) for i in range(2) for j in range(2)], 0))


def normalized(x: Array) -> Array:
    return np.asarray((x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-3))


def softmax(x: Array) -> Array:
    return np.asarray(np.exp(x) / np.exp(x).sum(-1, keepdims=True))


FORWARD: dict[str, tuple[Layer, Callable[[Array], Array]]] = {
    "max_pool": (nn.max_pool(2), pooled),
    "max_pool_same": (nn.max_pool(3, 1, "same"), padded),
    "max_pool_circular": (nn.max_pool(2, 1, "circular"), circular),
    "softmax": (nn.softmax(), softmax),
    "log_softmax": (nn.log_softmax(), lambda x: np.log(softmax(x))),
    "batch_norm": (nn.batch_norm(eps=1e-3), normalized),
    "batch_norm_test": (nn.batch_norm("test", 2.0, 0.5), lambda x: x / np.sqrt(2.5)),
}


@pytest.mark.parametrize("name", FORWARD)
def test_finite_layers_are_the_definition(name: str) -> None:
    """Protects forward passes, against NumPy."""
    layer, expected = FORWARD[name]
    program = build(IMAGE >> layer, dtype="float64")
    assert_close(np.asarray(program.apply({}, X)), expected(X), "float64")


@pytest.mark.parametrize("name", FORWARD)
def test_layers_of_stax_are_the_same(name: str) -> None:
    """Protects `ntc.stax`: the names of its layers, their defaults, and channels elsewhere."""
    axes: dict[str, Any] = {"batch_axis": 0, "channel_axis": 1}
    layer = {
        "max_pool": lambda: stax.MaxPool((2, 2), (2, 2), **axes),
        "max_pool_same": lambda: stax.MaxPool((3, 3), None, "SAME", **axes),
        "max_pool_circular": lambda: stax.MaxPool((2, 2), padding="CIRCULAR", **axes),
        "softmax": lambda: stax.Softmax(**axes),
        "log_softmax": lambda: stax.LogSoftmax(**axes),
        "batch_norm": lambda: stax.BatchNorm(eps=1e-3, **axes),
        "batch_norm_test": lambda: stax.BatchNorm("test", 2.0, 0.5, **axes),
    }[name]()
    x = jnp.asarray(np.moveaxis(X, -1, 1), jnp.float32)
    shape, params = layer[0](jax.random.key(0), x.shape)
    y = layer[1](params, x)
    assert y.shape == shape
    assert_close(np.moveaxis(np.asarray(y), 1, -1), FORWARD[name][1](X), "float32")
    if name != "batch_norm_test":
        with pytest.raises(NotImplementedError, match="has no closed form"):
            layer[2](x, None, "nngp")


REFUSED = {
    "max_pool(2)": ("as many dimensions as a window has entries", "avg_pool"),
    "batch_norm": ("depends on all others of the batch", "layer_norm"),
    "softmax": ("mixes few outputs", "ntc predict"),
    "log_softmax": ("mixes few outputs", "ntc predict"),
}


@pytest.mark.parametrize("layer", REFUSED)
def test_kernels_are_refused_where_the_layer_is_written(layer: str) -> None:
    """Protects from a wrong number: why there is none, at its line, and what would do; and the finite network with
    other layers above, of which a nonlinearity would not stand on a value of unknown law otherwise."""
    text = f"model m = input(4, 4, 3)\n  |> conv(8, 3)\n  |> {layer} |> relu |> flatten |> dense(2)\n"
    program = build(read_graph(text, "m.nt"))
    for kernels in (lambda: program(X), lambda: program.diagonal(X), lambda: lower(program.network)):
        with pytest.raises(UnsupportedError, match=REFUSED[layer][0]) as caught:
            kernels()
        assert caught.value.location is not None
        assert caught.value.location.line == 3
        assert REFUSED[layer][1] in str(caught.value)
        assert "--monte-carlo" in str(caught.value)
    params = program.init(jax.random.key(0))
    assert program.apply(params, X).shape == (5, 2)
    assert program.network.tensor_of("relu1").distribution is Distribution.FINITE


def test_graphs_survive_text_and_programs_pickling() -> None:
    """Protects what finite networks are sent as."""
    program = build(IMAGE >> nn.conv(8, 3) >> nn.max_pool(2) >> nn.relu(), dtype="float64")
    assert parse_graph(show(program.network)) == program.network
    again = pickle.loads(pickle.dumps(program))
    params = again.init(jax.random.key(0))
    assert_close(np.asarray(again.apply(params, X)), np.asarray(program.apply(params, X)), "float64")


def test_batch_norm_of_fixed_statistics_is_a_scale() -> None:
    """Protects inference: both kernels are divided by the variance, and a nonlinearity may follow."""
    below = IMAGE >> nn.conv(8, 3)
    plain, scaled = (
        interpret(Translate(dtype="f64", between="self")(x.graph()), X)
        for x in (below, below >> nn.batch_norm("test", 2.0, 0.5))
    )
    for label, value in plain.items():
        assert_close(scaled[label], value / 2.5, "rounding")
    assert build(below >> nn.batch_norm("test") >> nn.relu()).graphs["cross"].nodes


def test_monte_carlo_kernels_of_programs() -> None:
    """Protects what the error says would do: of a layer whose kernel is known otherwise, the estimate is that kernel
    within five standard errors: max pooling of equal pixels is nothing."""
    x = np.repeat(np.random.default_rng(1).normal(size=(3, 1, 3)), 2, 1)
    network = nn.input(2, 3) >> nn.dense(32) >> nn.max_pool(2) >> nn.flatten() >> nn.dense(1)
    expected = build(nn.input(2, 3) >> nn.dense(32) >> nn.avg_pool(2) >> nn.flatten() >> nn.dense(1))(x)
    program = build(network)
    kernel_fn = monte_carlo_kernel_fn(
        lambda key, shape: (None, program.init(key)), program.apply, jax.random.key(0), 200, standard_error=True
    )
    estimate = kernel_fn(jnp.asarray(x, jnp.float32), None, ("nngp", "ntk"))
    for label in ("nngp", "ntk"):
        error = np.asarray(getattr(estimate.mean, label)) - np.asarray(getattr(expected, label))
        assert (np.abs(error) <= 5 * np.asarray(getattr(estimate.standard_error, label))).all()


def test_the_command_line_estimates(tmp_path: Path) -> None:
    """Protects `ntc kernel --monte-carlo`: estimates with standard errors of a network without kernels, the same of one
    seed, until a precision is reached; and of one with kernels, estimates of these."""
    (tmp_path / "m.nt").write_text("model m = input(4, 3) |> dense(16) |> max_pool(4) |> relu |> flatten |> dense(1)")
    (tmp_path / "k.nt").write_text("model k = input(4, 3) |> dense(16) |> relu |> flatten |> dense(1)")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(3, 4, 3)).astype("f4"))
    refused = run(tmp_path, "kernel m.nt --x1 x.npy -o a.npz", status=1).stderr
    assert "m.nt:1:39" in refused
    assert "ntc kernel --monte-carlo 500" in refused
    shown = run(tmp_path, "kernel m.nt --x1 x.npy -o a.npz --monte-carlo 64 --json").stdout
    again = run(tmp_path, "kernel m.nt --x1 x.npy -o b.npz --monte-carlo 64 --kernel ntk").stdout
    assert "of 64 networks" in again
    first, second = np.load(tmp_path / "a.npz"), np.load(tmp_path / "b.npz")
    assert set(first) == {"nngp", "ntk", "nngp_standard_error", "ntk_standard_error"}
    assert_close(second["ntk"], first["ntk"], "float32")
    errors = json.loads(shown)["standard_errors"]
    assert errors["ntk"] == pytest.approx(first["ntk_standard_error"].max() / np.abs(first["ntk"]).max())
    precise = run(tmp_path, "kernel m.nt --x1 x.npy -o c.npz --monte-carlo 500 --precision 0.9 --json").stdout
    assert json.loads(precise)["networks"] == 16
    run(tmp_path, "kernel k.nt --x1 x.npy -o d.npz --monte-carlo 100 --seed 3 --dtype float64")
    found, exact = np.load(tmp_path / "d.npz"), build(read_graph((tmp_path / "k.nt").read_text()))
    kernels = exact(np.load(tmp_path / "x.npy"))
    for label in ("nngp", "ntk"):
        assert found[label].dtype == np.float64
        error = np.abs(found[label] - getattr(kernels, label))
        assert (error <= 5 * found[f"{label}_standard_error"]).all()
    for options in ("--precision 0.1", "--seed 1", "--monte-carlo 9 --store s.zarr", "--monte-carlo 9 --memory 1"):
        run(tmp_path, f"kernel k.nt --x1 x.npy -o e.npz {options}", status=2)


def test_softmax_is_a_word_and_a_layer() -> None:
    """Protects the language: the mechanism of attention, and a layer wherever one is meant."""
    texts = ["|> softmax", "|> softmax()", "|> product(identity, softmax)", "|> repeat(1, softmax)"]
    for text in texts:
        graph = read_graph(f"model m = input(4, 3) |> self_attention(3, 2, 2, 2, mechanism = softmax) {text}")
        assert any(node.op == Softmax() for node in graph.nodes)
        assert all(node.location is not None for node in graph.nodes)


def test_mistakes_are_named() -> None:
    """Protects messages: a pool without positions, and a precision that is none, of a network without kernels."""
    with pytest.raises(ShapeError, match="max_pool: its input has no spatial axes"):
        (nn.input(3) >> nn.max_pool(2)).graph()
    with pytest.raises(ParameterError, match="dtype should be float32 or float64"):
        build(IMAGE >> nn.max_pool(2), dtype="float16")  # type: ignore[arg-type]
