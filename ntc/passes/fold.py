"""Constant folding: what is the same number for every input is computed now."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ntc.ir.graph import Graph, Node, kernel_op
from ntc.ir.kernel import Constant
from ntc.ir.op import covariance
from ntc.ir.schema import frozen
from ntc.passes.base import Pass
from ntc.passes.rewrite import rewrite


@frozen
class Fold(Pass):
    """Needs: a kernel graph. Does: replaces values that are constant by `constant`, drops zero terms of sums
    and ones of products, and single-operand sums and products. Leaves: no constant that another op only
    multiplies by zero or adds as zero; types and outputs unchanged.
    """

    name: ClassVar[str] = "fold"

    def __call__(self, graph: Graph) -> Graph:
        """The folded graph."""
        constants: dict[str, float] = {}

        def rule(node: Node) -> Node | str:
            value = kernel_op(node).fold(*map(constants.get, node.operands))
            if value is not None:
                constants[node.name] = value
                return _constant(node, value)
            return _simplify(node, constants)

        return rewrite(graph, rule)


def _constant(node: Node, value: float) -> Node:
    type_ = covariance(node.type)
    return replace(node, op=Constant(value, type_.dtype, type_.batch, type_.spatial), operands=())


def _simplify(node: Node, constants: dict[str, float]) -> Node | str:
    """Without operands that do not matter. Some operand is not constant, so one remains."""
    op = kernel_op(node)
    if op.neutral is not None:
        kept = [i for i, x in enumerate(node.operands) if constants.get(x) != op.neutral]
        op = op.on_some(kept)
        node = replace(node, op=op, operands=tuple(node.operands[i] for i in kept))
    return node.operands[0] if op.identity and len(node.operands) == 1 else node
