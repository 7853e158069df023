"""How much of a group is computed at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from ntc.ir.op import covariance
from ntc.ir.types import Target
from ntc.schedule.groups import Group

CHUNK_BYTES: Mapping[Target, int] = {"cpu": 192 * 2**10, "cuda": 64 * 2**20, "tpu": 16 * 2**20}
"""Size of one value of a chunk of rows and lanes. About six are alive at once; on a CPU they should stay in the cache
of a core, on accelerators they should be large against the cost of a launch."""

_ROW = 32
"""Entries that should be contiguous at least."""


@dataclass(frozen=True)
class Chunk:
    """How many lanes and rows of examples of a group are computed at a time. Lanes are those of the widest value."""

    lanes: int
    rows: int

    @classmethod
    def choose(cls, group: Group, target: Target, n1: Any, n2: Any) -> Chunk | None:
        """Of about CHUNK_BYTES per value; None if the group is not worth a loop."""
        if not group.parallel or not group.spatial:
            return None
        types = [covariance(node.type) for node in group.nodes]
        positions = max(prod(x.spatial) for x in types)
        itemsize = 4 if types[0].dtype == "f32" else 8
        entries = max(1, CHUNK_BYTES[target] // (itemsize * positions))
        columns = n2 if isinstance(n2, int) else 8
        wanted = max(entries, _ROW) // max(1, columns)
        row = group.lanes // group.rows
        lanes = row * _divisor(group.rows, wanted // row) if group.by_row else _divisor(group.lanes, wanted)
        rows = _divisor(n1, max(1, entries // (lanes * columns))) if isinstance(n1, int) else 1
        return None if (lanes, rows) == (group.lanes, n1) else cls(lanes, rows)


def _divisor(number: int, near: int) -> int:
    """The largest divisor of a number up to `near`, or the least above it if that is much nearer."""
    near = max(1, near)
    divisors = [d for d in range(1, number + 1) if number % d == 0]
    below = max((d for d in divisors if d <= near), default=1)
    above = min((d for d in divisors if d >= near), default=number)
    return above if above * below < near * near else below
