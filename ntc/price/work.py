"""Amounts of work by kind: what the values of one tile of a kernel matrix take, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from ntc.ir.graph import Graph, Node, kernel_op
from ntc.ir.op import covariance
from ntc.ir.types import Target
from ntc.ir.work import Work
from ntc.plan import Run, StagePlan, is_cross, marginals_of, plan, stages_of
from ntc.plan.explain import layer_of
from ntc.price.integrals import integral_work


def tile_work(graph: Graph, target: Target, rows: int, columns: int) -> dict[str, Work]:
    """The work of one tile of `rows` x `columns` examples, by layer in the order of the network."""
    found: dict[str, Work] = {}
    for node, work in value_work(graph, target, rows, columns):
        layer = layer_of(node.name)
        found[layer] = found.get(layer, Work()) + work
    return found


def computations(graph: Graph) -> int:
    """How many nodes and repeated blocks are traced and compiled."""
    single = [item for marginals in marginals_of(graph, "cpu") for item in marginals.items]
    cross = [item for stage in stages_of(graph) for item in stage.items]
    return sum(len(item.block) if isinstance(item, Run) else 1 for item in (*cross, *single))


def value_work(graph: Graph, target: Target, rows: int, columns: int) -> Iterator[tuple[Node, Work]]:
    """The work of one tile, value by value."""
    for node in graph.nodes:
        if not is_cross(node):
            examples = rows if covariance(node.type).batch == ("N",) else columns
            yield node, _entries_work(graph, node) * examples + Work(steps=1)
    for planned in plan(graph, target, rows, columns).stages:
        steps = prod(planned.steps(rows))
        for number, node in enumerate(planned.stage.nodes):
            moved = _moved(graph, planned, node)
            started = Work(steps=steps if planned.fused is None or number == 0 else 0)
            yield node, (_entries_work(graph, node) + moved) * (rows * columns) + started


def _moved(graph: Graph, planned: StagePlan, node: Node) -> Work:
    """Bytes per pair of examples that the value moves; of one kernel, which holds the others, what it writes."""
    stage, type_ = planned.stage, covariance(node.type)
    written = 2 * type_.itemsize * type_.entries if node.name in stage.stored else 0
    if planned.fused is not None:
        return Work(bytes=written)
    size = 2 * type_.itemsize * max(type_.entries, *(x.entries for x in graph.covariances(node.operands)), 1)
    looped = stage.parallel and stage.spatial
    return Work(loop_bytes=size, bytes=written) if looped else Work(bytes=size)


def _entries_work(graph: Graph, node: Node) -> Work:
    """Of all entries of one pair of examples, or of one example."""
    op, type_ = kernel_op(node), covariance(node.type)
    single = len(type_.batch) == 1 and type_.lanes == 1  # variance to variance: no angle
    if op.integral:
        work = Work(additions=2.0) if single else integral_work(op, type_.dtype)
    else:
        work = op.work(type_, *map(graph.type_of, node.operands))
    return work * (type_.entries * type_.itemsize / 4)
