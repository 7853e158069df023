"""Empirical NTKs beside those of Neural Tangents and beside plain Jacobians, for widths and depths, in one run.

The structured derivatives of Neural Tangents 0.6.5 need a JAX of about 0.4.20, as they fail in 0.4.30: NTC_PEER should
name the interpreter of an environment with that.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.cases import ROOT
from benchmarks.measure import markdown
from benchmarks.peer import peer_python, with_path

_SHORT = {
    "JACOBIAN_CONTRACTION": "contraction",
    "NTK_VECTOR_PRODUCTS": "products",
    "STRUCTURED_DERIVATIVES": "structured",
    "AUTO": "auto",
    "jax.jacobian": "jax.jacobian",
}


def main(quick: bool = False) -> str:
    """Two tables: milliseconds of the fastest call, and MB of temporaries; `auto` should be no slower than the peer's
    best. `quick` runs one network, without the peer."""
    own = _process(sys.executable, "ntc", *(["quick"] if quick else []))
    peer = None if quick else _process(peer_python(), "neural_tangents")
    return f"{_times(own, peer)}\n\nTemporaries:\n\n{_memory(own)}"


def _process(python: str, library: str, *more: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "rows.json"
        command = [python, str(ROOT / "finite_worker.py"), library, str(output), *more]
        subprocess.run(command, check=True, cwd=ROOT.parent, env=with_path())
        found: dict[str, Any] = json.loads(output.read_text())
        return found


def _times(own: dict[str, Any], peer: dict[str, Any] | None) -> str:
    rows: list[tuple[object, ...]] = []
    for name, found in own.items():
        times = [1e3 * x["seconds"] for x in found.values()]
        rows.append((name, *times, *(_beside(found, peer[name]) if peer else ())))
    names = [_SHORT[how] for how in next(iter(own.values()))]
    header = ("network", *(f"{x}, ms" for x in names))
    return markdown((*header, "the peer's best, ms", "its time over auto's") if peer else header, rows)


def _beside(own: dict[str, Any], peer: dict[str, Any]) -> tuple[object, ...]:
    """The fastest way of the peer, and how much slower that is than ours."""
    best = min(peer, key=lambda how: peer[how]["seconds"])
    seconds = peer[best]["seconds"]
    return f"{1e3 * seconds:.3g} ({_SHORT[best]})", seconds / own["AUTO"]["seconds"]


def _memory(own: dict[str, Any]) -> str:
    """Of ours; the JAX that the peer needs reports none on a CPU."""
    rows: list[tuple[object, ...]] = []
    for name, found in own.items():
        rows.append((name, *(x["memory"] / 1e6 for x in found.values())))
    names = [_SHORT[how] for how in next(iter(own.values()))]
    return markdown(("network", *(f"{x}, MB" for x in names)), rows)
