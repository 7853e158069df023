"""In which order a fused stage computes its values: in sweeps over positions, between which values are complete."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ntc.ir.graph import Graph, Node, covariance_operands, kernel_op
from ntc.ir.op import covariance
from ntc.ir.types import Spatial
from ntc.plan.rolling import Item, Run


@dataclass(frozen=True)
class Sweep:
    """Values that are computed in one loop over positions, from each other at the same positions, and from values of
    earlier sweeps anywhere.

    Attributes:
      nodes: in order.
      spatial: sizes of the axes that the loop is over.
    """

    nodes: tuple[Node, ...]
    spatial: Spatial

    @property
    def names(self) -> frozenset[str]:
        """Names of the values."""
        return frozenset(node.name for node in self.nodes)


@dataclass(frozen=True)
class Repeated:
    """The sweeps of one block of a run, which are done for every block."""

    run: Run
    sweeps: tuple[Sweep, ...]


Part = Sweep | Repeated


def sweeps_in(part: Part) -> tuple[Sweep, ...]:
    """The sweeps of a part, those of repeated blocks once."""
    return part.sweeps if isinstance(part, Repeated) else (part,)


def parts_of(graph: Graph, items: Iterable[Item], kept: Collection[str]) -> tuple[Part, ...]:
    """The sweeps of a stage in order. `kept` are values that outlive it."""
    parts: list[Part] = []
    pending: list[Node] = []
    for item in items:
        if isinstance(item, Run):
            parts += sweeps_of(graph, pending, (*kept, *filter(None, item.before)))
            pending = []
            carried = [item.block[i].name for i in item.carried]
            parts.append(Repeated(item, sweeps_of(graph, item.block, carried)))
        else:
            pending.append(item)
    return (*parts, *sweeps_of(graph, pending, kept))


def sweeps_of(graph: Graph, nodes: Sequence[Node], kept: Collection[str]) -> tuple[Sweep, ...]:
    """The nodes in sweeps: a filter in one after that of what it reads, all else as late as its readers let it, so that
    little is held between sweeps; but values that are `kept` as early as they can be."""
    earliest: dict[str, int] = {}
    for node in nodes:
        below = [earliest[x] for x in values_read(node) if x in earliest]
        earliest[node.name] = max(below, default=0) + bool(below and kernel_op(node).filters)
    level = _latest(nodes, earliest, kept)
    keys = {node.name: (level[node.name], spatial_of(graph, node)) for node in nodes}
    order = sorted(dict.fromkeys(keys.values()), key=lambda key: key[0])
    return tuple(Sweep(tuple(node for node in nodes if keys[node.name] == key), key[1]) for key in order)


def _latest(nodes: Sequence[Node], earliest: Mapping[str, int], kept: Collection[str]) -> dict[str, int]:
    """The sweep of every value."""
    reading: dict[str, list[Node]] = {}
    for node in nodes:
        for name in values_read(node):
            reading.setdefault(name, []).append(node)
    level = dict(earliest)
    for node in reversed(nodes):
        if node.name in reading and node.name not in kept:
            level[node.name] = min(level[x.name] - kernel_op(x).filters for x in reading[node.name])
    return level


def spatial_of(graph: Graph, node: Node) -> Spatial:
    """Sizes of the positions over which a node is computed: of a readout, those of its operand."""
    read = kernel_op(node).lanes == "removed"
    return (graph.covariance_of(node.operands[0]) if read else covariance(node.type)).spatial


def values_read(node: Node) -> tuple[str, ...]:
    """The values between two examples that the node reads."""
    return () if kernel_op(node).lanes == "none" else tuple(covariance_operands(node))
