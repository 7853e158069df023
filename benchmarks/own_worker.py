"""One network in ntc, in a process of its own.

python -m benchmarks.own_worker CASE INPUTS.npz OUTPUT.npz REPEAT [DTYPE]
"""

from __future__ import annotations

import json
import sys
import time
from typing import Literal, cast

import jax
import numpy as np

import ntc
import ntc.backends.jax.program
import ntc.compiler  # both are imported when first used; the peer is imported before the clock starts too
from benchmarks.cases import CASES
from benchmarks.memory import peak_memory


def main(case: str, inputs: str, output: str, repeat: str, dtype: str = "float32") -> None:
    """Writes both kernels, and the seconds of the first call and of the best later one, to a file.

    The first begins with the tensor graph, as the peer's begins with its layers.
    """
    row = CASES[case]
    arrays = np.load(inputs)
    x1, x2 = arrays["x1"], arrays.get("x2", None)
    graph = ntc.load_graph(row.file, row.model, row.parameters)
    start = time.perf_counter()
    program = ntc.build(graph, dtype=cast(Literal["float32", "float64"], dtype))
    seconds = []
    for _ in range(1 + int(repeat)):
        kernels = jax.block_until_ready(program(x1, x2))
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    report = {
        "first": seconds[0],
        "best": min(seconds[1:], default=0.0),
        "memory": peak_memory(),
        "version": ntc.__version__,
    }
    np.savez(output, nngp=kernels.nngp, ntk=kernels.ntk, report=json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
