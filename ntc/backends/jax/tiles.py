"""How a kernel matrix is cut into tiles of examples that fit into memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from ntc.errors import LimitError
from ntc.ir.graph import Graph
from ntc.ir.types import CovarianceType

TILE_BYTES = 64 * 2**20
"""Size of the values that are alive at once in a tile. Larger ones leave the cache and gain nothing; smaller
ones pay for dispatch. `benchmarks/tile_size.py` measures it."""


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
    def choose(cls, graph: Graph, n1: int, n2: int, tile_bytes: int = TILE_BYTES) -> Tiling:
        """Near-square tiles of about `tile_bytes`. Raises LimitError if one pair exceeds physical memory."""
        itemsize = 4 if any("f32" in str(x.type) for x in graph.inputs) else 8
        pair = itemsize * live_entries(graph, 2)
        own = itemsize * live_entries(graph, 1)
        if pair + 2 * own > _physical_memory():
            raise LimitError(
                f"one pair of examples needs about {(pair + 2 * own) / 2**30:.1f} GiB, more than this machine has",
                hint="stride or pool before the layers with large images, or end in flatten",
            )
        pairs = max(1, tile_bytes // pair)
        side = max(1, int(pairs**0.5))
        rows = min(n1, max(side, pairs // max(1, n2)))
        columns = min(n2, max(1, pairs // rows))
        return cls(rows, columns)

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.columns


def starts(count: int, size: int) -> Iterator[int]:
    """First index of every tile of an axis."""
    return iter(range(0, count, size))


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # not known on this system
        return 2**63
