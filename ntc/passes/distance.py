"""The distance form: what nearly equal inputs differ by is carried from layer to layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import ClassVar, Literal

from ntc.ir.graph import Graph, Node, covariance_operands, kernel_op
from ntc.ir.kernel import Covariance
from ntc.ir.offsets import DIAGONAL
from ntc.ir.op import covariance
from ntc.ir.schema import frozen
from ntc.passes.base import Pass


@frozen
class Distance(Pass):
    """Needs: tracked types. Does: puts values between two examples that a kinked nonlinearity reads, and what they are
    computed from by ops that are linear where p' = p, into the distance form, and converts them where anything else
    reads them. Leaves: the same values; integrals whose angle is known to the precision and not to its root.

    Attributes:
      form: `covariance` for none, `distance` for all; `auto` for those of float32 that track the diagonal alone. Where
        more is tracked, entries near correlation one are few among those that are averaged, and the form costs time.
    """

    name: ClassVar[str] = "distance"
    form: Literal["auto", "covariance", "distance"] = "auto"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with some values in the distance form."""
        if self.form == "covariance":
            return graph
        return _Rewriter(graph, chosen(graph, everywhere=self.form == "distance")).graph()


def chosen(graph: Graph, everywhere: bool) -> frozenset[str]:
    """The values that can be computed in this form and are of use in it, or are like those that are.

    A value is of use that a kinked nonlinearity reads, or from which one that is of use is computed. The last block of
    a network is often of none, but a backend runs repeated blocks in a loop where they are all alike.
    """
    candidates: dict[str, Node] = {}
    for node in graph.nodes:
        type_ = covariance(node.type)
        if (everywhere or (type_.dtype == "f32" and type_.lanes == 1)) and _is_candidate(graph, node, candidates):
            candidates[node.name] = node
    useful: set[str] = set()
    for node in reversed(graph.nodes):
        if is_kinked(node) or (node.name in useful and node.name in candidates):
            useful.update(covariance_operands(node))
    found = useful.intersection(candidates)
    kinds = Counter((candidates[name].op, candidates[name].type) for name in found)
    alike: set[str] = set()
    for name, node in candidates.items():
        operands = covariance_operands(node)
        begins = is_kinked(node) or not alike.isdisjoint(operands)
        if name not in found and begins and kinds[node.op, node.type] >= _REPEATED and operands:
            alike |= {name} if (found | alike).issuperset(operands) else set()
    return frozenset(found | alike)


_REPEATED = 2
"""So many like it, and one more are a loop."""


def _is_candidate(graph: Graph, node: Node, candidates: Collection[str]) -> bool:
    """Whether the value can be computed in the distance form. What is all bias has been folded."""
    if len(covariance(node.type).batch) == 1 or kernel_op(node).giving_distance() is None:
        return False
    return all(x in candidates for x in covariance_operands(node) if x in graph.definitions)


def is_kinked(node: Node) -> bool:
    """Whether the node is an integral of relu or its kin, whose angle loses digits near correlation one."""
    return kernel_op(node).reading_distance() is not None


class _Rewriter:
    """Writes the graph in which some values are in the distance form."""

    def __init__(self, graph: Graph, chosen: Collection[str]) -> None:
        self._graph, self._chosen = graph, chosen
        self._nodes: list[Node] = []
        self._types = dict(graph.types)
        self._known = {(node.op, node.operands): node.name for node in graph.nodes}
        self._marginals = {x.operands[0]: x.operands[1:] for x in graph.nodes if is_kinked(x)}
        self._covariances: dict[str, str] = {}

    def graph(self) -> Graph:
        """The new graph."""
        for node in self._graph.nodes:
            rewritten = self._rewritten(node)  # which may add what it reads
            self._nodes.append(rewritten)
        outputs = tuple(replace(x, value=self._covariance(x.value)) for x in self._graph.outputs)
        return replace(self._graph, nodes=tuple(self._nodes), outputs=outputs)

    def _rewritten(self, node: Node) -> Node:
        op, kept = kernel_op(node), node.name not in self._chosen
        if is_kinked(node) and node.operands[0] in self._chosen:
            op = op.reading_distance() or op
        elif kept:
            node = replace(node, operands=tuple(map(self._covariance, node.operands)))
        if kept:
            return replace(node, op=op)
        return replace(node, op=op.giving_distance() or op, type=covariance(node.type).with_form("distance"))

    def _covariance(self, name: str) -> str:
        """The value as a covariance, made before its first reader."""
        if name not in self._chosen:
            return name
        if name not in self._covariances:
            node = self._graph.definitions[name]
            operands = (name, self._marginal(node, 0), self._marginal(node, 1))
            self._covariances[name] = self._unique(f"{name}c")
            self._append(Node(self._covariances[name], Covariance(), operands, node.type, node.location))
        return self._covariances[name]

    def _marginal(self, node: Node, side: int) -> str:
        """The variances of a value: those of a kinked integral that reads it (normalisation reads others), or computed
        from its operands' as it is."""
        if node.name in self._marginals:
            return self._marginals[node.name][side]
        op = kernel_op(node)
        operands = op.variance_operands(node.operands, side)
        if operands is None:
            operands = tuple(self._marginal(self._graph.definitions[x], side) for x in node.operands)
        if (op, operands) not in self._known:
            type_ = op.result(*(self._types[x] for x in operands))
            name = self._unique(f"{node.name}v{side + 1}")
            diagonal = type_.with_offsets((DIAGONAL,) * len(type_.spatial))
            self._append(Node(name, op, operands, diagonal, node.location))
            self._known[op, operands] = name
        return self._known[op, operands]

    def _append(self, node: Node) -> None:
        self._nodes.append(node)
        self._types[node.name] = node.type

    def _unique(self, name: str) -> str:
        while name in self._types:
            name += "_"
        return name
