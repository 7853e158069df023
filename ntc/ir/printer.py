"""The text of a graph: one line a value, types always, defaults never."""

from __future__ import annotations

from ntc.ir.construct import attributes, literal
from ntc.ir.graph import Graph, Node

_WIDEST_COLUMN = 90


def show(graph: Graph, locations: bool = True) -> str:
    """Text that `parse_graph` turns back into an equal graph. `locations` adds them as comments."""
    inputs = ", ".join(f"%{x.name}: {x.type}" for x in graph.inputs)
    outputs = ", ".join(f"{x.label}: %{x.value}" for x in graph.outputs)
    lines = [f"{graph.kind} @{graph.name}({inputs}) -> ({outputs}) {{"]
    name_width = _width([node.name for node in graph.nodes])
    calls = [f"  %{node.name:{name_width}} = {_call(node)}" for node in graph.nodes]
    call_width = _width(calls)
    typed = [f"{call:{call_width}} : {node.type}" for call, node in zip(calls, graph.nodes, strict=True)]
    typed_width = _width(typed)
    for line, node in zip(typed, graph.nodes, strict=True):
        comment = f"  // {_printable(str(node.location))}" if locations and node.location else ""
        lines.append(f"{line:{typed_width}}{comment}".rstrip())
    return "\n".join([*lines, "}"]) + "\n"


def line(node: Node) -> str:
    """The line of one node, without its location."""
    return f"%{node.name} = {_call(node)} : {node.type}"


def brief(node: Node) -> str:
    """What a node computes, with six digits of its numbers: `conv(channels=8, kernel=(3,), w_std=1.41421)`."""
    short = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in attributes(node.op).items()}
    given = ", ".join(f"{k}={literal(v)}" for k, v in short.items())
    return f"{node.op.name}({given})" if given else node.op.name


def _call(node: Node) -> str:
    operands = ", ".join(f"%{x}" for x in node.operands)
    given = ", ".join(f"{k}={literal(v)}" for k, v in attributes(node.op).items())
    return f"{node.op.name}({operands})" + (f" {{{given}}}" if given else "")


def _width(column: list[str]) -> int:
    return min(_WIDEST_COLUMN, max(map(len, column), default=0))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
