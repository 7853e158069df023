"""The zeros that filters read around values."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from ntc.ir.graph import Graph, kernel_op
from ntc.ir.platform import PLATFORMS
from ntc.ir.sliding import Sliding
from ntc.ir.types import Target
from ntc.plan.rolling import Item, Run

Margins = tuple[tuple[int, int], ...]
"""Before and after the positions of every axis."""


def margins_of(graph: Graph, items: Iterable[Item], target: Target) -> dict[str, Margins]:
    """Of the values that filters among the items read outside the image. They are the same in all blocks of a run."""
    if not PLATFORMS[target].margins:
        return {}
    items = list(items)
    nodes = [node for item in items for node in (item.nodes if isinstance(item, Run) else (item,))]
    margins: dict[str, Margins] = {}
    for node in nodes:
        op = kernel_op(node)
        axes = op.slides(graph.covariance_of(node.operands[0]).spatial) if op.filters else None
        if axes and all(axis and axis.padding == "same" for axis in axes):
            pads = tuple(_outside(axis) for axis in axes if axis)
            margins[node.operands[0]] = _joined(pads, margins.get(node.operands[0], pads))
    for run in (item for item in items if isinstance(item, Run)):
        for position in run.carried:
            alike = [*(block[position].name for block in run.blocks), run.before[position] or ""]
            known = [margins[name] for name in alike if name in margins]
            margins |= {name: reduce(_joined, known) for name in alike if known}
    return {name: joined for name, joined in margins.items() if any(map(any, joined))}


def _outside(axis: Sliding) -> tuple[int, int]:
    before, after = axis.pads
    return max(0, before), max(0, after)


def _joined(first: Margins, second: Margins) -> Margins:
    return tuple((max(a, c), max(b, d)) for (a, b), (c, d) in zip(first, second, strict=True))
