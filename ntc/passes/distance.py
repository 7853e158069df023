"""The distance form: what nearly equal inputs differ by is carried from layer to layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from ntc.ir.graph import Graph, Node
from ntc.ir.kernel import Add, Affine, Covariance, Dual, DualDot, GaussianIntegral, Gram, Reduce, Select, Window
from ntc.ir.op import covariance
from ntc.ir.ops import PiecewiseLinear
from ntc.ir.schema import frozen
from ntc.ir.types import CovarianceType
from ntc.passes.base import Pass

Readers = Mapping[str, list[Node]]
Marginals = tuple[str, str]


@frozen
class Distance(Pass):
    """Needs: tracked types. Does: puts values between two examples that a kinked nonlinearity reads, and what they are
    computed from by ops that are linear where p' = p, into the distance form, and converts them where anything else
    reads them. Leaves: the same values; integrals whose angle is known to the precision and not to its root.

    Attributes:
      form: `auto` for values of float32 alone, `covariance` for none, `distance` for all.
    """

    name: ClassVar[str] = "distance"
    form: Literal["auto", "covariance", "distance"] = "auto"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with some values in the distance form."""
        if self.form == "covariance":
            return graph
        chosen = _Choice(graph, self.form == "distance").chosen()
        return _Rewriter(graph, chosen).graph() if chosen else graph


class _Choice:
    """Which values take the distance form, and their marginals."""

    def __init__(self, graph: Graph, every_type: bool) -> None:
        self._graph, self._every_type = graph, every_type
        self._readers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for operand in dict.fromkeys(node.operands):
                self._readers.setdefault(operand, []).append(node)
        self._known = {(node.op, node.operands): node.name for node in graph.nodes}
        self._outputs = {output.value for output in graph.outputs}

    def chosen(self) -> dict[str, Marginals | None]:
        """The largest set of values of which every one can be computed in this form and is of use in it; with the
        marginals by which a value is converted back, None where nothing needs that."""
        found: dict[str, Marginals | None] = {}
        for node in self._graph.nodes:
            if self._is_candidate(node, found):
                found[node.name] = self._marginals(node, found)
        while True:
            useful = self._useful(found)
            kept = {x: m for x, m in found.items() if x in useful and (m or not self._is_converted(x, found))}
            kept = {x: m for x, m in kept.items() if self._is_candidate(self._graph.definitions[x], kept)}
            if kept == found:
                return found
            found = kept

    def _is_candidate(self, node: Node, found: Iterable[str]) -> bool:
        type_ = covariance(node.type)
        if len(type_.batch) == 1 or not (self._every_type or type_.dtype == "f32"):
            return False
        op = node.op
        if isinstance(op, Gram):
            return len(node.operands) == 2 and op.gives == "covariance" and type(op) is Gram
        if isinstance(op, Dual):
            return is_kinked(node) and node.operands[0] in found
        return is_linear(node) and all(x in found for x in node.operands)

    def _marginals(self, node: Node, found: Mapping[str, Marginals | None]) -> Marginals | None:
        """The variances of a value: those of the integrals that read it, or those computed from its operands' in the
        way in which it is computed."""
        for reader in self._readers.get(node.name, ()):
            if isinstance(reader.op, GaussianIntegral) and reader.operands[0] == node.name:
                return reader.operands[1], reader.operands[2]
        sides = []
        for side in (0, 1):
            if isinstance(node.op, Gram):
                operands: tuple[str, ...] = (node.operands[side],)
            elif isinstance(node.op, Dual):
                operands = (node.operands[1 + side],) * 3
            else:
                below = [found[x] for x in node.operands]
                if not all(below):
                    return None
                operands = tuple(x[side] for x in below if x)
            name = self._known.get((node.op, operands))
            if name is None:
                return None
            sides.append(name)
        return sides[0], sides[1]

    def _useful(self, found: Iterable[str]) -> set[str]:
        useful: set[str] = set()
        for node in reversed(self._graph.nodes):
            if node.name in found and any(self._is_use(node.name, x, useful) for x in self._readers.get(node.name, ())):
                useful.add(node.name)
        return useful

    def _is_use(self, name: str, reader: Node, useful: Iterable[str]) -> bool:
        return is_kinked(reader) if isinstance(reader.op, GaussianIntegral) else reader.name in useful

    def _is_converted(self, name: str, found: Iterable[str]) -> bool:
        readers = self._readers.get(name, ())
        return name in self._outputs or any(not (is_kinked(x) or x.name in found) for x in readers)


def is_kinked(node: Node) -> bool:
    """Whether the node is an integral of relu or its kin, whose angle loses digits near correlation one."""
    return isinstance(node.op, Dual | DualDot) and isinstance(node.op.phi, PiecewiseLinear)


def is_linear(node: Node) -> bool:
    """Whether the op makes distances of distances. What is all bias has been folded."""
    op = node.op
    if isinstance(op, Affine | Window):
        return op.w_std > 0
    return isinstance(op, Add | Select) or (isinstance(op, Reduce) and op.reduction == "trace")


class _Rewriter:
    """Writes the graph in which some values are in the distance form."""

    def __init__(self, graph: Graph, chosen: Mapping[str, Marginals | None]) -> None:
        self._graph, self._chosen = graph, chosen
        self._converted: dict[str, str] = {}
        self._nodes: list[Node] = []

    def graph(self) -> Graph:
        """The new graph."""
        for node in self._graph.nodes:
            self._nodes.append(self._rewritten(node))
        outputs = tuple(replace(x, value=self._covariance(x.value)) for x in self._graph.outputs)
        return replace(self._graph, nodes=tuple(self._nodes), outputs=outputs)

    def _rewritten(self, node: Node) -> Node:
        op = node.op
        chosen = node.name in self._chosen
        if isinstance(op, Dual | DualDot) and is_kinked(node) and node.operands[0] in self._chosen:
            op = replace(op, reads="distance")
        elif not chosen:
            node = replace(node, operands=tuple(map(self._covariance, node.operands)))
        if not chosen:
            return replace(node, op=op)
        if isinstance(op, Gram | Dual):
            op = replace(op, gives="distance")
        return replace(node, op=op, type=covariance(node.type).with_form("distance"))

    def _covariance(self, name: str) -> str:
        """The value as a covariance."""
        if name not in self._chosen:
            return name
        if name not in self._converted:
            marginals = self._chosen[name]
            assert marginals is not None
            node = self._graph.definitions[name]
            type_: CovarianceType = covariance(node.type).with_form("covariance")
            self._converted[name] = self._unique(f"{name}c")
            self._nodes.append(Node(self._converted[name], Covariance(), (name, *marginals), type_, node.location))
        return self._converted[name]

    def _unique(self, name: str) -> str:
        while name in self._graph.types:
            name += "_"
        return name
