"""One network at one size, in its own process: python -m benchmarks.price_worker CASE N1 N2 REPEAT (N2 0: k(x, x)).

Prints seconds of the fastest call, seconds to compile, and the highest memory, as JSON.
"""

from __future__ import annotations

import json
import sys

import jax
import numpy as np

import ntc
from benchmarks.cases import CASES
from benchmarks.measure import measure
from benchmarks.memory import peak_memory


def main(case: str, n1: str, n2: str, repeat: str) -> None:
    """Runs and prints."""
    row = CASES[case]
    random = np.random.default_rng(0)
    x1 = random.standard_normal((int(n1), *row.shape), np.float32)
    x2 = random.standard_normal((int(n2), *row.shape), np.float32) if int(n2) else None
    program = ntc.build(ntc.load_graph(row.file, row.model, row.parameters))
    timing = measure(lambda: jax.block_until_ready(program(x1, x2)), int(repeat))
    found = {"seconds": timing.warm, "compile": timing.first - timing.warm, "memory": peak_memory()}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
