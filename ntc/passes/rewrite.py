"""What passes share: rebuilding a graph with some values replaced by others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ntc.ir.graph import Graph, Node, Output

Rule = Callable[[Node], Node | str]
"""What becomes of a node, whose operands are already the new ones: a node of the same name, or the name of
an earlier value that takes its place."""


def rewrite(graph: Graph, rule: Rule) -> Graph:
    """Applies `rule` to every node in order."""
    names: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        result = rule(replace(node, operands=renamed(names, node.operands)))
        if isinstance(result, str):
            names[node.name] = result
        else:
            nodes.append(result)
    outputs = tuple(Output(x.label, names.get(x.value, x.value)) for x in graph.outputs)
    return replace(graph, nodes=tuple(nodes), outputs=outputs)


def renamed(names: Mapping[str, str], operands: tuple[str, ...]) -> tuple[str, ...]:
    """The operands under their new names."""
    return tuple(names.get(x, x) for x in operands)
