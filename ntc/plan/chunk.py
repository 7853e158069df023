"""How much of a stage is computed at a time."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from ntc.ir.op import covariance
from ntc.ir.platform import PLATFORMS
from ntc.ir.types import Target
from ntc.plan.stages import Stage

_ROW = 32
"""Entries that should be contiguous at least."""


@dataclass(frozen=True)
class Chunk:
    """How many lanes and rows of examples of a stage are computed at a time. Lanes are those of the widest value."""

    lanes: int
    rows: int

    @classmethod
    def choose(cls, stage: Stage, target: Target, n1: Any, n2: Any) -> Chunk | None:
        """Of about the bytes per value that the platform wants; None if the stage is not worth a loop."""
        if not stage.parallel or not stage.spatial:
            return None
        types = [covariance(node.type) for node in stage.nodes]
        positions = max(prod(x.spatial) for x in types)
        itemsize = 4 if types[0].dtype == "f32" else 8
        entries = max(1, PLATFORMS[target].chunk_bytes // (itemsize * positions))
        columns = n2 if isinstance(n2, int) else 8
        wanted = max(entries, _ROW) // max(1, columns)
        row = stage.lanes // stage.rows
        lanes = row * _divisor(stage.rows, wanted // row) if stage.by_row else _divisor(stage.lanes, wanted)
        rows = _divisor(n1, max(1, entries // (lanes * columns))) if isinstance(n1, int) else 1
        return None if (lanes, rows) == (stage.lanes, n1) else cls(lanes, rows)


def _divisor(number: int, near: int) -> int:
    """The largest divisor of a number up to `near`, or the least above it if that is much nearer."""
    near = max(1, near)
    divisors = [d for d in range(1, number + 1) if number % d == 0]
    below = max((d for d in divisors if d <= near), default=1)
    above = min((d for d in divisors if d >= near), default=number)
    return above if above * below < near * near else below
