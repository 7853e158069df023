"""Predicted beside measured: time and memory of all benchmark networks at two sizes, on rates measured just before."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import ntc
from benchmarks.cases import CASES, ROOT, Case
from benchmarks.measure import markdown
from ntc.backends.jax.run.tiles import workers
from ntc.calibrate import calibrate
from ntc.compiler import lower
from ntc.plan.tiles import default_memory
from ntc.price import Cost, Rates, price
from ntc.price.rates import CORE

QUICK = {"cnn_flatten": CASES["cnn_flatten"].quick()}


def main(quick: bool = False) -> str:
    """One row per network and size. Networks are run in processes of their own, whose memory at the highest counts.
    `quick` takes the rates of a typical core."""
    rates = CORE if quick else calibrate()[0]
    rows: list[tuple[object, ...]] = []
    for name, case in (QUICK if quick else CASES).items():
        for factor in (1, 2):
            sized = replace(case, n1=factor * case.n1, n2=case.n2 and factor * case.n2)
            rows.append((case.title, f"{sized.n1} x {sized.n2 or sized.n1}", *_row(name, sized, rates)))
    header = ("network", "examples", "s", "predicted", "ratio", "compile s", "predicted", "MB", "predicted", "ratio")
    times, memories = (sorted(float(str(row[i])) for row in rows) for i in (4, 9))
    ends = f"time {times[0]:.2f} to {times[-1]:.2f}, memory {memories[0]:.2f} to {memories[-1]:.2f}"
    return f"Predicted over measured: {ends}.\n\n{markdown(header, rows)}"


def predicted(case: Case, rates: Rates) -> Cost:
    """Of a case at its size."""
    graph = lower(ntc.load_graph(case.file, case.model, case.parameters))
    return price(graph, rates, case.n1, case.n2, default_memory(), workers(rates.target))


def _row(name: str, case: Case, rates: Rates) -> tuple[object, ...]:
    arguments = [name, str(case.n1), str(case.n2 or 0), "3"]
    command = [sys.executable, "-m", "benchmarks.price_worker", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT.parent)
    found, cost = json.loads(done.stdout), predicted(case, rates)
    return (
        found["seconds"],
        cost.seconds,
        cost.seconds / found["seconds"],
        found["compile"],
        cost.compile_seconds,
        found["memory"] / 1e6,
        cost.memory / 1e6,
        cost.memory / found["memory"],
    )
