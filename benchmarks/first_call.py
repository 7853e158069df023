"""First and later calls of `kernel_fn` of dense residual blocks through `ntc.stax`, beside Neural Tangents."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.cases import ROOT
from benchmarks.measure import markdown
from benchmarks.peer import peer_python, with_path

BLOCKS, REPEAT = (5, 20, 80), 50


def main(quick: bool = False) -> str:
    """A table of seconds; every measurement is a process of its own. `quick` is without the peer."""
    rows: list[tuple[object, ...]] = []
    for blocks in (2,) if quick else BLOCKS:
        own = _run(sys.executable, "ntc", blocks, 2 if quick else REPEAT)
        peer = {} if quick else _run(peer_python(), "neural_tangents", blocks, REPEAT)
        first, later = own["first"], 1e3 * own["later"]
        rows.append((blocks, first, peer.get("first", ""), later, 1e3 * peer["later"] if peer else ""))
    header = ("blocks", "first call s", "peer's, jitted", "later call ms", "peer's, jitted")
    return markdown(header, rows)


def _run(python: str, module: str, blocks: int, repeat: int) -> dict[str, float]:
    command = [python, str(ROOT / "stax_worker.py"), module, str(blocks), str(repeat)]
    done = subprocess.run(command, check=True, cwd=ROOT.parent, stdout=subprocess.PIPE, text=True, env=with_path())
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
