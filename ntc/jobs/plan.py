"""How a job is cut: the tile that is computed at once, the block that is one task, and what all of it will take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isqrt, prod

from ntc.errors import LimitError, ParameterError
from ntc.ir.graph import Graph
from ntc.ir.platform import PLATFORMS
from ntc.ir.types import ArrayType, Target
from ntc.jobs.blocks import Blocks
from ntc.plan import machine
from ntc.plan.tiles import Tiling, default_memory
from ntc.price import Rates, TilePrice, tile_price

LONGEST = 600.0
"""Seconds of a block from which on it is refused, unless it is asked for by force."""

LARGEST = 512 * 2**20
"""Bytes of a stored block, likewise."""

_WANTED, _SHORTEST, _LONG = 120.0, 10.0, 300.0
"""Seconds of a block that are aimed at, those of short jobs, and those from which on a tile is halved."""

_FEW_TASKS = 8
"""Of a short job for every worker, where its blocks are not too short for that."""

_WANTED_BYTES = LARGEST // 2
_STORE_RATE = 3e8
"""Bytes per second that a worker writes, and has on the disk; a typical value."""

_START = 3.0
"""Seconds from the beginning of a process until it compiles; a typical value."""

_SOLVE_RATE = 3e10
"""Operations of float64 per second of a core, in a Cholesky factorisation; a typical value."""


@dataclass(frozen=True)
class Plan:
    """How a kernel matrix is computed as a job, and what that is predicted to take.

    Attributes:
      blocks: how it is cut.
      tile: examples on either side of a computation.
      price: of a tile; None where the speed of the device is not known.
      at_once: tiles that a worker computes at once.
      rate: bytes per second that a worker writes.
      pair_bytes: of all kernels, stored, for each pair of examples.
      largest_pair: of one kernel.
      example_bytes: of a packed example.
    """

    blocks: Blocks
    tile: int
    price: TilePrice | None
    at_once: int
    rate: float
    pair_bytes: int
    largest_pair: int
    example_bytes: int

    @property
    def block_seconds(self) -> float | None:
        """Of one block off the diagonal, computed and written."""
        if self.price is None:
            return None
        tiles = -(-((self.blocks.side // self.tile) ** 2) // self.at_once)
        return tiles * self.price.seconds + self._write_seconds

    @property
    def _write_seconds(self) -> float:
        return self.blocks.side**2 * self.pair_bytes / self.rate

    @property
    def seconds(self) -> float | None:
        """Of all blocks, by one worker."""
        alone = self.block_seconds
        if alone is None or self.price is None:
            return None
        tiles = self.blocks.side // self.tile
        diagonal = self.blocks.rows if self.blocks.symmetric else 0
        own = -(-(tiles * (tiles + 1) // 2) // self.at_once) * self.price.seconds + self._write_seconds
        return diagonal * own + (self.blocks.count - diagonal) * alone * self._filled

    @property
    def _filled(self) -> float:
        """What is computed, of blocks that would all be whole: the last ones are not."""
        blocks, tile = self.blocks, self.tile
        rows, columns = (-(-n // tile) * tile / (-(-n // blocks.side) * blocks.side) for n in (blocks.n1, blocks.n2))
        return rows * columns

    def wall_seconds(self, workers: int) -> float | None:
        """Of all of it by so many workers, each of which begins and compiles the program once."""
        if self.seconds is None or self.start_seconds is None or self.block_seconds is None:
            return None
        rounds = -(-self.blocks.count // workers)
        shared = max(self.seconds / workers, min(rounds * self.block_seconds, self.seconds))
        return self.start_seconds + shared

    @property
    def start_seconds(self) -> float | None:
        """Of a worker, before its first tile."""
        return None if self.price is None else _START + self.price.compile_seconds

    @property
    def stored_bytes(self) -> int:
        """Of all blocks of all kernels."""
        side = self.blocks.side
        return self.blocks.count * side * side * self.pair_bytes

    @property
    def block_bytes(self) -> int:
        """Of a stored block of one kernel."""
        return self.blocks.side**2 * self.largest_pair

    @property
    def worker_bytes(self) -> int:
        """Memory of a worker: its blocks, which are converted once, its examples, its tiles and its process."""
        block = 2 * self.blocks.side**2 * self.pair_bytes + 4 * self.blocks.side * self.example_bytes
        return block + (0 if self.price is None else self.price.working + self.price.runtime)

    @property
    def solve_seconds(self) -> float:
        """Of a Cholesky factorisation in float64 on this machine."""
        return self.blocks.n1**3 / 3 / (_SOLVE_RATE * machine.cores())

    @property
    def solve_bytes(self) -> int:
        """Memory of that."""
        return 8 * self.blocks.n1**2

    def check(self) -> None:
        """Raises LimitError for blocks that take too long to be lost, or are too large to be read and written."""
        seconds = self.block_seconds
        if seconds is not None and seconds > LONGEST:
            smaller = "a smaller --block" if self.blocks.side > self.tile else "a smaller --tile"
            raise LimitError(
                f"a block of {self.blocks.side} x {self.blocks.side} examples takes {seconds:.0f} s, more than "
                f"{LONGEST:.0f}: so much is lost with every worker that is",
                hint=f"{smaller}, or --force",
            )
        if self.block_bytes > LARGEST:
            raise LimitError(
                f"a block of {self.blocks.side} x {self.blocks.side} examples has {self.block_bytes / 2**20:.0f} MiB, "
                f"more than {LARGEST // 2**20}",
                hint="a smaller --block, or --force",
            )


@dataclass(frozen=True)
class Wish:
    """What the caller says of a plan: the tile and the block, if they are not to be chosen, how many workers there will
    be, and whether they share this machine."""

    tile: int | None = None
    block: int | None = None
    workers: int = 1
    shared: bool = False

    def check(self) -> None:
        """Raises ParameterError for sizes that do not go together."""
        for name, value in (("tile", self.tile), ("block", self.block), ("workers", self.workers)):
            if value is not None and value < 1:
                raise ParameterError(f"{name} should be 1 or more, got {value}")
        if self.tile and self.block and self.block % self.tile:
            raise ParameterError(
                f"block should be a multiple of the tile, got {self.block} and {self.tile}",
                hint=f"block={-(-self.block // self.tile) * self.tile}",
            )


def make_plan(graph: Graph, target: Target, rates: Rates | None, n1: int, n2: int | None, wish: Wish) -> Plan:
    """The plan of k(x1, x2), or of k(x1, x1) without n2, of a graph between two inputs.

    A tile is what the program would choose, halved while it takes more than five minutes; a block is whole tiles worth
    two minutes, or less where there would be few of them. `rates` are None where nothing is known of the device: a
    block is then a tile. Raises ParameterError.
    """
    wish.check()
    at_once = machine.cores() if PLATFORMS[target].tile_per_core else 1
    symmetric, columns = n2 is None, n1 if n2 is None else n2
    outputs = [graph.covariance_of(output.value) for output in graph.outputs]
    pairs = [value.itemsize * prod(value.spatial) ** 2 for value in outputs]
    tiling = Tiling.choose(graph, n1, columns, target, default_memory(), at_once, symmetric).squares
    tile, price = wish.tile or _dividing(tiling.rows, wish.block), None
    while rates is not None:
        price = tile_price(graph, rates, tile, at_once)
        if price.seconds <= _LONG or tile == 1 or wish.tile:
            break
        tile = _dividing(-(-tile // 2), wish.block)
    bytes_ = (sum(pairs), max(pairs), _example_bytes(graph))
    sharing = wish.workers if wish.shared else 1
    at_once = max(1, at_once // sharing)
    draft = Plan(Blocks(n1, columns, symmetric, tile), tile, price, at_once, _STORE_RATE / sharing, *bytes_)
    side = wish.block or tile * _tiles_of_a_block(draft, wish.workers)
    return replace(draft, blocks=replace(draft.blocks, side=side))


def _dividing(tile: int, block: int | None) -> int:
    """The largest side, up to that of a tile, of which a given block is a multiple. Raises ParameterError if that is
    less than half of it."""
    if block is None:
        return tile
    found = max(side for side in range(1, min(tile, block) + 1) if block % side == 0)
    if 2 * found < min(tile, block):
        raise ParameterError(
            f"block {block} is no multiple of a tile of up to {tile} examples that is worth computing",
            hint=f"block={-(-block // tile) * tile}, or name a tile as well",
        )
    return found


def _tiles_of_a_block(draft: Plan, workers: int) -> int:
    """On either side. The plan is that of blocks of one tile."""
    whole = max(draft.blocks.rows, draft.blocks.columns)
    largest = isqrt(_WANTED_BYTES // draft.largest_pair) // draft.tile
    if draft.price is None:
        return 1
    each = draft.price.seconds / draft.at_once + draft.tile**2 * draft.pair_bytes / draft.rate
    wanted = min(_WANTED, max(each * draft.blocks.count / (_FEW_TASKS * workers), _SHORTEST))
    in_time = isqrt(int(wanted / each))
    return max(1, min(whole, largest, in_time))


def _example_bytes(graph: Graph) -> int:
    type_ = graph.inputs[0].type
    assert isinstance(type_, ArrayType)
    return prod(type_.spatial) * type_.channels * (4 if type_.dtype == "f32" else 8)
