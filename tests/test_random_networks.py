"""Random networks of up to twelve layers: the reference, programs in float64, and the mean of finite networks agree.

The mean over finite networks of width w differs from the rule by c / w + d / w^2 + ...; of widths w and 2 w,
2 m(2 w) - m(w) leaves d / w^2, where d grows with the square of the number of random layers (Hanin and Nica 2020,
"Finite depth and width corrections to the neural tangent kernel": moments are functions of depth / width).
"""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist
from typing import Any

import jax
import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from ntc.backends.reference import interpret
from ntc.ir import ops
from ntc.ir.build import TensorGraphBuilder
from ntc.ir.graph import Graph, tensor_op
from ntc.ir.op import Array
from ntc.passes.translate import Translate
from tests.strategies import examples, tensor_graphs, trials, vars_of
from tests.test_monte_carlo import as_reference, sampled
from tests.test_programs import assert_program_agrees, betweens

WIDTH, SAMPLES = 16, 1500
FAILURES = 1e-6
"""Probability that a rule that is right fails the test for one network, by chance."""


@trials(8)
@given(st.data())
def test_deep_networks_in_float64(data: st.DataObject) -> None:
    """Protects compositions of every op: twelve layers of them agree with the reference as one does, to 1e-10."""
    graph = data.draw(tensor_graphs(most_steps=12, least_steps=7, most_positions=12, least_channels=3))
    x = data.draw(examples(graph, 4, special=False))
    assert_program_agrees(graph, "float64", x[:2], x[2:], "float64", "float64", data.draw(betweens))


def widened(graph: Graph, factor: int) -> Graph:
    """The same network with `factor` times as many channels in every layer with weights, and a readout above it, whose
    channels are alike, as those of `concat` are not."""
    type_ = graph.tensor_of(graph.inputs[0].name)
    builder = TensorGraphBuilder(type_.spatial, type_.channels)
    names = {graph.inputs[0].name: builder.input}
    for node in graph.nodes:
        op = tensor_op(node)
        sizes: Any = {name: factor * size for name, size in vars_of(op).items() if name in ("features", "channels")}
        names[node.name] = builder.append(replace(op, **sizes), [names[x] for x in node.operands])
    readout = builder.append(ops.Dense(4, 1.2, 0.3), [names[graph.outputs[-1].value]])
    return builder.finish(graph.name, readout)


def residuals(graph: Graph, x: Array, seed: int) -> list[tuple[Array, Array]]:
    """What each kernel of random finite networks has more than the rule says, (samples, n, m, ...); and the rule."""
    expected = interpret(Translate(dtype="f64", between="self")(graph), x)
    with jax.enable_x64(True):
        found = sampled(graph, x, SAMPLES, seed)
    rules = expected["nngp"], expected["ntk"]
    return [(as_reference(np.asarray(v)) - rule, rule) for v, rule in zip(found, rules, strict=True)]


@trials(3)
@given(st.data())
def test_finite_networks_converge_to_the_rules(data: st.DataObject) -> None:
    """Protects the limit itself, for compositions of any layers: without attention, whose score has widths of its
    own."""
    graph = data.draw(
        tensor_graphs(most_steps=12, least_steps=4, most_positions=4, least_channels=2, without=[ops.SelfAttention])
    )
    assume(all(graph.tensor_of(graph.outputs[-1].value).spatial))  # some positions are left
    mixed = [node for node in graph.nodes if isinstance(node.op, ops.Dense) and node.op.axis is not None]
    assume(not mixed)  # their limit is one of many positions
    x = data.draw(examples(graph, 2, special=False))
    narrow, wide = (residuals(widened(graph, factor), x, factor) for factor in (WIDTH, 2 * WIDTH))
    layers = 1 + sum(tensor_op(node).has_weights for node in graph.nodes)
    for one, other in zip(narrow, wide, strict=True):
        assert_small(2 * other[0] - one[0], scale=np.abs(one[1]).max(), bias=(layers / WIDTH) ** 2)


def assert_small(residual: Array, scale: float, bias: float) -> None:
    """Fails unless the mean of samples is zero up to chance, to `bias` and to rounding, both relative to `scale`.

    The bound of chance is that which one of the entries of both kernels exceeds with probability FAILURES.
    """
    error = np.abs(residual.mean(0))
    standard = residual.std(0, ddof=1) / np.sqrt(len(residual))
    deviations = NormalDist().inv_cdf(1 - FAILURES / (2 * 2 * error.size))
    limit = deviations * standard + (bias + 1e-10) * scale
    assert np.all(error <= limit), (
        f"{np.max(error / limit):.2f} of the bound; {np.max(error) / scale:.2g} of the kernel"
    )
