"""Time per pair of the ways to sum a convolution."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

import ntc
from benchmarks.cases import CASES
from benchmarks.measure import markdown, measure

Lowering = Literal["auto", "separable", "direct", "matrix"]
NAMES = ("small", "wrn", "cnn_flatten")


def main(quick: bool = False) -> str:
    """One row per network: milliseconds per pair."""
    names = NAMES[-1:] if quick else NAMES
    rows = [(name, *(_time(name, lowering) for lowering in get_args(Lowering))) for name in names]
    return "Milliseconds per pair.\n\n" + markdown(("network", *get_args(Lowering)), list(rows))


def _time(name: str, lowering: Lowering) -> float:
    case = CASES[name]
    n = 16 if name == "cnn_flatten" else 4
    x1, x2 = np.random.default_rng(0).normal(size=(2, n, *case.shape)).astype(np.float32)
    graph = ntc.load_graph(case.file, case.model, case.parameters)
    program = ntc.build(graph, conv_lowering=lowering)
    return measure(lambda: program(x1, x2), repeat=2).warm / n**2 * 1e3
