"""Time per pair of examples against the size of a chunk, which decides `ntc.ir.platform.Platform.chunk_bytes`."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import numpy as np

import ntc
from benchmarks.cases import CASES
from benchmarks.measure import markdown, measure
from ntc.ir.platform import PLATFORMS

NAMES = ("cnn_global_pool", "wrn", "myrtle5", "cnn_flatten")


def main(quick: bool = False) -> str:
    """One row per network, one column per size."""
    sizes = [2**9, 2**10] if quick else [2**i for i in range(4, 12)]
    header = ("network", *(f"{size} KiB" + (" (used)" if _used(size) else "") for size in sizes))
    rows = [(name, *(_time(name, size * 2**10) for size in sizes)) for name in (NAMES[-1:] if quick else NAMES)]
    return "Milliseconds per pair.\n\n" + markdown(header, list(rows))


def _used(size: int) -> bool:
    return PLATFORMS["cpu"].chunk_bytes // 2**10 == size


def _time(name: str, size: int) -> float:
    case = CASES[name]
    n = 16 if name == "cnn_flatten" else 4
    x1, x2 = np.random.default_rng(0).normal(size=(2, n, *case.shape)).astype(np.float32)
    with patch.dict(PLATFORMS, cpu=replace(PLATFORMS["cpu"], chunk_bytes=size)):
        program = ntc.build(ntc.load_graph(case.file, case.model, case.parameters))
        return measure(lambda: program(x1, x2), repeat=2).warm / n**2 * 1e3
