"""How a value is held while its stage runs: what keeps XLA from computing it several times, or from storing it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from ntc.ir.graph import Node, kernel_op
from ntc.ir.op import covariance
from ntc.plan.rolling import Item, Run

Holding = Literal["stored", "inlined", "deferred"]
"""`stored`: computed once, into memory. `inlined`: part of whatever reads it, as XLA sees fit. `deferred`: traced where
its only reader is, whose derivative then recomputes it."""


def holdings(
    items: Iterable[Item],
    readers: Mapping[str, Sequence[Node]],
    kept: Collection[str],
    defers: bool,
    pools_together: bool = False,
) -> dict[str, Holding]:
    """Of the values of a stage, and of one block of every run.

    Args:
      items: of the stage.
      readers: the nodes that read a value.
      kept: values that outlive the stage.
      defers: whether values may be deferred.
      pools_together: whether a pooling that another one reads is part of that one.
    """
    found: dict[str, Holding] = {}
    for item in items:
        if isinstance(item, Run):
            carried = {item.block[i].name for i in item.carried}
            found |= {node.name: _holding(node, readers, carried, defers, pools_together) for node in item.block}
        else:
            found[item.name] = _holding(item, readers, kept, defers, pools_together)
    return found


def _holding(
    node: Node, readers: Mapping[str, Sequence[Node]], kept: Collection[str], defers: bool, pools_together: bool
) -> Holding:
    reading = readers.get(node.name, ())
    if pools_together and kernel_op(node).lanes == "pooled" and [kernel_op(x).lanes for x in reading] == ["pooled"]:
        return "inlined"
    if _is_stored(node, reading):
        return "stored"
    return "deferred" if defers and len(reading) == 1 and node.name not in kept else "inlined"


def _is_stored(node: Node, readers: Sequence[Node]) -> bool:
    """Whether several readers, or one that reads entries more than once, would otherwise compute the value again."""
    op, spatial = kernel_op(node), bool(covariance(node.type).spatial)
    if op.reading and not spatial:
        return False  # a matrix product, which is never fused into
    if op.reading or op.lanes == "pooled" or any(kernel_op(x).rereads for x in readers):
        return True
    if op.large:
        return spatial  # XLA would cut it into several computations
    return (op.integral or op.filters) and len(readers) != 1


def readers_of(nodes: Iterable[Node]) -> dict[str, list[Node]]:
    """The nodes that read each value."""
    found: dict[str, list[Node]] = {}
    for node in nodes:
        for operand in node.operands:
            found.setdefault(operand, []).append(node)
    return found
