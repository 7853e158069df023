"""Amounts of work by kind: what the values of one tile of a kernel matrix take, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator

from ntc.ir.graph import Graph, Node, kernel_op
from ntc.ir.op import covariance
from ntc.ir.types import Target
from ntc.ir.work import Work
from ntc.price.integrals import integral_work
from ntc.schedule import Chunk, Group, Run, is_cross, roll, schedule
from ntc.schedule.cost import layer_of


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
    size = 2 * type_.itemsize * max(type_.entries, *(x.entries for x in graph.covariances(node.operands)), 1)
    looped = group.parallel and group.spatial
    stored = 2 * type_.itemsize * type_.entries if node.name in group.stored and looped else 0
    return Work(loop_bytes=size, bytes=stored) if looped else Work(bytes=size)


def _entries_work(graph: Graph, node: Node) -> Work:
    """Of all entries of one pair of examples, or of one example."""
    op, type_ = kernel_op(node), covariance(node.type)
    single = len(type_.batch) == 1 and type_.lanes == 1  # variance to variance: no angle
    if op.integral:
        work = Work(additions=2.0) if single else integral_work(op, type_.dtype)
    else:
        work = op.work(type_, *map(graph.type_of, node.operands))
    return work * (type_.entries * type_.itemsize / 4)
