"""Tracking: each value keeps the offsets that somebody reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from ntc.ir.graph import Graph, Node, kernel_op
from ntc.ir.offsets import Offsets
from ntc.ir.op import OffsetsPerAxis, covariance
from ntc.ir.schema import frozen
from ntc.passes.base import Pass
from ntc.passes.rewrite import rewrite


def demand(graph: Graph) -> Mapping[str, OffsetsPerAxis]:
    """Per value, the offsets of every spatial axis that the outputs read, through all ops in between.

    A backward analysis; where a value is read more than once, the smallest progression covers all reads.
    A value that nothing reads keeps the offsets it tracks.
    """
    demands: dict[str, OffsetsPerAxis] = {}

    def read(name: str, offsets: OffsetsPerAxis) -> None:
        known = demands.get(name)
        demands[name] = tuple(map(Offsets.join, known, offsets)) if known else offsets

    for output in graph.outputs:
        read(output.value, tuple(map(Offsets.full, graph.covariance_of(output.value).spatial)))
    for node in reversed(graph.nodes):
        needed = demands.setdefault(node.name, graph.covariance_of(node.name).offsets)
        below = kernel_op(node).demand(needed, *graph.covariances(node.operands))
        for name, offsets in zip(node.operands, below, strict=False):
            read(name, offsets)
    return demands


@frozen
class Track(Pass):
    """Needs: a kernel graph, better one without dead values, which demand as well. Does: writes into the type of every
    value which offsets it tracks: those demanded, and no others. Leaves: every demand covered.
    """

    name: ClassVar[str] = "track"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with new types."""
        demands = demand(graph)

        def rule(node: Node) -> Node:
            type_ = covariance(node.type)
            return replace(node, type=type_.with_offsets(demands[node.name]))

        return rewrite(graph, rule)
