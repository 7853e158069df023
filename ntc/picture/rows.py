"""What a page shows of the values of a graph, as JSON has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import getdoc
from typing import Any

from ntc.ir.graph import Graph, Input, Node
from ntc.ir.printer import brief, line
from ntc.ir.types import CovarianceType, TensorType, Type
from ntc.picture.tracks import places
from ntc.plan import Repeat
from ntc.plan.explain import LayerCost

Json = dict[str, Any]


def view(title: str, columns: Sequence[str], graph: Graph, rows: Mapping[str, Json], repeats: Sequence[Repeat]) -> Json:
    """One tab of the page: a row for every value, its place, and which rows repeat.

    Args:
      title: of the tab.
      columns: what the middle columns of the table are called.
      graph: a tensor or kernel graph.
      rows: what is shown of every value, by name.
      repeats: blocks of its nodes, which are folded.
    """
    index = {value.name: i for i, value in enumerate(graph.values)}
    operands = [[index[x] for x in value.operands] if isinstance(value, Node) else [] for value in graph.values]
    found = places(operands)
    readers: list[list[int]] = [[] for _ in operands]
    for i, read in enumerate(operands):
        for x in dict.fromkeys(read):
            readers[x].append(i)
    listed = [
        {**rows[value.name], **vars(place), "operands": list(dict.fromkeys(read)), "readers": reading}
        for value, place, read, reading in zip(graph.values, found, operands, readers, strict=True)
    ]
    folds = [{**vars(x), "first": x.first + len(graph.inputs)} for x in repeats]
    return {"title": title, "columns": list(columns), "rows": listed, "folds": folds}


def layer_row(value: Input | Node, cost: LayerCost | None, share: float, kernel_rows: Sequence[int]) -> Json:
    """Of a value of the network.

    Args:
      value: a layer or an input.
      cost: of its kernel values; None if it has none.
      share: of the time of the program.
      kernel_rows: rows of its values in the kernel graph.
    """
    tracked = cost.offsets or "numbers" if cost else ""
    facts = [("shape", _shape(value.type)), ("tracked offsets", tracked)]
    if cost:
        facts += [
            ("offsets", f"{cost.tracked} of {cost.all_offsets}"),
            ("layout", cost.layout),
            ("entries for a pair of examples", f"{cost.entries:,} of {cost.naive_entries:,}"),
            ("operations for a pair", f"{cost.operations:,} of {cost.naive_operations:,}"),
        ]
    middle = [_shape(value.type), tracked, cost.layout if cost else ""]
    return _row(value, middle, cost.bytes if cost else 0, share, facts, kernel_rows)


def kernel_row(value: Input | Node, share: float, layer_rows: Sequence[int]) -> Json:
    """Of a value of the kernel graph; `layer_rows` is the row of its layer in the network."""
    type_ = value.type
    if not isinstance(type_, CovarianceType):
        return _row(value, [str(type_)], 0, share, [], layer_rows)
    size = type_.entries * (4 if type_.dtype == "f32" else 8)
    facts = [("entries for a pair of examples", f"{type_.entries:,}")] if len(type_.batch) == 2 else []
    return _row(value, [str(type_)], size, share, facts, layer_rows)


def _row(
    value: Input | Node,
    middle: Sequence[str],
    size: int,
    share: float,
    facts: Sequence[tuple[str, str]],
    others: Sequence[int],
) -> Json:
    node = value if isinstance(value, Node) else None
    location = node.location if node else None
    return {
        "name": value.name,
        "call": brief(node) if node else "input",
        "middle": list(middle),
        "bytes": size,
        "share": share,
        "facts": [[name, fact] for name, fact in facts if fact],
        "about": _reflowed(getdoc(type(node.op)) or "") if node else "",
        "line": line(node) if node else f"%{value.name}: {value.type}",
        "source": f"{location}\n{location.excerpt()}" if location else "",
        "others": list(others),
    }


_WRAPPED = 85
"""A line of a docstring that is this long, or longer, goes on in the next one, which begins no new paragraph."""


def _reflowed(text: str) -> str:
    lines: list[str] = []
    before = ""
    for one in text.splitlines():
        if len(before) >= _WRAPPED and one and not one.startswith(" "):
            lines[-1] += f" {one}"
        else:
            lines.append(one)
        before = one
    return "\n".join(lines)


def _shape(type_: Type) -> str:
    if not isinstance(type_, TensorType):
        return str(type_)
    return " x ".join(map(str, (*type_.spatial, type_.channels)))
