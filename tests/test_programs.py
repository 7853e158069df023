"""Compiled programs give the reference's numbers, on random networks and random inputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, get_args
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ntc import nn
from ntc.backends.jax.program import Program
from ntc.backends.jax.result import Kernels
from ntc.backends.reference import interpret
from ntc.compiler import build, lower
from ntc.ir import ops
from ntc.ir.graph import Graph
from ntc.ir.op import Array
from ntc.ir.platform import PLATFORMS
from ntc.ir.types import Between
from ntc.passes.fold import Fold
from ntc.passes.lower_conv import LowerConv
from ntc.passes.merge import Merge
from ntc.passes.pipeline import OPTIMIZE, run
from ntc.passes.skew import Skew
from ntc.passes.split import Split
from ntc.passes.track import Track
from ntc.passes.translate import Translate
from ntc.plan import Run, chunk, is_cross, roll
from tests.assertions import Tolerance, assert_close
from tests.networks import NETWORKS, inputs, program
from tests.strategies import examples, repetitive_graphs, tensor_graphs, trials


def reference(graph: Graph, between: Between, *arrays: Array) -> dict[str, Array]:
    """Both kernels, without any pass but the translation."""
    return interpret(Translate(dtype="f64", between=between)(graph), *arrays)


def assert_kernels(found: Kernels, expected: dict[str, Array], nngp: Tolerance, ntk: Tolerance) -> None:
    """Both kernels are the expected ones."""
    assert found.nngp is not None
    assert found.ntk is not None
    assert_close(found.nngp, expected["nngp"], nngp, scale=1e-30)
    assert_close(found.ntk, expected["ntk"], ntk, scale=1e-30)


def rounded(x: Array, dtype: str) -> Array:
    """x as a program of this type sees it."""
    return x.astype(dtype).astype(np.float64)


BETWEENS: tuple[Between, ...] = get_args(Between)
betweens = st.sampled_from(BETWEENS)
"""One kind of pairs of examples: each is a program of its own, and other networks find more than all three of one."""


def assert_program_agrees(
    graph: Graph,
    dtype: Literal["float32", "float64"],
    x1: Array,
    x2: Array,
    nngp: Tolerance,
    ntk: Tolerance,
    *kinds: Between,
) -> None:
    """These kinds of pairs of examples agree with the reference; all three if none is given."""
    x1, x2 = rounded(x1, dtype), rounded(x2, dtype)
    compiled = build(graph, dtype=dtype)
    for between in kinds or BETWEENS:
        assert_agrees(compiled, graph, between, x1, x2, nngp, ntk)


def assert_agrees(
    compiled: Program, graph: Graph, between: Between, x1: Array, x2: Array, nngp: Tolerance, ntk: Tolerance
) -> None:
    """One kind of pairs of examples agrees with the reference."""
    arrays = (x1, x2) if between == "cross" else (x1,)
    found = compiled.diagonal(x1) if between == "diagonal" else compiled(*arrays)
    assert_kernels(found, reference(graph, between, *arrays), nngp, ntk)


@trials(12)
@given(st.data())
def test_float64_in_general_position(data: st.DataObject) -> None:
    """Protects every pass and every row of the backend: 1e-10, where no two inputs are parallel."""
    graph = data.draw(tensor_graphs(least_channels=3))
    x = data.draw(examples(graph, 5, special=False))
    x1, x2 = x[:3], x[3:]
    assert_program_agrees(graph, "float64", x1, x2, "float64", "float64")


@trials(15)
@given(st.data())
def test_loops_over_lanes_and_rows(data: st.DataObject) -> None:
    """Protects groups that are computed a few lanes and rows at a time, down to one: any chunk gives 1e-10."""
    graph = data.draw(tensor_graphs(least_channels=3))
    assume(all(getattr(node.op, "w_std", 1.0) for node in graph.nodes))  # without weights all examples are equal
    x = data.draw(examples(graph, 5, special=False))
    with small_chunks(data.draw(st.sampled_from([1, 300, 2000]))):
        assert_program_agrees(graph, "float64", x[:3], x[3:], "float64", "float64", data.draw(betweens))


@contextmanager
def small_chunks(size: int) -> Iterator[None]:
    """With chunks of about `size` bytes, so that small networks have many."""
    with patch.dict(PLATFORMS, cpu=replace(PLATFORMS["cpu"], chunk_bytes=size)), patch.object(chunk, "_ROW", 1):
        yield


@trials(24)
@given(st.data())
def test_every_layout_and_lowering(data: st.DataObject) -> None:
    """Protects decisions from each other: without tracking, without skewing, with whole or split poolings, and with
    every way to sum a convolution, the program gives 1e-10."""
    graph = data.draw(tensor_graphs(least_channels=3))
    x = data.draw(examples(graph, 4, special=False))
    left_out = data.draw(st.sets(st.sampled_from([Track, Skew, Split, Merge, Fold])))
    lowering = data.draw(st.sampled_from(["separable", "direct", "matrix"]))
    passes = [pass_ for pass_ in OPTIMIZE[:-1] if type(pass_) not in left_out]
    between = data.draw(betweens)
    graphs = {
        b: run(graph, [Translate(dtype="f64", between=b), *passes, LowerConv(lowering)])
        for b in {"cross", between}  # of which a program reads its options
    }
    with small_chunks(data.draw(st.sampled_from([300, 10**6]))):
        assert_agrees(Program(graph, graphs), graph, between, x[:2], x[2:], "float64", "float64")


@trials(18)
@given(st.data())
def test_repeated_blocks_in_loops(data: st.DataObject) -> None:
    """Protects rolling: blocks that are repeated, with strides and skips around them, also a few lanes at a time."""
    graph = data.draw(repetitive_graphs())
    x = data.draw(examples(graph, 4, special=False))
    with small_chunks(data.draw(st.sampled_from([1, 300, 10**6]))):
        assert_program_agrees(graph, "float64", x[:2], x[2:], "float64", "float64", data.draw(betweens))


@trials(18)
@given(st.data())
def test_float64_at_special_inputs(data: st.DataObject) -> None:
    """Protects zero, equal, parallel and opposite inputs, where a relu has an angle of 0 or pi."""
    graph = data.draw(tensor_graphs())
    x1, x2 = (data.draw(examples(graph, n)) for n in (3, 2))
    x2[0] = x1[0]
    assert_program_agrees(graph, "float64", x1, x2, "float64", "float64 near correlation one", data.draw(betweens))


@trials(15)
@given(st.data())
def test_float32(data: st.DataObject) -> None:
    """Protects the default precision, also at special inputs; only the NTK near correlation one loses digits. Not with
    attention: its scores are exponents, whose rounding is multiplied by their size."""
    graph = data.draw(tensor_graphs(without=[ops.SelfAttention]))
    x1, x2 = (data.draw(examples(graph, n)) for n in (3, 2))
    assert_program_agrees(graph, "float32", x1, x2, "float32", "float32 near correlation one", data.draw(betweens))


@pytest.mark.parametrize("name", NETWORKS)
def test_float32_in_general_position(name: str) -> None:
    """Protects six digits of both kernels in float32 where no two inputs are parallel."""
    x1, x2 = rounded(inputs(name, 3, 0), "float32"), rounded(inputs(name, 2, 1), "float32")
    graph = NETWORKS[name].graph()
    found = program(name, "float32")
    assert_kernels(found(x1, x2), reference(graph, "cross", x1, x2), "float32", "float32")
    assert_kernels(found(x1), reference(graph, "self", x1), "float32", "float32")


@trials(10)
@given(st.data())
@pytest.mark.parametrize("name", NETWORKS)
def test_k_of_x_with_itself(name: str, data: st.DataObject) -> None:
    """Protects symmetry to the last bit, eigenvalues from zero up (to rounding), and `diagonal`."""
    x = data.draw(examples(NETWORKS[name].graph(), 5))
    found, own = program(name)(x), program(name).diagonal(x)
    for matrix, diagonal in zip(found, own, strict=True):
        assert matrix is not None
        flat = square(np.asarray(matrix))
        assert np.array_equal(flat, flat.T)
        assert np.linalg.eigvalsh(flat).min() >= -1e-7 * np.abs(flat).max()
        assert_close(np.asarray(matrix)[np.arange(5), np.arange(5)], diagonal, "float64", scale=1e-30)


def square(matrix: Array) -> Array:
    """(n, n, H, H, W, W, ...) as a square matrix over examples and positions."""
    order = (*range(0, matrix.ndim, 2), *range(1, matrix.ndim, 2))
    rows = int(np.prod(matrix.shape[::2]))
    return matrix.transpose(order).reshape(rows, rows)


@trials(10)
@given(st.data())
@pytest.mark.parametrize("name", NETWORKS)
def test_float32_matrix_of_distinct_inputs_is_positive(name: str, data: st.DataObject) -> None:
    """Protects solvers: in float32, symmetric to the last bit and no eigenvalue below -1e-5 of the largest."""
    x = data.draw(examples(NETWORKS[name].graph(), 5, special=False))
    for matrix in program(name, "float32")(x):
        flat = square(np.asarray(matrix))
        assert np.array_equal(flat, flat.T)
        values = np.linalg.eigvalsh(flat.astype(np.float64))
        assert values.min() >= -1e-5 * values.max()


@trials(10)
@given(st.data())
@pytest.mark.parametrize("name", NETWORKS)
def test_examples_are_independent(name: str, data: st.DataObject) -> None:
    """Protects batches: an entry depends on its two examples only, whatever stands beside them; bit by bit
    where the batch has the same size, as then the same instructions run."""
    graph = NETWORKS[name].graph()
    x1, x2 = data.draw(examples(graph, 4)), data.draw(examples(graph, 4))
    order = data.draw(st.permutations(range(4)))
    whole, permuted = program(name)(x1, x2), program(name)(x1[order], x2)
    halves = [program(name)(x1, x2[:2]), program(name)(x1, x2[2:])]
    for label in ("nngp", "ntk"):
        matrix = np.asarray(getattr(whole, label))
        assert np.array_equal(np.asarray(getattr(permuted, label)), matrix[order])
        joined = np.concatenate([np.asarray(getattr(half, label)) for half in halves], 1)
        assert_close(joined, matrix, "float64 near correlation one", scale=1e-30)


@trials(10)
@given(st.data())
@pytest.mark.parametrize("name", ["mlp", "cnn", "image"])
def test_exchanging_the_arguments_transposes(name: str, data: st.DataObject) -> None:
    """Protects k(x2, x1) = k(x1, x2) transposed, examples and positions."""
    graph = NETWORKS[name].graph()
    x1, x2 = data.draw(examples(graph, 4, special=False)), data.draw(examples(graph, 4, special=False))
    for one, other in zip(program(name)(x1, x2), program(name)(x2, x1), strict=True):
        assert_close(square(np.asarray(one)), square(np.asarray(other)).T, "float64")


def test_layers_without_nonlinearities_in_between() -> None:
    """Protects rolling: of a chain of convolutions, the NTK of a block reads the NNGP of the same block."""
    graph = (nn.input(4, 4, 2) >> nn.repeat(8, nn.conv(4, 3)) >> nn.global_avg_pool()).graph()
    x1, x2 = (np.random.default_rng(seed).normal(size=(2, 4, 4, 2)) for seed in (0, 1))
    assert_program_agrees(graph, "float64", x1, x2, "float64", "float64", "cross", "self")


ALIKE: dict[str, Any] = {
    "leaky_relu": lambda i: nn.conv(3, 3, w_std=1.1 + i / 20, b_std=0.1 * i) >> nn.leaky_relu(0.1 * i - 0.25),
    "erf": lambda i: (
        nn.conv(3, 3, b_std=0.3 + i / 7, learning_rate=0.5 + i / 10) >> nn.erf(1.2, 0.5 + i / 8, 0.3 * i - 0.5)
    ),
    "sin": lambda i: nn.conv(3, 3, w_std=1.1 + i / 20) >> nn.sin(1.1, 0.4 + i / 9, 0.3 + i / 5),
    "gaussian": lambda i: nn.conv(3, 3) >> nn.gaussian(1.2, -0.3 - i / 9),
    "polynomial": lambda i: nn.conv(3, 3, w_std=0.9) >> nn.polynomial((0.1 * i, 0.6, 0.2 + i / 20)),
    "dropout": lambda i: nn.conv(3, 3) >> nn.relu() >> nn.dropout(0.5 + i / 10),
    "layer_norm": lambda i: nn.conv(3, 3) >> nn.layer_norm(eps=0.1 + i / 9) >> nn.relu(),
    "scale": lambda i: nn.conv(3, 3) >> nn.relu() >> nn.scale(0.9 + i / 8),
    "hyper": lambda i: (
        nn.conv(3, 3, w_std=nn.hyper(0.9 + i / 20, f"w{i}"), b_std=0.1 * i) >> nn.rbf(nn.hyper(0.1 + i / 9, f"g{i}"))
    ),
}
"""Layer i of a network."""


@pytest.mark.parametrize("kind", ALIKE)
def test_layers_that_differ_in_numbers(kind: str) -> None:
    """Protects rolling, where numbers are data of a loop: every block has its own, single precision too."""
    network = nn.input(4, 2) >> nn.serial(*map(ALIKE[kind], range(5))) >> nn.conv(2, 1) >> nn.flatten() >> nn.dense(1)
    graph = network.graph()
    nodes = [node for node in lower(graph).nodes if is_cross(node)]
    assert any(item.numbers for item in roll(nodes, lower(graph).types) if isinstance(item, Run))
    x = np.random.default_rng(0).normal(size=(5, 4, 2))
    for dtype in ("float64", "float32"):
        assert_program_agrees(graph, dtype, x[:3], x[3:], dtype, dtype, "cross", "self")


@pytest.mark.parametrize("between", get_args(Between))
def test_values_are_read_at_fewer_offsets_than_they_have(between: Between) -> None:
    """Protects entrywise ops on a value that another reader needs at more offsets: a layer with a bias, whose reader
    needs positions with themselves alone."""
    alone = nn.serial(nn.dense(3, 1.3, 0.7), nn.relu(), nn.conv_local(2, 1))
    network = nn.input(4, 2) >> nn.sum(alone, nn.conv(2, 3))
    x = np.random.default_rng(0).normal(size=(5, 4, 2))
    assert_program_agrees(network.graph(), "float64", x[:3], x[3:], "float64", "float64", between)
