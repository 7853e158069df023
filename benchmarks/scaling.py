"""How time grows with the number of examples, with the side of images, and with depth. Draws scaling.png."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import ntc
from benchmarks.cases import EXAMPLES, ROOT
from benchmarks.measure import markdown, measure
from benchmarks.picture import figure, keep

LONGEST = 60.0
"""Seconds of a call beyond which a curve ends."""

Point = tuple[float, float, float]
"""What is varied, seconds per call, seconds to compile."""


SIZES = {"examples": (10, 30, 100, 300, 1000, 2000), "side": (8, 16, 24, 32, 48, 64), "depth": (5, 10, 20, 40, 80)}
QUICK = {"examples": (2,), "side": (4,), "depth": (1, 2)}


def main(quick: bool = False) -> str:
    """One table per curve. The picture of a quick run is drawn, but not kept."""
    sizes = QUICK if quick else SIZES
    curves = {
        "examples": _curve(EXAMPLES / "digits_cnn.nt", None, "n", sizes["examples"]),
        "side": _curve(ROOT / "models.nt", "cnn_global_pool", "side", sizes["side"]),
        "depth": _curve(ROOT / "models.nt", "cnn_global_pool", "depth", sizes["depth"]),
    }
    found = {name: list(points) for name, points in curves.items()}
    keep(_draw(found), ROOT / "scaling.png", quick)
    return "\n\n".join(
        markdown((name, "seconds per call", "seconds to compile"), list(points)) for name, points in found.items()
    )


def _curve(file: Path, model: str | None, what: str, values: Sequence[int]) -> Iterator[Point]:
    for value in values:
        point = _point(file, model, what, value)
        yield point
        if point[1] > LONGEST:
            return


def _point(file: Path, model: str | None, what: str, value: int) -> Point:
    parameters: Mapping[str, str] = {} if what == "n" else {what: str(value)}
    graph = ntc.load_graph(file, model, parameters)
    type_ = graph.tensor_of(graph.inputs[0].name)
    n = value if what == "n" else 2
    x = np.random.default_rng(0).normal(size=(2, n, *type_.spatial, type_.channels)).astype(np.float32)
    program = ntc.build(graph)
    timing = measure(lambda: program(x[0], x[1]), repeat=1)
    return value, timing.warm, timing.first - timing.warm


def _draw(curves: Mapping[str, Sequence[Point]]) -> Any:
    titles = {
        "examples": "digits CNN with pooling, n x n",
        "side": "21 x (conv, ReLU), global pool, 2 x 2",
        "depth": "32x32 pixels, global pool, 2 x 2",
    }
    drawn = figure(12, 3.6)
    all_axes = drawn.subplots(1, len(curves))
    for axes, (name, points) in zip(all_axes, curves.items(), strict=True):
        values, run, compile_ = np.array(points).T
        axes.loglog(values, run, "o-", label="run")
        axes.loglog(values, compile_, "s--", label="compile")
        axes.set_xlabel(name)
        axes.set_title(titles[name], fontsize=9)
        axes.legend()
    all_axes[0].set_ylabel("seconds")
    return drawn
