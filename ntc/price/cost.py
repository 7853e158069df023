"""Predicted time and memory of a kernel matrix."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ntc.ir.graph import Graph, kernel_op
from ntc.ir.lanes import axes_of
from ntc.ir.op import covariance
from ntc.ir.platform import PLATFORMS
from ntc.ir.types import ArrayType
from ntc.ir.work import Work
from ntc.plan import StagePlan, plan
from ntc.plan.tiles import Needs, Tiling
from ntc.price.rates import Rates
from ntc.price.work import computations, tile_work

_VALUES_ALIVE = 6
"""Values of a chunk that are alive at once."""


@dataclass(frozen=True)
class LayerPrice:
    """Seconds that the values of one layer take, on all devices together as they are used."""

    layer: str
    seconds: float


@dataclass(frozen=True)
class Cost:
    """What a kernel matrix is predicted to take.

    Attributes:
      rows, columns: numbers of examples.
      layers: time of every layer; they add up to `seconds`.
      seconds: to compute the matrix, compiled before.
      compile_seconds: to compile the program.
      inputs, result, working, runtime: bytes of the arrays, as given and as converted; of the matrices; of what is
        computed at a time; of the process.
      tiles, tile: how many are computed, and their sides.
      device: whose rates these are.
      measured: whether they were measured on it.
    """

    rows: int
    columns: int
    layers: tuple[LayerPrice, ...]
    seconds: float
    compile_seconds: float
    inputs: int
    result: int
    working: int
    runtime: int
    tiles: int
    tile: tuple[int, int]
    device: str
    measured: bool

    @property
    def memory(self) -> int:
        """Bytes in all, at the highest."""
        return self.inputs + self.result + self.working + self.runtime


def price(graph: Graph, rates: Rates, n1: int, n2: int | None, memory: int, workers: int = 1, devices: int = 1) -> Cost:
    """The cost of k(x1, x2), or without n2 of k(x1, x1), of a graph between two inputs.

    Tiles are those that the program would choose for so many bytes and workers. With several devices, their tiles are
    spread evenly.
    """
    symmetric, columns = n2 is None, n1 if n2 is None else n2
    tiling, tiles = tiles_of(graph, rates, n1, columns, symmetric, memory, workers)
    at_once = min(tiles, workers * devices)
    rounds = -(-tiles // at_once)
    works = tile_work(graph, rates.target, tiling.rows, tiling.columns)
    layers = [LayerPrice(name, rounds * rates.seconds(work)) for name, work in works.items()]
    layers.append(LayerPrice("(tiles)", rounds * rates.seconds(Work(calls=1))))
    traced = computations(graph)
    return Cost(
        n1,
        columns,
        tuple(layers),
        sum(x.seconds for x in layers),
        rates.program + traced * rates.computation,
        2 * _example_bytes(graph) * (n1 if symmetric else n1 + columns),
        2 * _result_bytes(graph) * n1 * columns,
        _working(graph, rates, tiling, min(at_once, workers)),
        int(rates.runtime + traced * rates.compiled),
        tiles,
        (tiling.rows, tiling.columns),
        rates.name,
        rates.measured,
    )


@dataclass(frozen=True)
class TilePrice:
    """What one tile of a given size is predicted to take.

    Attributes:
      seconds: to compute it, compiled before.
      compile_seconds: to compile the program.
      working: bytes of what is computed at a time, for as many tiles at once as there are workers.
      runtime: bytes of the process.
      device, measured: whose rates these are, and whether they were measured on it.
    """

    seconds: float
    compile_seconds: float
    working: int
    runtime: int
    device: str
    measured: bool


def tile_price(graph: Graph, rates: Rates, side: int, workers: int) -> TilePrice:
    """That of a tile of side x side examples of a graph between two inputs."""
    works, traced = tile_work(graph, rates.target, side, side), computations(graph)
    return TilePrice(
        sum(map(rates.seconds, works.values())) + rates.seconds(Work(calls=1)),
        rates.program + traced * rates.computation,
        _working(graph, rates, Tiling(side, side), workers),
        int(rates.runtime + traced * rates.compiled),
        rates.name,
        rates.measured,
    )


def tiles_of(
    graph: Graph, rates: Rates, n1: int, n2: int, symmetric: bool, memory: int, workers: int
) -> tuple[Tiling, int]:
    """The tiling that the program chooses, and how many tiles are computed."""
    tiling = Tiling.choose(graph, n1, n2, rates.target, memory, workers, symmetric)
    rows, columns = -(-n1 // tiling.rows), -(-n2 // tiling.columns)
    return tiling, rows * (rows + 1) // 2 if symmetric else rows * columns


def _example_bytes(graph: Graph) -> int:
    types = [x.type for x in graph.inputs if isinstance(x.type, ArrayType)]
    return prod(types[0].spatial) * types[0].channels * _itemsize(types[0])


def _itemsize(type_: ArrayType) -> int:
    return 4 if type_.dtype == "f32" else 8


def _result_bytes(graph: Graph) -> int:
    """Per pair of examples, of all kernels, with every pair of positions."""
    outputs = [graph.covariance_of(x.value) for x in graph.outputs]
    return sum((4 if x.dtype == "f32" else 8) * prod(x.spatial) ** 2 for x in outputs)


def _working(graph: Graph, rates: Rates, tiling: Tiling, workers: int) -> int:
    """Of the tiles at hand: whole values, chunks, examples and their marginals."""
    whole = Needs.of(graph).pair * tiling.rows * tiling.columns
    single = sum(x.entries for x in map(graph.covariance_of, graph.definitions) if len(x.batch) == 1)
    examples = (tiling.rows + tiling.columns) * (_example_bytes(graph) + 4 * single)
    planned = plan(graph, rates.target, tiling.rows, tiling.columns)
    brought = sum(_brought(x, tiling) for x in planned.stages)
    return workers * (whole + _VALUES_ALIVE * PLATFORMS[rates.target].chunk_bytes + examples + brought)


def _brought(planned: StagePlan, tiling: Tiling) -> int:
    """Roots of marginals of second examples, brought to the lanes of a chunk, for all integrals of a stage at once;
    and tables of them from which rows of lanes are sliced."""
    chunk, nodes = planned.chunk, planned.stage.nodes
    if chunk is None:
        return 0
    types = {node.operands[2]: covariance(node.type) for node in nodes if kernel_op(node).integral}
    total = 0
    for type_ in types.values():
        *others, last = axes_of(type_)
        total += prod(type_.spatial) * chunk.lanes
        if planned.tables and others and len(last.residues) % chunk.lanes == 0:
            total += prod(axis.size + axis.modulus - 1 for axis in others) * last.size * len(last.residues)
    return 4 * total * tiling.columns
