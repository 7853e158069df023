"""How convolutions are computed."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import ClassVar, Literal

from ntc.ir.graph import Graph, Node
from ntc.ir.kernel import Window
from ntc.ir.kernel.windows import ConvLowering
from ntc.ir.schema import frozen
from ntc.ir.types import CovarianceType
from ntc.passes.base import Pass
from ntc.passes.rewrite import rewrite

_FEW_TAPS = 9


@frozen
class LowerConv(Pass):
    """Needs: a kernel graph. Does: chooses for every convolution the cheapest lowering by a count of operations per
    entry, or sets the one asked for. Leaves: the same values.

    The count is the same for all targets. A TPU has units for products with banded matrices; in full float32 precision
    these move more memory than they save arithmetic, and their programs are six times larger.

    Attributes:
      lowering: `auto`, or one for all.
    """

    name: ClassVar[str] = "lower_conv"
    lowering: Literal["auto", "separable", "direct", "matrix"] = "auto"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with a lowering for every convolution."""

        def rule(node: Node) -> Node:
            if not isinstance(node.op, Window):
                return node
            operand = graph.covariance_of(node.operands[0])
            chosen = self._cheapest(node.op, operand) if self.lowering == "auto" else self.lowering
            return replace(node, op=replace(node.op, lowering=chosen))

        return rewrite(graph, rule)

    def _cheapest(self, op: Window, operand: CovarianceType) -> ConvLowering:
        if len(operand.batch) == 1 and op.taps <= _FEW_TAPS:
            return "direct"  # marginals cost little to run: one computation less to compile
        costs = costs_of(op, operand.spatial)
        return min(costs, key=lambda lowering: costs[lowering])


def costs_of(op: Window, spatial: tuple[int, ...]) -> dict[ConvLowering, float]:
    """Operations per entry of every lowering, on an image of these sizes; equal costs prefer the first."""
    axes = op.geometry(spatial)
    moved = [axis for axis in axes if axis.window > 1]
    return {
        "separable": sum(2 * axis.window for axis in moved) + 2.0 * max(0, len(moved) - 1),
        "direct": 2.0 * prod(axis.window for axis in axes),
        "matrix": sum(2.0 * axis.size for axis in moved) + 2.0 * len(moved),
    }
