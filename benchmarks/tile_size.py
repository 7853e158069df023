"""Time per pair of examples against the size of a tile, which decides `ntc.backends.jax.tiles.TILE_BYTES`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

import ntc
from benchmarks.measure import markdown, measure
from ntc.backends.jax.tiles import TILE_BYTES, Tiling

MODELS = ("digits_fc", "digits_conv", "digits_cnn")
PAIRS = {"digits_fc": (1000, 1000), "digits_conv": (500, 500), "digits_cnn": (128, 96)}
EXAMPLES = Path(__file__).parents[1] / "examples"


def main() -> str:
    """One row per model and size."""
    rows: list[tuple[object, ...]] = []
    for model in MODELS:
        program = ntc.build(ntc.load_graph(EXAMPLES / f"{model}.nt"))
        n1, n2 = PAIRS[model]
        random = np.random.default_rng(0)
        x1, x2 = (random.normal(size=(n, 8, 8, 1)).astype(np.float32) for n in (n1, n2))
        for megabytes in (1, 4, 8, 16, 32, 64, 128):
            size = megabytes * 2**20
            tiling = Tiling.choose(program.graphs["cross"], n1, n2, size)
            timing = measure(partial(program, x1, x2, tile_bytes=size), repeat=3)
            marker = " (used)" if size == TILE_BYTES["cpu"] else ""
            row = (
                model,
                f"{megabytes} MiB{marker}",
                f"{tiling.rows} x {tiling.columns}",
                timing.warm / (n1 * n2) * 1e6,
            )
            rows.append(row)
    return markdown(("model", "tile", "examples", "us per pair"), rows)
