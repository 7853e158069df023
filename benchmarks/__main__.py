"""Runs every benchmark: python -m benchmarks [name ...]."""

from __future__ import annotations

import sys

from benchmarks import arccos, networks, tile_size
from benchmarks.measure import environment

BENCHMARKS = {"arccos": arccos.main, "networks": networks.main, "tile_size": tile_size.main}


def main() -> None:
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"unknown benchmark {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    print(environment())
    for name in names:
        print(f"\n## {name}\n", flush=True)
        print(BENCHMARKS[name](), flush=True)


main()
