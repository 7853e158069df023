"""Networks of several inputs, and values in between that a program returns by name."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ntc
from ntc import nn
from ntc.backends.jax import finite
from ntc.backends.reference import interpret
from ntc.compiler import lower
from ntc.errors import InputError, LimitError, NtcError, ParameterError, ShapeError, UnsupportedError
from ntc.frontend.layers import Network
from ntc.ir.graph import RESULT, Graph, kernel_label
from ntc.ir.json import from_json, to_json
from ntc.ir.op import Array
from ntc.ir.parser import parse_graph
from ntc.ir.printer import show
from ntc.ir.verify import verify
from tests.assertions import assert_close
from tests.command_line import run
from tests.strategies import trials

TEXT = """
let shared = input(4, 4, 3, name = "image") |> conv(8, 3) |> relu |> output("features")

model two =
  sum(shared |> global_avg_pool |> dense(5),
      input(7, name = "words") |> dense(5) |> output("read"))
  |> relu |> dense(2)
"""
IMAGE = nn.input(4, 4, 3, name="image") >> nn.conv(8, 3) >> nn.relu() >> nn.output("features")
WORDS = nn.input(7, name="words") >> nn.dense(5)
TWO = nn.sum(IMAGE >> nn.global_avg_pool() >> nn.dense(5), WORDS >> nn.output("read")) >> nn.relu() >> nn.dense(2)


def examples(count: int, seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {"image": rng.normal(size=(count, 4, 4, 3)), "words": rng.normal(size=(count, 7))}


def flat(x: dict[str, Array]) -> Array:
    """All inputs of every example one after another, as kernel graphs take them."""
    return np.concatenate([value.reshape(len(value), -1) for value in x.values()], axis=1)


def values(kernels: Any, label: str) -> Any:
    """The kernels of one output."""
    return kernels if label == RESULT else kernels.outputs[label]


def test_the_language_and_the_builder_agree() -> None:
    """Protects both front ends: the same inputs, layers and outputs, by the same names."""
    graph = ntc.read_graph(TEXT)
    assert [x.name for x in graph.inputs] == ["image", "words"]
    assert [x.label for x in graph.outputs] == ["features", "read", "y"]
    assert graph == TWO.graph("two")


def test_graphs_of_several_inputs_and_outputs_are_text_and_json() -> None:
    """Protects both forms of both graphs, with dots in the labels of kernels."""
    for graph in (TWO.graph(), lower(TWO.graph()), lower(TWO.graph(), "self"), lower(TWO.graph(), "diagonal")):
        assert verify(parse_graph(show(graph))) == graph
        assert from_json(to_json(graph)) == graph


def test_programs_return_every_output() -> None:
    """Protects the whole way: x1 with x2, with itself, the diagonal, and inside jit, against the reference."""
    program = ntc.build(TWO, dtype="float64")
    x1, x2 = examples(3), examples(4, 1)
    expected = interpret(lower(TWO.graph(), dtype="float64", optimize=False), flat(x1), flat(x2))
    with jax.enable_x64(True):
        inside = jax.jit(program)(tuple(x1.values()), tuple(x2.values()))
    found, own, diagonal = program(x1, x2), program(tuple(x1.values())), program.diagonal(x1)
    for label in ("features", "read", RESULT):
        for kernel in ("nngp", "ntk"):
            reference = expected[kernel_label(label, kernel)]
            for kernels in (found, inside):
                assert_close(getattr(values(kernels, label), kernel), reference, "float64")
            matrix = np.asarray(getattr(values(own, label), kernel))
            ends = np.einsum("nn...->n...", matrix)
            assert_close(getattr(values(diagonal, label), kernel), ends, "float64")


def test_an_output_is_the_network_up_to_it() -> None:
    """Protects what a name stands for."""
    x1, x2 = examples(2), examples(3, 1)
    found = ntc.build(TWO)(x1, x2).outputs["features"]
    alone = ntc.build(IMAGE)(x1["image"], x2["image"])
    for kernel in ("nngp", "ntk"):
        assert_close(getattr(found, kernel), getattr(alone, kernel), "float32")


def test_tiles_of_several_inputs() -> None:
    """Protects tiling, where the examples of all inputs are cut alike."""
    program, x = ntc.build(TWO), examples(3)
    whole, tiled = program(x), program(x, memory=1)
    for one, other in zip(jax.tree.leaves(tiled), jax.tree.leaves(whole), strict=True):
        assert_close(one, other, "float32")


@given(st.integers(1, 30), st.sampled_from(["sum", "product", "concat"]))
@trials(10)
def test_the_empirical_kernel_of_joined_inputs(seed: int, join: str) -> None:
    """Protects the rules from inputs that are not independent in what they join: of one random layer each, the
    kernel of channels is exact on average, and that of `concat` of the inputs themselves at any width."""
    left, right = nn.input(3, name="left"), nn.input(3, name="right")
    x = {
        "left": np.random.default_rng(seed).normal(size=(3, 3)),
        "right": np.random.default_rng(-seed % 99).normal(size=(3, 3)),
    }
    if join == "concat":
        network = nn.concat(left, right) >> nn.dense(2)
        gram = np.hstack([x["left"], x["right"]])
        expected = gram @ gram.T / 6
    else:
        branches = [left >> nn.dense(4), right >> nn.dense(4)]
        network = (nn.sum if join == "sum" else nn.product)(*branches)
        one, other = (v @ v.T / 3 for v in x.values())
        expected = one + other if join == "sum" else one * other
    assert_close(ntc.build(network, dtype="float64")(x).nngp, expected, "float64")


def test_inputs_of_one_name_are_one_input() -> None:
    """Protects skip connections from the input, written as two networks."""
    x = nn.input(3)
    joined = nn.sum(x >> nn.dense(4), x >> nn.dense(4) >> nn.relu() >> nn.dense(4))
    inside = nn.input(3) >> nn.sum(nn.dense(4), nn.dense(4) >> nn.relu() >> nn.dense(4))
    assert joined.graph() == inside.graph()


def test_finite_networks_return_every_output() -> None:
    """Protects the forward pass of several inputs."""
    program, x = ntc.build(TWO), examples(3)
    params = program.init(jax.random.key(0))
    found = finite.apply_all(program.network, params, {k: np.asarray(v, np.float32) for k, v in x.items()})
    assert {label: value.shape for label, value in found.items()} == {
        "features": (3, 4, 4, 8),
        "read": (3, 5),
        "y": (3, 2),
    }
    assert_close(program.apply(params, tuple(x.values())), found["y"], "float32")


def test_artifacts_keep_inputs_and_outputs(tmp_path: Any) -> None:
    """Protects compiled files, rebuilt and run as stored."""
    program, x = ntc.build(TWO), examples(3)
    ntc.save(program, tmp_path / "two.ntc")
    for trust in (False, True):
        loaded = ntc.load(tmp_path / "two.ntc", trust)
        assert loaded.inputs == ("image", "words")
        for one, other in zip(jax.tree.leaves(loaded(x)), jax.tree.leaves(program(x)), strict=True):
            assert_close(one, other, "float32")


MISTAKES: dict[str, tuple[Any, type[NtcError], str]] = {
    "mixed": (lambda: nn.sum(nn.dense(3), WORDS), ParameterError, "some of its branches begin with input"),
    "shapes": (
        lambda: nn.sum(nn.input(3) >> nn.dense(2), nn.input(4) >> nn.dense(2)).graph(),
        ShapeError,
        "input x has two shapes",
    ),
    "correlated": (
        lambda: nn.sum(nn.input(3, name="a"), nn.input(3, name="b")).graph(),
        UnsupportedError,
        "mean other than zero",
    ),
    "input name": (lambda: nn.input(3, name="a b"), ParameterError, "letters, digits and underscores"),
    "name of a layer": (
        lambda: nn.concat(nn.input(3) >> nn.dense(2), nn.input(3, name="dense1")).graph(),
        ShapeError,
        "the name of another value",
    ),
    "output name": (lambda: nn.output("a.b"), ParameterError, "letters, digits and underscores"),
    "twice": ((WORDS >> nn.output("a") >> nn.output("a")).graph, ParameterError, "another output"),
    "reserved": ((WORDS >> nn.output("y")).graph, ParameterError, "another output"),
    "pattern": (
        lambda: nn.sum(nn.input(4, 3) >> nn.aggregate() >> nn.dense(2), WORDS >> nn.dense(2)).graph(),
        UnsupportedError,
        "networks of one input",
    ),
    "pattern later": (
        lambda: nn.sum(WORDS >> nn.dense(2), nn.input(4, 3) >> nn.aggregate() >> nn.dense(2)).graph(),
        UnsupportedError,
        "networks of one input",
    ),
    "axes": (lambda: nn.sum(nn.input(2, 2, 2, 2, 3) >> nn.dense(2)).graph(), LimitError, "4 spatial axes"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake: str) -> None:
    """Protects from silent wrong numbers, and readers of messages."""
    make, error, message = MISTAKES[mistake]
    with pytest.raises(error, match=message):
        make()


WRONG: dict[str, tuple[Any, str]] = {
    "one array": (np.zeros((2, 7)), "one array for each of the inputs image, words"),
    "three arrays": ((1, 2, 3), "one array for each"),
    "names": ({"image": np.zeros((2, 4, 4, 3))}, "arrays called image, words, got image"),
    "shape": ((np.zeros((2, 4, 4, 3)), np.zeros((2, 8))), r"x1, input words, should have shape \(n, 7\)"),
    "counts": ((np.zeros((2, 4, 4, 3)), np.zeros((3, 7))), "2 of image, 3 of words"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_examples_are_named(wrong: str) -> None:
    """Protects callers: which input, what was given, what would be right."""
    given, message = WRONG[wrong]
    with pytest.raises(InputError, match=message):
        ntc.build(TWO)(given)


def test_a_dictionary_of_one_input() -> None:
    """Protects callers that name the only input."""
    program, x = ntc.build(WORDS), examples(2)["words"]
    assert_close(program({"words": x}).nngp, program(x).nngp, "exact")


def deep(network: Network, count: int) -> Graph:
    for _ in range(count):
        network = nn.sum(network >> nn.dense(3), nn.input(3, name="other") >> nn.dense(3))
    return network.graph()


def test_joins_of_networks_nest_deep() -> None:
    """Protects Python's stack: joins are written out without recursion."""
    assert len(deep(nn.input(3), 2000).nodes) == 6000


def test_the_command_line_reads_inputs_and_writes_outputs(tmp_path: Any) -> None:
    """Protects `ntc kernel` and `ntc show`: arrays by name in, matrices by name out, every input in the tree."""
    (tmp_path / "two.nt").write_text(TEXT)
    np.savez(tmp_path / "x.npz", **examples(3))
    run(tmp_path, "kernel two.nt --x1 x.npz -o k.npz")
    stored = np.load(tmp_path / "k.npz")
    assert sorted(stored) == ["features.nngp", "features.ntk", "nngp", "ntk", "read.nngp", "read.ntk"]
    assert_close(stored["features.ntk"], ntc.build(TWO)(examples(3)).outputs["features"].ntk, "float32")
    tree = run(tmp_path, "show two.nt").stdout
    assert "image  input" in tree
    assert "words  input" in tree
    assert "relu1  relu  tensor[N,4,4,8]  output features" in tree
    assert "expected image" in run(tmp_path, "kernel two.nt --x1 k.npz -o other.npz", status=1).stderr
