"""Dead code: what no output reads is not computed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ntc.ir.graph import Graph


@dataclass(frozen=True)
class DeadCode:
    """Needs: any graph. Does: removes values that no output depends on; inputs stay. Leaves: none of them."""

    def __call__(self, graph: Graph) -> Graph:
        """The graph without dead values."""
        live = {output.value for output in graph.outputs}
        kept = []
        for node in reversed(graph.nodes):
            if node.name in live:
                live.update(node.operands)
                kept.append(node)
        return replace(graph, nodes=tuple(reversed(kept)))
