"""How the values of single examples are computed: once per example, those of both inputs together where they can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ntc.ir.graph import Graph, Node, kernel_op
from ntc.ir.op import covariance
from ntc.ir.types import Target
from ntc.plan.holding import Holding, holdings, readers_of
from ntc.plan.margins import Margins, margins_of
from ntc.plan.rolling import Item, roll
from ntc.plan.stages import is_cross


@dataclass(frozen=True)
class Marginals:
    """Values of single examples of one input, or of both as if they were one.

    Attributes:
      batch: the input whose nodes these are.
      paired: by value of these nodes, that of the other input which is computed beside it; empty if it is not.
      items: nodes and repeated blocks, in order.
      holdings: how values are held.
      margins: zeros around values.
      kept: values that are outputs, or that values between examples read other than through integrals.
    """

    batch: str
    paired: Mapping[str, str]
    items: tuple[Item, ...]
    holdings: Mapping[str, Holding]
    margins: Mapping[str, Margins]
    kept: frozenset[str]


def marginals_of(graph: Graph, target: Target) -> tuple[Marginals, ...]:
    """Of every input; one, where all values of the second are computed as those of the first are."""
    pairs = _pairs(graph)
    batches = ["N"] if pairs else dict.fromkeys(str(getattr(x.type, "batch", "")) for x in graph.inputs)
    return tuple(_of_batch(graph, target, batch, pairs) for batch in batches)


def _of_batch(graph: Graph, target: Target, batch: str, pairs: Mapping[str, str]) -> Marginals:
    nodes, kept = _nodes(graph, batch), _kept(graph)
    outliving = [x.name for x in nodes if not kept.isdisjoint({x.name, pairs.get(x.name)})]
    items = tuple(roll(nodes, graph.types, outliving))
    held = holdings(items, readers_of(nodes), (), defers=False)
    return Marginals(batch, pairs, items, held, margins_of(graph, items, target), kept)


def _nodes(graph: Graph, batch: str) -> list[Node]:
    return [node for node in graph.nodes if covariance(node.type).batch == (batch,)]


def _kept(graph: Graph) -> frozenset[str]:
    cross = (node for node in graph.nodes if is_cross(node) and not kernel_op(node).integral)
    read = {x for node in cross for x in node.operands} | {output.value for output in graph.outputs}
    return frozenset(x for x in read if x in graph.definitions and not is_cross(graph.definitions[x]))


def _pairs(graph: Graph) -> dict[str, str]:
    """By value of x1 alone, the value of x2 that is computed in the same way; empty if that is not all of them."""
    first, second = _nodes(graph, "N"), _nodes(graph, "M")
    pairs = {"x1": "x2"}
    for one, other in zip(first, second, strict=False):
        alike = (_without_batch(one), tuple(pairs.get(x) for x in one.operands))
        if alike != (_without_batch(other), other.operands):
            return {}
        pairs[one.name] = other.name
    return pairs if len(first) == len(second) > 0 else {}


def _without_batch(node: Node) -> object:
    type_ = replace(covariance(node.type), batch=("",))
    op = kernel_op(node).typed(type_.dtype, type_.batch)
    return type(op), op, type_
