"""Side by side with Neural Tangents 0.6.5: time, compile time, memory, and whether the values agree.

Every measurement is a process of its own. The peer has an environment of its own, whose interpreter NTC_PEER names
(`make bench` makes it). Writes RESULTS.md and results.png beside this file. A quick run has two examples on each side,
is without the peer, and writes nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.cases import CASES, ROOT, Case
from benchmarks.measure import environment, markdown
from benchmarks.picture import figure, keep

TOLERANCE = 1e-4
"""Of the largest entry: how far our float32 values may be from our float64 values."""

PEER_TOLERANCE = 5e-3
"""The same for the peer's float32 values, which lose more digits where correlations are near one: on the diagonal of
k(x, x), and after many layers. In float64 the two agree to 1e-9, which the tests show."""


@dataclass(frozen=True)
class Side:
    """What one side needed.

    Attributes:
      compile: seconds of the first call beyond those of a later one, building included.
      run: seconds of the fastest call.
      memory: peak of the process, in bytes.
      values: both kernels.
    """

    compile: float
    run: float
    memory: float
    values: dict[str, npt.NDArray[Any]]

    def better(self, other: Side) -> Side:
        """The smaller of every number."""
        return Side(
            min(self.compile, other.compile), min(self.run, other.run), min(self.memory, other.memory), self.values
        )


@dataclass(frozen=True)
class Row:
    """Both sides of one case, and ours through `ntc.stax`, with the peer's own layers.

    Errors are of float32 values against our float64 values, over the largest entry; of ours the larger of both.
    """

    name: str
    case: Case
    own: Side
    peer: Side | None
    stax: Side | None
    error: float
    peer_error: float

    @property
    def pairs(self) -> int:
        """Number of entries of the kernel matrix."""
        return self.case.n1 * (self.case.n2 or self.case.n1)

    @property
    def ratio(self) -> float:
        """Time of the peer over ours; without the peer, not a number."""
        return self.peer.run / self.own.run if self.peer else float("nan")

    @property
    def stax_ratio(self) -> float:
        """Time of the peer over ours through `ntc.stax`; without the peer, not a number."""
        return self.peer.run / self.stax.run if self.peer and self.stax else float("nan")


QUICK = ("cnn_flatten", "fully_connected_self")
"""The cases of a quick run that names none."""


def main(quick: bool = False, names: Sequence[str] = ()) -> str:
    """The tables of the cases; all cases are also written to RESULTS.md and drawn."""
    if quick:
        return _tables([_row(name, CASES[name].quick(), beside=False) for name in names or QUICK])
    rows = [_row(name, CASES[name]) for name in names or CASES]
    text = _tables(rows)
    if not names:
        (ROOT / "RESULTS.md").write_text(f"# Results\n\n{environment()}\n\n{text}\n")
        _draw([row for row in rows if row.peer])
    return text


def _row(name: str, case: Case, beside: bool = True) -> Row:
    """Measures a case, `beside` the peer or alone; what the peer is measured on goes through `ntc.stax` as well."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs.npz"
        random = np.random.default_rng(0)
        shapes = {"x1": case.n1} | ({"x2": case.n2} if case.n2 else {})
        arrays = {key: random.normal(size=(n, *case.shape)).astype(np.float32) for key, n in shapes.items()}
        np.savez(inputs, **arrays)  # type: ignore[arg-type]
        own = peer = stax = None
        for _ in range(case.rounds):
            if case.peer:
                worker = str(ROOT / "peer_worker.py")
                if beside:
                    found = _run([peer_python(), worker, name], inputs, case.repeat, "neural_tangents")
                    peer = found.better(peer) if peer else found
                found = _run([sys.executable, worker, name], inputs, 3 * case.repeat, "ntc")
                stax = found.better(stax) if stax else found
            found = _run([sys.executable, "-m", "benchmarks.own_worker", name], inputs, 3 * case.repeat)
            own = found.better(own) if own else found
        exact = _run([sys.executable, "-m", "benchmarks.own_worker", name], inputs, 0, "float64")
    assert own is not None
    error = max(_distance(side, exact) for side in (own, stax) if side)
    row = Row(name, case, own, peer, stax, error, _distance(peer, exact) if peer else 0.0)
    if row.error > TOLERANCE or row.peer_error > PEER_TOLERANCE:
        raise SystemExit(f"{name}: float32 errors are {row.error:.1e}, and {row.peer_error:.1e} of the peer")
    faster = f"{row.ratio:.3g} times faster, " if peer else ""
    print(f"{name}: {faster}compile {own.compile:.2f} s", file=sys.stderr, flush=True)
    return row


def peer_python() -> str:
    """The interpreter of the peer's environment."""
    path = os.environ.get("NTC_PEER", str(ROOT.parent / ".venv-peer" / "bin" / "python"))
    if not Path(path).exists():
        raise SystemExit(f"no environment with Neural Tangents at {path}; `make bench` makes it")
    return path


def with_path() -> dict[str, str]:
    """The environment of a worker: scripts do not see the folder that they are called from."""
    return {**os.environ, "PYTHONPATH": str(ROOT.parent)}


def _run(command: list[str], inputs: Path, repeat: int, *more: str) -> Side:
    output = inputs.with_name("output.npz")
    arguments = [*command, str(inputs), str(output), str(repeat), *more]
    subprocess.run(arguments, check=True, cwd=ROOT.parent, env=with_path())
    with np.load(output) as found:
        report = json.loads(str(found["report"]))
        values = {key: np.asarray(found[key], np.float64) for key in ("nngp", "ntk")}
    return Side(report["first"] - report["best"], report["best"], report["memory"], values)


def _distance(first: Side, second: Side) -> float:
    """Largest difference of an entry over the largest entry."""
    pairs = [(first.values[key], second.values[key]) for key in ("nngp", "ntk")]
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def _tables(rows: list[Row]) -> str:
    main_rows = [_table_row(row) for row in rows]
    header = (
        "network",
        "examples",
        "peer ms per pair",
        "ntc ms per pair",
        "ratio",
        "through ntc.stax",
        "required / aim",
        "peer compile s",
        "ntc compile s",
        "ratio",
        "peer MB",
        "ntc MB",
        "ntc float32 error",
        "peer float32 error",
    )
    return markdown(header, main_rows) + _depth(rows)


def _table_row(row: Row) -> tuple[object, ...]:
    peer, own, case = row.peer, row.own, row.case
    per_pair = 1e3 / row.pairs
    return (
        case.title,
        f"{case.n1} x {case.n2 or case.n1}",
        peer.run * per_pair if peer else "",
        own.run * per_pair,
        row.ratio if peer else "",
        row.stax_ratio if peer else "",
        f"{case.required:g} / {case.aim:g}" if peer else "",
        peer.compile if peer else "",
        own.compile,
        peer.compile / own.compile if peer else "",
        peer.memory / 1e6 if peer else "",
        own.memory / 1e6,
        row.error,
        row.peer_error if peer else "",
    )


def _depth(rows: list[Row]) -> str:
    compile_times = {row.name: row.own.compile for row in rows}
    if not {"deep", "cnn_global_pool"} <= compile_times.keys():
        return ""
    ratio = compile_times["deep"] / compile_times["cnn_global_pool"]
    return f"\n\nCompile time at depth 84 over that at depth 21: {ratio:.2f} (required 1.3, aim 1.05)."


def _draw(rows: list[Row]) -> None:
    drawn = figure(9, 4.5)
    axes = drawn.subplots()
    places = np.arange(len(rows))[::-1]
    axes.barh(places, [row.ratio for row in rows], color="tab:blue", height=0.6)
    for place, row in zip(places, rows, strict=True):
        for value, color, label in ((row.case.required, "black", "required"), (row.case.aim, "tab:orange", "aim")):
            axes.plot([value] * 2, [place - 0.4, place + 0.4], color=color, label=label if row is rows[0] else None)
        axes.text(row.ratio * 1.05, place, f"{row.ratio:.3g}", va="center")
    axes.set_yticks(places, [row.case.title for row in rows])
    axes.set_xscale("log")
    axes.set_xlabel("times faster than Neural Tangents 0.6.5, both kernels, float32")
    axes.legend(loc="lower right")
    keep(drawn, ROOT / "results.png")
