"""Amounts of work by kind: what the values of one tile of a kernel matrix take, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from operator import add

from ntc.ir.graph import Graph, Node, kernel_op
from ntc.ir.kernel import Attend, EdgeSum, GaussianIntegral, Gram, Linear, Reduce, Select, Window
from ntc.ir.op import covariance
from ntc.ir.types import ArrayType, CovarianceType, Target
from ntc.price.integrals import integral_work
from ntc.schedule import Chunk, Group, Run, is_cross, roll, schedule
from ntc.schedule.cost import layer_of

_FEW_CHANNELS = 16
"""Up to so many, products over channels are additions that fuse."""


@dataclass(frozen=True)
class Work:
    """Amounts of work.

    Attributes:
      additions: additions, products, comparisons of numbers in the cache.
      roots: square roots and quotients.
      transcendentals: exponentials, arcs, error functions.
      products: multiply-adds within products of matrices.
      loop_bytes: read and written by computations within loops, which stay in the cache of a CPU.
      bytes: read and written of whole values.
      steps: computations that are started.
      calls: tiles that are started.
    """

    additions: float = 0
    roots: float = 0
    transcendentals: float = 0
    products: float = 0
    loop_bytes: float = 0
    bytes: float = 0
    steps: float = 0
    calls: float = 0

    def __add__(self, other: Work) -> Work:
        return Work(*map(add, vars(self).values(), vars(other).values()))

    def __mul__(self, factor: float) -> Work:
        return Work(*(factor * amount for amount in vars(self).values()))


def tile_work(graph: Graph, target: Target, rows: int, columns: int) -> dict[str, Work]:
    """The work of one tile of `rows` x `columns` examples, by layer in the order of the network."""
    found: dict[str, Work] = {}
    for node, work in value_work(graph, target, rows, columns):
        layer = layer_of(node.name)
        found[layer] = found.get(layer, Work()) + work
    return found


def computations(graph: Graph) -> int:
    """How many nodes and repeated blocks are traced and compiled."""
    cross = [item for group in schedule(graph) for item in roll(group.nodes, graph.types, group.stored)]
    single = roll([node for node in graph.nodes if not is_cross(node)], graph.types)
    return sum(len(item.blocks[0]) if isinstance(item, Run) else 1 for item in (*cross, *single))


def value_work(graph: Graph, target: Target, rows: int, columns: int) -> Iterator[tuple[Node, Work]]:
    """The work of one tile, value by value."""
    for node in graph.nodes:
        if not is_cross(node):
            examples = rows if covariance(node.type).batch == ("N",) else columns
            yield node, _entries_work(graph, node) * examples + Work(steps=1)
    for group in schedule(graph):
        chunk = Chunk.choose(group, target, rows, columns)
        steps = 1 if chunk is None else (group.lanes // chunk.lanes) * (rows // chunk.rows)
        for node in group.nodes:
            yield node, (_entries_work(graph, node) + _moved(graph, group, node)) * (rows * columns) + Work(steps=steps)


def _moved(graph: Graph, group: Group, node: Node) -> Work:
    """Bytes per pair of examples that the value moves."""
    type_ = covariance(node.type)
    size = 2 * _itemsize(type_) * max(type_.entries, *(x.entries for x in graph.covariances(node.operands)), 1)
    looped = group.parallel and group.spatial
    stored = 2 * _itemsize(type_) * type_.entries if node.name in group.stored and looped else 0
    return Work(loop_bytes=size, bytes=stored) if looped else Work(bytes=size)


def _entries_work(graph: Graph, node: Node) -> Work:
    """Of all entries of one pair of examples, or of one example."""
    op, type_ = kernel_op(node), covariance(node.type)
    operands = [graph.type_of(x) for x in node.operands]
    wide = _itemsize(type_) / 4
    if isinstance(op, GaussianIntegral):
        single = len(type_.batch) == 1 and type_.lanes == 1  # variance to variance: no angle
        counts = (2.0, 0.0, 0.0) if single else integral_work(op, type_.dtype)
        return Work(wide * counts[0], wide * counts[1], wide * counts[2]) * type_.entries
    if isinstance(op, Gram) and isinstance(operands[0], ArrayType):
        channels = op.width(operands[0])
        if len(type_.batch) == 1 or (type_.spatial and channels <= _FEW_CHANNELS):
            return Work(additions=2 * wide * channels) * type_.entries
        return Work(products=wide * channels) * type_.entries
    if isinstance(op, Window):
        return _window_work(op, covariance(operands[0])) * (wide * type_.entries)
    count = op.operations(*operands) * type_.entries * wide
    if isinstance(op, Linear | Attend | EdgeSum):
        return Work(products=count / 2)
    return Work(additions=count) if not isinstance(op, Select | Reduce) else Work(additions=count / 2)


def _window_work(op: Window, operand: CovarianceType) -> Work:
    """Per entry: for every axis, a mask and an addition per tap, and a value in between."""
    moved = [axis for axis in op.axes(operand) if axis.window > 1]
    if op.lowering == "matrix":
        return Work(additions=2.0 * len(moved), products=float(sum(axis.size for axis in moved)))
    if op.lowering == "direct":
        return Work(additions=2.0 * prod(axis.window for axis in moved))
    return Work(additions=sum(2.0 * axis.window + 2 for axis in moved))


def _itemsize(type_: CovarianceType) -> int:
    return 4 if type_.dtype == "f32" else 8
