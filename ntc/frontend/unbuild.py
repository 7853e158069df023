"""Networks back to the language: a graph as layers in series and branches, as a person would nest them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import networkx as nx

from ntc.errors import UnsupportedError
from ntc.ir.graph import Graph, Node, tensor_op
from ntc.ir.op import TensorOp
from ntc.ir.ops import Identity


@dataclass(frozen=True)
class One:
    """One layer."""

    op: TensorOp


@dataclass(frozen=True)
class Branches:
    """Branches from one value, joined by an op; an empty one passes the value on."""

    op: TensorOp
    branches: tuple[Series, ...]


@dataclass(frozen=True)
class Times:
    """Layers that occur several times, one after another."""

    count: int
    body: Series


Item = One | Branches | Times
Series = tuple[Item, ...]


def series(graph: Graph) -> Series:
    """The layers of a network of one input and one output.

    Raises UnsupportedError for a network whose branches are not nested, or that has several inputs or outputs.
    """
    if len(graph.inputs) > 1 or len(graph.outputs) > 1:
        raise UnsupportedError("a network of several inputs or outputs is not written as a model file")
    start, end = graph.inputs[0].name, graph.outputs[0].value
    view = graph.networkx().subgraph([start, *(node.name for node in graph.live)])
    above = nx.immediate_dominators(view, start)
    found = _between(graph, above, start, end, {})
    if _count(found) != sum(not isinstance(node.op, Identity) for node in graph.live):
        raise UnsupportedError(
            "a value is read by several branches that do not begin at it: the language has no name for it",
            hint="save the graph as an artifact: ntc compile",
        )
    return repeated(found)


def _between(
    graph: Graph, above: Mapping[str, str], first: str, last: str, known: dict[tuple[str, str], Series]
) -> Series:
    """The layers after the value `first` up to the value `last`."""
    tasks = [(first, last)]
    while tasks:
        start, end = tasks[-1]
        path = _path(graph, above, start, end)
        missing = [
            (above[node.name], x)
            for node in path
            if len(node.operands) > 1
            for x in node.operands
            if (above[node.name], x) not in known
        ]
        if missing:
            tasks += missing
            continue
        tasks.pop()
        known[start, end] = tuple(_item(x, above, known) for x in path if not isinstance(x.op, Identity))
    return known[first, last]


def _path(graph: Graph, above: Mapping[str, str], first: str, last: str) -> list[Node]:
    """The values after `first` up to `last` through which every way between them leads."""
    path: list[Node] = []
    while last != first:
        node = graph.definitions[last]
        path.append(node)
        last = above[last]
    return path[::-1]


def _item(node: Node, above: Mapping[str, str], known: Mapping[tuple[str, str], Series]) -> Item:
    if len(node.operands) == 1:
        return One(tensor_op(node))
    return Branches(tensor_op(node), tuple(known[above[node.name], x] for x in node.operands))


def _count(items: Series) -> int:
    """Layers, each as often as it is written."""
    return sum(1 + (sum(map(_count, x.branches)) if isinstance(x, Branches) else 0) for x in items)


def repeated(items: Series) -> Series:
    """The same with what occurs several times in a row written once."""
    done = tuple(Branches(x.op, tuple(map(repeated, x.branches))) if isinstance(x, Branches) else x for x in items)
    found: list[Item] = []
    position = 0
    while position < len(done):
        length, count = _run(done, position)
        body = done[position : position + length]
        found += [Times(count, repeated(body))] if count > 1 else body
        position += length * count
    return tuple(found)


def _run(items: Series, start: int) -> tuple[int, int]:
    """The length of what is repeated from a position, and how often: of all choices the one that covers most."""
    best = (1, 1)
    for length in range(1, (len(items) - start) // 2 + 1):
        body, count = items[start : start + length], 1
        while items[start + count * length : start + (count + 1) * length] == body:
            count += 1
        if count > 1 and length * count > best[0] * best[1]:
            best = length, count
    return best


def canonical(graph: Graph) -> tuple[Hashable, ...]:
    """Equal for graphs that differ in the names and the order of their values alone, and in what does nothing."""
    numbers: dict[str, int] = {}
    found: list[Hashable] = []
    tasks = [(output.value, False) for output in reversed(graph.outputs)]
    while tasks:
        name, ready = tasks.pop()
        node = graph.definitions.get(name)
        if name in numbers:
            continue
        if ready and node is not None and isinstance(node.op, Identity):
            numbers[name] = numbers[node.operands[0]]
        elif node is None or ready:
            numbers[name] = len(found)
            found.append((node.op, *(numbers[x] for x in node.operands)) if node else (name, graph.types[name]))
        else:
            tasks.append((name, True))
            tasks += [(x, False) for x in reversed(node.operands)]
    return (*found, *(output.label for output in graph.outputs))
