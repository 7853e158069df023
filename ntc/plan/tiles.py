"""How a kernel matrix is cut into tiles of examples that fit into memory."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt, prod

from ntc.errors import LimitError
from ntc.ir.graph import Graph, Node, kernel_op
from ntc.ir.op import covariance
from ntc.ir.platform import PLATFORMS
from ntc.ir.types import Target
from ntc.plan import machine
from ntc.plan.stages import is_cross, stages_of

_LANES = 8
"""Tile sides are multiples of this where they exceed it: innermost rows then fill whole vector registers."""

_PREFERRED_BYTES = 64 * 2**20
"""What values that are kept whole may use in a tile on a CPU: beyond this, larger tiles are no faster."""

_FLAT_SIDE, _FLAT_BYTES = 1024, 256 * 2**20
"""Side and bytes of a tile on a CPU for examples without positions. XLA spreads such a tile over all cores: a product
of matrices, and a pass over its entries. With sides of 256 both are a third slower."""


@dataclass(frozen=True)
class Needs:
    """What the program of a graph needs for each pair of examples.

    Attributes:
      pair: bytes of the values that are kept whole, outside the loops over lanes.
      positions: of the largest image.
    """

    pair: int
    positions: int

    @property
    def flat(self) -> bool:
        """Whether there are no positions."""
        return self.positions == 1

    @classmethod
    def of(cls, graph: Graph) -> Needs:
        """From the schedule of the graph."""
        itemsize = max(covariance(node.type).itemsize for node in graph.nodes)
        kept = working = 0
        for stage in stages_of(graph):
            looped = stage.parallel and stage.spatial
            stored = sum(graph.covariance_of(name).entries for name in stage.stored)
            inside = 0 if looped else sum(map(_working, stage.nodes))
            kept += stored
            working = max(working, inside, 2 * stored)
        return cls(itemsize * (kept + working), positions_of(graph))


def positions_of(graph: Graph) -> int:
    """Of the largest image between two examples."""
    return max((prod(covariance(node.type).spatial) for node in graph.nodes if is_cross(node)), default=1)


def _working(node: Node) -> int:
    """Entries of all arrays that there are while a value is computed whole."""
    return kernel_op(node).temporaries * covariance(node.type).entries


def default_memory() -> int:
    """A quarter of the memory that this process may use, in bytes."""
    return machine.memory() // 4


@dataclass(frozen=True)
class Tiling:
    """Tiles of `rows` x `columns` examples; the last ones are padded."""

    rows: int
    columns: int

    @classmethod
    def choose(
        cls, graph: Graph, n1: int, n2: int, target: Target, memory: int, workers: int = 1, symmetric: bool = False
    ) -> Tiling:
        """Near-square tiles for `workers` at a time, which together use at most about `memory` bytes; of a symmetric
        matrix, of which tiles below the diagonal are not computed, squares.

        A tile has at least one pair. Raises LimitError if that exceeds the memory that this process may use.
        """
        needs = Needs.of(graph)
        if needs.pair > machine.memory():
            raise LimitError(
                f"one pair of examples needs about {needs.pair / 2**30:.1f} GiB, more than there is here",
                hint="stride or pool before the layers with large images, or end in flatten",
            )
        small = PLATFORMS[target].tile_per_core
        flat = needs.flat and small
        preferred = _FLAT_BYTES if flat else _PREFERRED_BYTES if small else memory
        pairs = max(1, min(preferred, memory // workers) // max(1, needs.pair))
        side = min(isqrt(pairs), cls._useful_side(target, needs))
        if flat and symmetric:
            side = min(side, _FLAT_SIDE // 2)  # so that less is computed twice
        rows, columns = _balanced(n1, max(1, min(pairs // max(1, min(side, n2)), side))), _balanced(n2, side)
        tiling = cls(rows, columns) if flat else cls(rows, columns)._for(workers, n1, n2)
        return tiling.squares if symmetric and tiling.rows * tiling.columns < n1 * n2 else tiling

    @property
    def squares(self) -> Tiling:
        """Square tiles, no larger."""
        side = min(self.rows, self.columns)
        return Tiling(side, side)

    @classmethod
    def _useful_side(cls, target: Target, needs: Needs) -> int:
        """Beyond this many examples, rows of memory are long enough and marginals cost nothing."""
        small = PLATFORMS[target].tile_per_core
        if needs.flat and small:
            return _FLAT_SIDE
        entries = PLATFORMS[target].chunk_bytes // (4 * needs.positions)
        return min(max(entries, 4 * _LANES), 32 * _LANES) if small else max(entries, 32 * _LANES)

    def _for(self, workers: int, n1: int, n2: int) -> Tiling:
        """Smaller tiles, if there would be fewer than workers. Columns first, unless rows of memory would be short:
        what belongs to columns alone is brought to every lane."""
        rows, columns = self.rows, self.columns
        while -(-n1 // rows) * -(-n2 // columns) < workers and rows * columns > 1:
            if columns > 1 and (columns <= rows or rows == 1):
                columns = -(-columns // 2)
            else:
                rows = -(-rows // 2)
        return Tiling(rows, columns)


def _balanced(count: int, most: int) -> int:
    """Size of equal parts of at most `most` that together hold `count` with little padding."""
    most = most // _LANES * _LANES or max(1, most)
    parts = -(-count // most)
    size = -(-count // parts)
    rounded = -(-size // _LANES) * _LANES
    return rounded if rounded <= most and parts > 1 else size
