"""Common subexpressions: what is computed twice is computed once."""

from __future__ import annotations

from typing import ClassVar

from ntc.ir.graph import Graph, Node
from ntc.ir.op import Op
from ntc.ir.schema import frozen
from ntc.ir.types import Type
from ntc.passes.base import Pass
from ntc.passes.rewrite import rewrite


@frozen
class CommonSubexpressions(Pass):
    """Needs: a kernel graph. Does: replaces a value by an earlier one of the same op, operands and type.
    Leaves: no two equal values.
    """

    name: ClassVar[str] = "cse"

    def __call__(self, graph: Graph) -> Graph:
        """The graph without repetitions."""
        seen: dict[tuple[Op, tuple[str, ...], Type], str] = {}

        def rule(node: Node) -> Node | str:
            first = seen.setdefault((node.op, node.operands, node.type), node.name)
            return node if first == node.name else first

        return rewrite(graph, rule)
