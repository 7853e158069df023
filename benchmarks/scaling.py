"""How time grows with the number of examples, with the side of images, and with depth. Draws scaling.png."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

import ntc
from benchmarks.cases import EXAMPLES, ROOT
from benchmarks.measure import markdown, measure

LONGEST = 60.0
"""Seconds of a call beyond which a curve ends."""

Point = tuple[float, float, float]
"""What is varied, seconds per call, seconds to compile."""


def main() -> str:
    """One table per curve."""
    curves = {
        "examples": _curve(EXAMPLES / "digits_cnn.nt", None, "n", (10, 30, 100, 300, 1000, 2000)),
        "side": _curve(ROOT / "models.nt", "cnn_global_pool", "side", (8, 16, 24, 32, 48, 64)),
        "depth": _curve(ROOT / "models.nt", "cnn_global_pool", "depth", (5, 10, 20, 40, 80)),
    }
    found = {name: list(points) for name, points in curves.items()}
    _draw(found)
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


def _draw(curves: Mapping[str, Sequence[Point]]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    titles = {
        "examples": "digits CNN with pooling, n x n",
        "side": "21 x (conv, ReLU), global pool, 2 x 2",
        "depth": "32x32 pixels, global pool, 2 x 2",
    }
    figure, all_axes = plt.subplots(1, len(curves), figsize=(12, 3.6), constrained_layout=True)
    for axes, (name, points) in zip(all_axes, curves.items(), strict=True):
        values, run, compile_ = np.array(points).T
        axes.loglog(values, run, "o-", label="run")
        axes.loglog(values, compile_, "s--", label="compile")
        axes.set_xlabel(name)
        axes.set_title(titles[name], fontsize=9)
        axes.legend()
    all_axes[0].set_ylabel("seconds")
    figure.savefig(ROOT / "scaling.png", dpi=120)
    plt.close(figure)
