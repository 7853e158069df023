"""How a kernel matrix is cut into tiles of examples that fit into memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt

from ntc.errors import LimitError
from ntc.ir.graph import Graph
from ntc.ir.types import CovarianceType, Target

TILE_BYTES: Mapping[Target, int] = {"cpu": 16 * 2**20, "cuda": 256 * 2**20, "tpu": 256 * 2**20}
"""Size of the values that are alive at once in a tile. On a CPU, where every core has a tile, larger ones
leave the cache; smaller ones pay for dispatch: `benchmarks/tile_size.py` measures it. On accelerators it is
small against their memory and large against the cost of a launch."""

_LANES = 8
"""Tile sides are multiples of this where they exceed it: innermost rows then fill whole vector registers."""


def live_entries(graph: Graph, batch_axes: int) -> int:
    """Most entries per pair of examples that are needed at once, among values with so many batch axes."""
    last = {operand: i for i, node in enumerate(graph.nodes) for operand in node.operands}
    last |= {output.value: len(graph.nodes) for output in graph.outputs}
    alive, most = 0, 1
    for i, node in enumerate(graph.nodes):
        alive += _entries(graph, node.name, batch_axes)
        most = max(most, alive)
        ending = [x for x in {*node.operands, node.name} if last.get(x, i) == i]
        alive -= sum(_entries(graph, x, batch_axes) for x in ending)
    return most


def _entries(graph: Graph, name: str, batch_axes: int) -> int:
    type_ = graph.type_of(name)
    counted = isinstance(type_, CovarianceType) and len(type_.batch) == batch_axes
    return type_.entries if counted and isinstance(type_, CovarianceType) else 0


@dataclass(frozen=True)
class Tiling:
    """Tiles of `rows` x `columns` examples; the last ones are padded."""

    rows: int
    columns: int

    @classmethod
    def choose(cls, graph: Graph, n1: int, n2: int, tile_bytes: int) -> Tiling:
        """Near-square tiles of at most about `tile_bytes`. Raises LimitError if one pair exceeds physical memory."""
        itemsize = 4 if any("f32" in str(x.type) for x in graph.inputs) else 8
        pair = itemsize * live_entries(graph, 2)
        own = itemsize * live_entries(graph, 1)
        if pair + 2 * own > _physical_memory():
            raise LimitError(
                f"one pair of examples needs about {(pair + 2 * own) / 2**30:.1f} GiB, more than this machine has",
                hint="stride or pool before the layers with large images, or end in flatten",
            )
        pairs = max(1, tile_bytes // pair)
        side = isqrt(pairs)
        if n1 < n2:
            rows = _balanced(n1, side)
            return cls(rows, _balanced(n2, pairs // rows))
        columns = _balanced(n2, side)
        return cls(_balanced(n1, pairs // columns), columns)


def _balanced(count: int, most: int) -> int:
    """Size of equal parts of at most `most` that together hold `count` with little padding."""
    most = most // _LANES * _LANES or max(1, most)
    parts = -(-count // most)
    size = -(-count // parts)
    rounded = -(-size // _LANES) * _LANES
    return rounded if rounded <= most and parts > 1 else size


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # not known on this system
        return 2**63
