"""Graph neural networks: patterns that are given with the examples."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import ntc
from ntc import nn
from ntc.backends.jax.inputs import Inputs
from ntc.backends.reference import interpret
from ntc.errors import InputError, ShapeError, UnsupportedError
from ntc.frontend.layers import Layer, Network
from ntc.ir.op import Array
from ntc.passes.translate import Translate
from tests.assertions import assert_close

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(5, 3, 2, 4))  # a grid that is not square
AXES = {"all": None, "rows": (0,), "columns": (1,), "columns, rows": (1, 0)}
SIZES = {"all": 6, "rows": 3, "columns": 2, "columns, rows": 6}


def patterns(size: int, count: int = 5) -> Array:
    return np.random.default_rng(1).normal(size=(count, size, size))


def aggregated(x: Array, pattern: Array, axes: tuple[int, ...] | None) -> Array:
    """The definition, written out for a grid: every vertex takes the weighted sum of its predecessors."""
    if axes == (0,):
        return np.einsum("nij,niwc->njwc", pattern, x)
    if axes == (1,):
        return np.einsum("nij,nhic->nhjc", pattern, x)
    if axes == (1, 0):
        return np.swapaxes(aggregated(np.swapaxes(x, 1, 2), pattern, None), 1, 2)
    return np.einsum("nij,nic->njc", pattern, x.reshape(len(x), -1, x.shape[-1])).reshape(x.shape)


def network(*layers: Layer) -> Network:
    return nn.input(3, 2, 4) >> nn.serial(*layers)


@pytest.mark.parametrize("name", AXES)
def test_aggregated_inputs_have_the_kernel_of_their_sums(name: str) -> None:
    """Protects which way edges go, along which axes, in the rules and in the finite layer: exact at the input."""
    pattern, axes = patterns(SIZES[name]), AXES[name]
    above = nn.serial(nn.conv(8, 3, b_std=0.3), nn.relu(), nn.global_avg_pool())
    program = ntc.build(network(nn.aggregate(axes), above), dtype="float64")
    plain = ntc.build(network(above), dtype="float64")
    sums = aggregated(X, pattern, axes)
    found, expected = program(X[:3], X[3:], pattern1=pattern[:3], pattern2=pattern[3:]), plain(sums[:3], sums[3:])
    assert_close(found.nngp, expected.nngp, "float64")
    assert_close(found.ntk, expected.ntk, "float64")
    with jax.enable_x64(True):
        y = ntc.build(network(nn.aggregate(axes)), dtype="float64").apply({}, X, pattern=pattern)
    assert_close(y, sums, "rounding")


@pytest.mark.parametrize("name", AXES)
def test_aggregation_commutes_with_layers_at_every_position(name: str) -> None:
    """Protects aggregation above random layers: without bias, dense after aggregate is aggregate after dense."""
    pattern, axes = patterns(SIZES[name]), AXES[name]
    after = ntc.build(network(nn.dense(8, 1.3), nn.aggregate(axes), nn.flatten()), dtype="float64")
    before = ntc.build(network(nn.aggregate(axes), nn.dense(8, 1.3), nn.flatten()), dtype="float64")
    for one, other in zip(after(X, pattern1=pattern), before(X, pattern1=pattern), strict=True):
        assert_close(one, other, "rounding")


def test_program_agrees_with_the_reference() -> None:
    """Protects the backend where aggregation stands between layers, for all kinds of pairs and in tiles."""
    layers = (nn.dense(8, 1.2, 0.3), nn.relu(), nn.aggregate((0,)), nn.conv(8, 3), nn.relu(), nn.aggregate((0,)))
    net = network(*layers, nn.global_avg_pool(), nn.dense(1))
    pattern = patterns(3)
    program = ntc.build(net, dtype="float64")
    packed = Inputs(net.graph(), np.float64).packed("x", X, None, pattern)
    own = interpret(Translate(dtype="f64", between="self")(net.graph()), packed)
    for found in (program(X, pattern1=pattern), program(X, pattern1=pattern, memory=20_000_000)):
        assert_close(found.nngp, own["nngp"], "float64")
        assert_close(found.ntk, own["ntk"], "float64")
    diagonal = program.diagonal(X, pattern=pattern)
    assert_close(diagonal.ntk, np.diagonal(own["ntk"]), "float64")
    cross = program(X[:2], X[2:], pattern1=pattern[:2], pattern2=pattern[2:])
    assert_close(cross.ntk, own["ntk"][:2, 2:], "float64")


def test_edges_make_a_pattern() -> None:
    """Protects lists of edges: direction, repetition and filling."""
    found = ntc.adjacency([[[0, 1], [0, 1], [2, 0]], [[1, 1], [-1, 2], [-1, -1]]], 3)
    expected = np.zeros((2, 3, 3))
    expected[0, 0, 1], expected[0, 2, 0], expected[1, 1, 1] = 2, 1, 1
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(InputError, match="vertex 3"):
        ntc.adjacency([[[0, 3]]], 3)
    with pytest.raises(InputError, match="whole numbers"):
        ntc.adjacency([[[0.5, 1.0]]], 3)


def test_errors_say_what_is_wrong() -> None:
    """Protects against patterns that would not mean what is written."""
    program = ntc.build(network(nn.aggregate()))
    with pytest.raises(InputError, match=r"needs a pattern of shape \(n, 6, 6\)"):
        program(X)
    with pytest.raises(InputError, match=r"should have shape \(5, 6, 6\)"):
        program(X, pattern1=patterns(3))
    with pytest.raises(InputError, match="no layer of the network aggregates"):
        ntc.build(network(nn.dense(3)))(X, pattern1=patterns(6))
    with pytest.raises(ShapeError, match="a layer before has moved them"):
        network(nn.avg_pool((3, 1)), nn.aggregate()).graph()
    with pytest.raises(UnsupportedError, match="the same axes"):
        network(nn.aggregate((0,)), nn.aggregate((1,))).graph()
    with pytest.raises(ShapeError, match="axes"):
        network(nn.flatten(), nn.aggregate()).graph()
