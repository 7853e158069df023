"""Runs benchmarks: python -m benchmarks [NAME ...], peer:CASE for one case beside Neural Tangents."""

from __future__ import annotations

import sys
from functools import partial

from benchmarks import (
    accuracy,
    chunk_size,
    conv_lowering,
    devices,
    duals,
    finite,
    first_call,
    gradients,
    networks,
    peer,
    price,
    scaling,
)
from benchmarks.cases import CASES
from benchmarks.measure import environment

BENCHMARKS = {
    "accuracy": accuracy.main,
    "devices": devices.main,
    "duals": duals.main,
    "finite": finite.main,
    "first_call": first_call.main,
    "gradients": gradients.main,
    "networks": networks.main,
    "chunk_size": chunk_size.main,
    "conv_lowering": conv_lowering.main,
    "scaling": scaling.main,
    "peer": peer.main,
    "price": price.main,
    **{f"peer:{name}": partial(peer.main, [name]) for name in CASES},
}


def main() -> None:
    """Prints the tables of the benchmarks named on the command line, or of all."""
    names = sys.argv[1:] or [name for name in BENCHMARKS if ":" not in name]
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"unknown benchmark {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    print(environment())
    for name in names:
        print(f"\n## {name}\n", flush=True)
        print(BENCHMARKS[name](), flush=True)


main()
