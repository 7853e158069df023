"""Poolings of poolings as one pooling, poolings of a whole image as a mean, and readouts of the input in its gram."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import ClassVar

from ntc.ir.graph import Graph, Node, kernel_op
from ntc.ir.kernel import Gram, Reduce, Window2
from ntc.ir.op import covariance
from ntc.ir.schema import frozen
from ntc.ir.sliding import per_axis
from ntc.ir.types import ArrayType, Spatial
from ntc.passes.base import Pass
from ntc.passes.rewrite import rewrite


@frozen
class Merge(Pass):
    """Needs: a kernel graph in which every offset is tracked. Does: replaces a pooling of a pooling by one pooling,
    where windows do not overlap and leave nothing over; a readout of a pooling that leaves one pixel by a mean or sum
    over all pairs of positions; and a readout of the input by the gram of what is read: of images as vectors, or of
    their means. Leaves: values that nothing reads any more.
    """

    name: ClassVar[str] = "merge"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with fewer poolings."""
        nodes: dict[str, Node] = {}

        def rule(node: Node) -> Node:
            below = nodes.get(node.operands[0]) if node.operands else None
            if below is not None and isinstance(below.op, Window2):
                spatial = graph.covariance_of(below.operands[0]).spatial
                node = _merged(node, below, below.op, spatial)
            if below is not None and isinstance(node.op, Reduce) and isinstance(below.op, Gram):
                array = graph.type_of(below.operands[0])
                node = _read_out(node, node.op, below, array) if isinstance(array, ArrayType) else node
            nodes[node.name] = node
            return node

        return rewrite(graph, rule)


def _merged(node: Node, below: Node, pool: Window2, spatial: Spatial) -> Node:
    """The node on the operand of the pooling below it, if it can do without."""
    if not _tiles(pool, spatial):
        return node
    op = node.op
    if kernel_op(node).lanes == "removed" and set(covariance(below.type).spatial) == {1}:
        return replace(node, op=Reduce("sum" if pool.reduction == "sum" else "mean"), operands=below.operands)
    if type(op) is type(pool) and op.reduction == pool.reduction and _apart(op, len(spatial)):
        window = tuple(a * b for a, b in zip(op.window, pool.window, strict=True))
        return replace(node, op=replace(op, window=window, stride=window), operands=below.operands)
    return node


def _read_out(node: Node, readout: Reduce, below: Node, array: ArrayType) -> Node:
    """The readout of a gram as the gram of what the data are then, if no mask says which positions count."""
    gram = below.op
    if type(gram) is not Gram or gram.masked is not None or gram.crop or gram.pooled or not _pools(readout, gram):
        return node
    if readout.reduction != "trace":
        return replace(node, op=replace(gram, pooled=readout.reduction), operands=below.operands)
    size = prod(gram.shape) if gram.shape else prod(array.spatial) * array.channels
    return replace(node, op=replace(gram, shape=(size,)), operands=below.operands)


def _pools(readout: Reduce, gram: Gram) -> bool:
    """Whether positions can be read as more channels: not where further channels of the array are something else."""
    return readout.reduction != "trace" or gram.channels is None


def _apart(pool: Window2, axes: int) -> bool:
    """Whether windows neither overlap nor leave gaps, and are all inside the image."""
    stride = per_axis("stride", pool.stride, (1,) * axes)
    return stride == pool.window and pool.padding == "valid" and pool.reduction != "edge_mean"


def _tiles(pool: Window2, spatial: Spatial) -> bool:
    """Whether every position is in exactly one window."""
    whole = all(size % window == 0 for size, window in zip(spatial, pool.window, strict=True))
    return whole and _apart(pool, len(spatial))
