"""Time to compile, and time per pair of examples, of the example networks; and what tracking diagonals saves."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

import ntc
from benchmarks.measure import markdown, measure
from ntc.backends.jax.program import Program
from ntc.compiler import lower
from ntc.ir.graph import Graph
from ntc.ir.op import covariance
from ntc.passes.pipeline import OPTIMIZE, run
from ntc.passes.track import Track
from ntc.passes.translate import Translate

EXAMPLES = Path(__file__).parents[1] / "examples"
NETWORKS: tuple[tuple[str, str | None, dict[str, str], int], ...] = (
    ("digits_fc.nt", None, {}, 500),
    ("digits_conv.nt", None, {}, 200),
    ("digits_cnn.nt", None, {}, 64),
    ("conv.nt", None, {}, 8),
    ("myrtle.nt", "myrtle5", {}, 1),
    ("wrn.nt", None, {"n": "1"}, 1),
)
"""File, model, parameters, number of examples on each side."""

LARGEST = 4e6
"""Entries of one value, per pair of examples, that are still run without tracking."""


def main(quick: bool = False) -> str:
    """One row per network, float32, both kernels."""
    rows: list[tuple[object, ...]] = []
    for file, model, parameters, most in NETWORKS[:2] if quick else NETWORKS:
        n = 2 if quick else most
        graph = ntc.load_graph(EXAMPLES / file, model, parameters)
        type_ = graph.tensor_of(graph.inputs[0].name)
        x = np.random.default_rng(0).normal(size=(2, n, *type_.spatial, type_.channels)).astype(np.float32)
        tracked, dense = ntc.build(graph), untracked(graph)
        own = measure(partial(tracked, x[0], x[1]), repeat=2)
        ratio: object = "too large to run"
        if max(covariance(node.type).entries for node in dense.graphs["cross"].nodes) < LARGEST:
            ratio = measure(partial(dense, x[0], x[1]), repeat=1).warm / own.warm
        rows.append((graph.name, n, len(graph.nodes), own.first - own.warm, own.warm / n**2 * 1e3, ratio))
    header = ("network", "examples", "layers", "compile s", "ms per pair", "slower if every entry is tracked")
    return markdown(header, rows)


def untracked(graph: Graph) -> Program:
    """The program without the tracking pass."""
    passes = [pass_ for pass_ in OPTIMIZE if not isinstance(pass_, Track)]
    graphs = {"cross": run(graph, [Translate(), *passes])}
    has_positions = any(covariance(node.type).spatial for node in graphs["cross"].nodes)
    assert lower(graph) != graphs["cross"] or not has_positions
    return Program(graph, graphs)  # type: ignore[arg-type]
