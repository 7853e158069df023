"""Cropping: values keep the positions that somebody reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from typing import ClassVar

from ntc.ir.graph import Graph, Node, kernel_op
from ntc.ir.kernel.families import every, spatial_of
from ntc.ir.op import Interval, Intervals, covariance
from ntc.ir.schema import frozen
from ntc.ir.types import CovarianceType
from ntc.passes.base import Pass


def positions(graph: Graph) -> Mapping[str, Intervals]:
    """Per value, the positions of both images that the outputs read, through all ops in between.

    A backward analysis; where a value is read more than once, the smallest interval covers all reads. Below a readout
    of one pixel it is the receptive field of that pixel. Operands of entrywise ops keep the same positions, so that
    a value read more widely elsewhere (a skip connection) widens them all: repeated until nothing changes.
    """
    found: dict[str, Intervals] = {}
    for output in graph.outputs:
        found[output.value] = every(graph.covariance_of(output.value).spatial)
    while True:
        before = dict(found)
        for node in reversed(graph.nodes):
            _demand(graph, node, found)
        if found == before:
            return found


def _demand(graph: Graph, node: Node, found: dict[str, Intervals]) -> None:
    """Adds what one node reads; all, if nothing reads it."""
    op, spatial = kernel_op(node), covariance(node.type).spatial
    operands = [name for name in node.operands if name in graph.definitions]
    below = graph.covariance_of(operands[0]).spatial if operands else spatial
    if node.name not in found or op.positions_below(found[node.name], below) is None:
        found[node.name] = every(spatial)
    if op.slides(spatial) == (None,) * len(spatial):
        together = [found[name] for name in (node.name, *operands) if name in found]
        found[node.name] = tuple(reduce(_join, axis) for axis in zip(*together, strict=True))
    for name in operands:
        below = graph.covariance_of(name).spatial
        read = op.positions_below(found[node.name], below) or every(below)
        found[name] = tuple(map(_join, found.get(name, read), read))


def _join(first: Interval, second: Interval) -> Interval:
    return min(first[0], second[0]), max(first[1], second[1])


@frozen
class Crop(Pass):
    """Needs: a kernel graph in which every offset is tracked. Does: computes every value at the positions alone that
    are read: inputs are cropped, and filters read zeros only where the image ended. Leaves: the same outputs.
    """

    name: ClassVar[str] = "crop"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with smaller images."""
        kept = positions(graph)
        if all(kept[node.name] == every(covariance(node.type).spatial) for node in graph.nodes):
            return graph
        nodes = [_cropped(graph, node, kept) for node in graph.nodes]
        return replace(graph, nodes=tuple(nodes))


def _cropped(graph: Graph, node: Node, kept: Mapping[str, Intervals]) -> Node:
    type_, operand = covariance(node.type), next(iter(node.operands), "")
    own, below = kept[node.name], kept.get(operand, ())
    whole = graph.covariance_of(operand).spatial if operand in graph.definitions else ()
    if own == every(type_.spatial) and below == every(whole):
        return node
    op = kernel_op(node).cropped(own, below, whole)
    return replace(node, op=op, type=CovarianceType.dense(type_.dtype, type_.batch, spatial_of(own)))
