"""Poolings along several axes as one pooling per axis."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ntc.ir.graph import Graph, Node
from ntc.ir.kernel import Window2
from ntc.ir.op import covariance
from ntc.ir.schema import frozen
from ntc.ir.sliding import per_axis
from ntc.ir.types import CovarianceType
from ntc.passes.base import Pass


@frozen
class Split(Pass):
    """Needs: a kernel graph in which every offset is tracked. Does: replaces a pooling along several axes by poolings
    along one axis each, the last axis first. Leaves: the same values; a pooling along the last axis mixes only the
    offsets of that axis, so that what is below it can run for some offsets of the others at a time.
    """

    name: ClassVar[str] = "split"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with a chain for every such pooling."""
        taken = set(graph.types)
        nodes: list[Node] = []
        for node in graph.nodes:
            op, rank = node.op, len(covariance(node.type).spatial)
            if isinstance(op, Window2) and len(_moved(op, rank)) > 1:
                nodes += _chain(node, op, graph.covariance_of(node.operands[0]), taken)
            else:
                nodes.append(node)
        return replace(graph, nodes=tuple(nodes))


def _moved(op: Window2, axes: int) -> list[int]:
    """Axes along which the filter is more than one position, moves by more, or does not read the whole image."""
    stride = per_axis("stride", op.stride, (1,) * axes)
    return [axis for axis in range(axes) if op.window[axis] > 1 or stride[axis] > 1 or any(_pads(op, axis))]


def _pads(op: Window2, axis: int) -> tuple[int, ...]:
    """Explicit pads along one axis; none if those of `padding` hold."""
    return op.pads[2 * axis : 2 * axis + 2]


def _chain(node: Node, op: Window2, type_: CovarianceType, taken: set[str]) -> list[Node]:
    operand = node.operands[0]
    rank = len(type_.spatial)
    stride = per_axis("stride", op.stride, type_.spatial)
    nodes: list[Node] = []
    for axis in reversed(_moved(op, rank)):
        window = tuple(op.window[i] if i == axis else 1 for i in range(rank))
        strides = tuple(stride[i] if i == axis else 1 for i in range(rank))
        pads = tuple(p for i in range(rank) for p in (_pads(op, i) if i == axis else (0, 0))) if op.pads else ()
        step = replace(op, window=window, stride=strides, pads=pads)
        type_ = step.result(type_)
        nodes.append(Node(_unique(f"{node.name}{axis}", taken), step, (operand,), type_, node.location))
        operand = nodes[-1].name
    nodes[-1] = replace(nodes[-1], name=node.name)
    return nodes


def _unique(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
