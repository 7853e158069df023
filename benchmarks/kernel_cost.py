"""How long kernels of whole stages would take by the instructions of their loops, read from the compilers' own dumps.

A kernel's time is in its loops over strips. The longest one counts for all of them, so that the estimate is from above;
an instruction counts as one cycle, and waiting for memory as nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ntc.ir.graph import Graph
from ntc.ir.op import covariance
from ntc.ir.types import Target
from ntc.plan import StagePlan
from ntc.plan.sweeps import Repeated, sweeps_in

_LABEL = re.compile(r"^\s*(\$L__BB\d+_\d+):")
_BRANCH = re.compile(r"\bbra(?:\.uni)?\s+(\$L__BB\d+_\d+)")
_INSTRUCTION = re.compile(r"^\s+(?:@!?%p\d+ )?[a-z]")
_BUNDLE = re.compile(r"^\s*(?:0x[0-9a-f]+|0)\s+(?:(LH|LB|LE|PB|PF|CT):)?\s*:?\s*(>*)\s*\{")

CYCLES: Mapping[Target, float] = {"cuda": 132 * 4 * 1.755e9, "tpu": 1.5e9}
"""Instructions of a warp, or bundles, in a second: of an H100 (SXM5) four on each of 132 multiprocessors at 1.755 GHz,
by NVIDIA's data sheet; of a v5e one at 1.5 GHz, which is what its 197 TFLOP/s on four units of 128 x 128 make."""

_WARPS = 4


def longest_loop(text: str) -> int:
    """Instructions of the longest innermost loop of PTX, or bundles of that of a TPU's program."""
    return _longest_of_ptx(text.splitlines()) if "$L__" in text else _longest_of_bundles(text.splitlines())


def _longest_of_ptx(lines: list[str]) -> int:
    labels = {match.group(1): i for i, line in enumerate(lines) if (match := _LABEL.match(line))}
    branches = [(match.group(1), i) for i, line in enumerate(lines) if (match := _BRANCH.search(line))]
    loops = [(labels[name], i) for name, i in branches if labels.get(name, i + 1) <= i]
    inner = [x for x in loops if not any(x != y and x[0] <= y[0] and y[1] <= x[1] for y in loops)]
    return max((sum(bool(_INSTRUCTION.match(x)) for x in lines[first:last]) for first, last in inner), default=0)


def _longest_of_bundles(lines: list[str]) -> int:
    """Loops are marked where they begin, and bundles by how many loops they are in."""
    sizes: list[int] = []
    depths: list[int] = []
    for mark, depth in (match.groups() for line in lines if (match := _BUNDLE.match(line))):
        if mark == "LB":
            sizes.append(0)
            depths.append(len(depth))
        if sizes and len(depth) >= depths[-1]:
            sizes[-1] += 1
    inner = [size for size, depth in zip(sizes, depths, strict=True) if depth > 1]
    return max(inner, default=0)


def microseconds(graph: Graph, planned: StagePlan, target: Target, rows: int, columns: int, instructions: int) -> float:
    """Of one stage for all pairs of examples, if every strip takes so many instructions."""
    fused = planned.fused
    assert fused is not None
    strips = 0
    for part in fused.parts:
        times = len(part.run.blocks) if isinstance(part, Repeated) else 1
        for sweep in sweeps_in(part):
            strips += times * (sweep.spatial[0] // fused.strip(sweep.spatial))
    lanes = max(covariance(x.type).row_lanes for x in planned.stage.nodes if covariance(x.type).spatial)
    blocks = -(-rows // fused.fast.rows) * planned.stage.rows * -(-lanes * columns // fused.entries)
    warps = _WARPS if target == "cuda" else 1
    return blocks * strips * instructions * warps / CYCLES[target] * 1e6


def bundles_of(folder: Path) -> str:
    """The final program of the largest kernel that libtpu wrote into a folder; empty if there is none."""
    found = sorted(folder.glob("*ntc_stage*final_bundles.txt"), key=lambda path: path.stat().st_size)
    return found[-1].read_text() if found else ""
