"""Runs benchmarks and prints their tables.

    python -m benchmarks [NAME ...] [--quick]

Without names, all; peer:CASE is one case beside Neural Tangents, whose environment `make bench` makes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks import (
    accelerators,
    accuracy,
    chunk_size,
    conv_lowering,
    dense,
    device,
    devices,
    duals,
    finite,
    first_call,
    gradients,
    jobs,
    networks,
    peer,
    price,
    scaling,
    tables,
)
from benchmarks.cases import CASES
from benchmarks.measure import environment

BENCHMARKS: dict[str, Callable[[bool], str]] = {
    "accelerators": accelerators.main,
    "accuracy": accuracy.main,
    "dense": dense.main,
    "device": device.main,
    "devices": devices.main,
    "duals": duals.main,
    "finite": finite.main,
    "first_call": first_call.main,
    "gradients": gradients.main,
    "jobs": jobs.main,
    "networks": networks.main,
    "chunk_size": chunk_size.main,
    "conv_lowering": conv_lowering.main,
    "scaling": scaling.main,
    "tables": tables.main,
    "peer": peer.main,
    "price": price.main,
    **{f"peer:{name}": partial(peer.main, names=[name]) for name in CASES},
}

ELSEWHERE = ("accelerators", "device")
"""Benchmarks that need compilers for accelerators, or one of them."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables of the benchmarks named on the command line, or of all."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="*", help=f"one of {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, without the peer; nothing is written")
    options = parser.parse_args(arguments)
    names = options.name or [name for name in BENCHMARKS if ":" not in name and name not in ELSEWHERE]
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"unknown benchmark {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    print(environment())
    for name in names:
        print(f"\n## {name}\n", flush=True)
        print(BENCHMARKS[name](options.quick), flush=True)


if __name__ == "__main__":
    main()
