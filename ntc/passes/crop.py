"""Cropping: values keep the positions that somebody reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import reduce
from itertools import chain
from typing import ClassVar

from ntc.ir.graph import Graph, Node
from ntc.ir.kernel import Constant, GaussianIntegral, Gram, Reduce, Select, Window, Window2
from ntc.ir.kernel.pointwise import Pointwise
from ntc.ir.op import covariance
from ntc.ir.schema import frozen
from ntc.ir.sliding import Sliding
from ntc.ir.types import CovarianceType, Spatial
from ntc.passes.base import Pass

Interval = tuple[int, int]
"""Positions from the first up to, without, the second."""

Intervals = tuple[Interval, ...]
"""One per spatial axis."""

_STILL = Pointwise | GaussianIntegral
"""Ops whose result is at the positions of their operands. What is not known here reads every position."""


def positions(graph: Graph) -> Mapping[str, Intervals]:
    """Per value, the positions of both images that the outputs read, through all ops in between.

    A backward analysis; where a value is read more than once, the smallest interval covers all reads. Below a readout
    of one pixel it is the receptive field of that pixel. Operands of entrywise ops keep the same positions, so that
    a value read more widely elsewhere (a skip connection) widens them all: repeated until nothing changes.
    """
    found: dict[str, Intervals] = {}
    for output in graph.outputs:
        found[output.value] = _all(graph.covariance_of(output.value).spatial)
    while True:
        before = dict(found)
        for node in reversed(graph.nodes):
            _demand(graph, node, found)
        if found == before:
            return found


def _demand(graph: Graph, node: Node, found: dict[str, Intervals]) -> None:
    """Adds what one node reads; all, if nothing reads it."""
    operands = [name for name in node.operands if name in graph.definitions]
    if _fixed(node) or node.name not in found:
        found[node.name] = _all(covariance(node.type).spatial)
    if isinstance(node.op, _STILL):
        together = [found[name] for name in (node.name, *operands) if name in found]
        found[node.name] = tuple(reduce(_join, axis) for axis in zip(*together, strict=True))
    for name in operands:
        read = _below(node, found[node.name], graph.covariance_of(name).spatial)
        found[name] = tuple(map(_join, found.get(name, read), read))


def _join(first: Interval, second: Interval) -> Interval:
    return min(first[0], second[0]), max(first[1], second[1])


def _all(spatial: Spatial) -> Intervals:
    return tuple((0, size) for size in spatial)


def _fixed(node: Node) -> bool:
    """Whether the node computes and reads every position."""
    if isinstance(node.op, Window | Window2):
        return node.op.padding == "circular"
    return not isinstance(node.op, _STILL | Gram | Constant | Select | Reduce)


def _below(node: Node, intervals: Intervals, spatial: Spatial) -> Intervals:
    """The positions of an operand that are read."""
    op = node.op
    if isinstance(op, Select):
        return tuple((p, p + 1) for p in op.position)
    if isinstance(op, Reduce) or _fixed(node):
        return _all(spatial)
    if isinstance(op, Window | Window2):
        return tuple(map(_read, intervals, op.geometry(spatial)))
    return intervals


def _read(interval: Interval, axis: Sliding) -> Interval:
    first = axis.stride * interval[0] - axis.pads[0]
    stop = axis.stride * (interval[1] - 1) - axis.pads[0] + axis.span
    low = min(max(0, first), axis.size - 1)
    return low, max(low + 1, min(axis.size, stop))


@frozen
class Crop(Pass):
    """Needs: a kernel graph in which every offset is tracked. Does: computes every value at the positions alone that
    are read: inputs are cropped, and filters read zeros only where the image ended. Leaves: the same outputs.
    """

    name: ClassVar[str] = "crop"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with smaller images."""
        kept = positions(graph)
        if all(kept[node.name] == _all(covariance(node.type).spatial) for node in graph.nodes):
            return graph
        nodes = [_cropped(graph, node, kept) for node in graph.nodes]
        return replace(graph, nodes=tuple(nodes))


def _cropped(graph: Graph, node: Node, kept: Mapping[str, Intervals]) -> Node:
    own, type_ = kept[node.name], covariance(node.type)
    op = node.op
    below = kept[node.operands[0]] if node.operands and node.operands[0] in kept else ()
    if isinstance(op, Gram) and own != _all(type_.spatial):
        op = replace(op, crop=tuple(p for interval in own for p in interval))
    elif isinstance(op, Constant):
        op = replace(op, spatial=_sizes(own))
    elif isinstance(op, Select):
        op = replace(op, position=tuple(p - low for p, (low, _) in zip(op.position, below, strict=True)))
    elif isinstance(op, Window | Window2) and not _fixed(node):
        pads = tuple(_pads(own, below, op.geometry(graph.covariance_of(node.operands[0]).spatial)))
        implied = op.geometry(_sizes(below))
        if pads != tuple(chain.from_iterable(axis.pads for axis in implied)) or _sizes(own) != _outputs(implied):
            op = replace(op, pads=pads)
    return replace(node, op=op, type=CovarianceType.dense(type_.dtype, type_.batch, _sizes(own)))


def _sizes(intervals: Intervals) -> Spatial:
    return tuple(stop - start for start, stop in intervals)


def _outputs(geometry: Iterable[Sliding]) -> Spatial:
    return tuple(axis.outputs for axis in geometry)


def _pads(own: Intervals, below: Intervals, geometry: Iterable[Sliding]) -> Iterable[int]:
    """What a filter reads before and after the positions of its operand that are there."""
    for (first, stop), (low, high), axis in zip(own, below, geometry, strict=True):
        begin = axis.stride * first - axis.pads[0]
        end = axis.stride * (stop - 1) - axis.pads[0] + axis.span
        yield low - begin
        yield end - high
