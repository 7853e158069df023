"""First and later calls of small networks through `ntc.stax`, beside Neural Tangents: ten examples, as in searches.

The first call compiles. Neural Tangents computes op by op unless a call is jitted, so that both of its ways are shown.
"""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.cases import ROOT
from benchmarks.measure import markdown
from benchmarks.peer import peer_python, with_path

CASES = {
    "blocks5": ("5 residual blocks", 10),
    "blocks20": ("20 residual blocks", 10),
    "blocks80": ("80 residual blocks", 5),
    "scales": ("15 layers, every one with its own scales", 10),
    "attention": ("masked attention, trained networks", 3),
    "fourth_derivative": ("fourth derivative by the input, two gelu layers", 1),
}
"""What they are called, and how many later calls are measured."""


def main(quick: bool = False) -> str:
    """A table; every measurement is a process of its own. `quick` is without the peer."""
    rows: list[tuple[object, ...]] = []
    for case, (title, repeat) in {"blocks2": ("2 residual blocks", 2)}.items() if quick else CASES.items():
        own = _run(sys.executable, "ntc", case, "called", repeat)
        modes = () if quick else ("called", "jitted")
        called, jitted = (
            [_run(peer_python(), "neural_tangents", case, mode, repeat) for mode in modes] if modes else ({}, {})
        )
        shown = [x.get("first", "") for x in (own, called, jitted)]
        later = [1e3 * x["later"] if x else "" for x in (own, called, jitted)]
        rows.append((title, *shown, *later))
    header = (
        "what",
        "first call s",
        "peer's, called",
        "peer's, jitted",
        "later call ms",
        "peer's, called",
        "peer's, jitted",
    )
    return markdown(header, rows)


def _run(python: str, module: str, case: str, mode: str, repeat: int) -> dict[str, float]:
    command = [python, str(ROOT / "stax_worker.py"), module, case, mode, str(repeat)]
    done = subprocess.run(command, check=True, cwd=ROOT.parent, stdout=subprocess.PIPE, text=True, env=with_path())
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
