"""Dead code: what no output reads is not computed."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ntc.ir.graph import Graph
from ntc.ir.schema import frozen
from ntc.passes.base import Pass


@frozen
class DeadCode(Pass):
    """Needs: any graph. Does: removes values that no output depends on; inputs stay. Leaves: none of them."""

    name: ClassVar[str] = "dce"

    def __call__(self, graph: Graph) -> Graph:
        """The graph without dead values."""
        return replace(graph, nodes=graph.live)
