"""First and later calls of `kernel_fn` of dense residual blocks through `ntc.stax`, beside Neural Tangents."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from benchmarks.cases import ROOT
from benchmarks.measure import markdown
from benchmarks.peer import peer_python

BLOCKS, REPEAT = (5, 20, 80), 50


def main() -> str:
    """A table of seconds; every measurement is a process of its own."""
    rows = []
    for blocks in BLOCKS:
        own, peer = _run(sys.executable, "ntc", blocks), _run(peer_python(), "neural_tangents", blocks)
        rows.append((blocks, own["first"], peer["first"], 1e3 * own["later"], 1e3 * peer["later"]))
    header = ("blocks", "first call s", "peer's, jitted", "later call ms", "peer's, jitted")
    return markdown(header, rows)


def _run(python: str, module: str, blocks: int) -> dict[str, float]:
    command = [python, str(ROOT / "stax_worker.py"), module, str(blocks), str(REPEAT)]
    done = subprocess.run(command, check=True, cwd=ROOT.parent, capture_output=True, text=True, env=_environment())
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _environment() -> dict[str, str]:
    """Scripts do not see the folder that they are called from."""
    return {**os.environ, "PYTHONPATH": str(ROOT.parent)}
