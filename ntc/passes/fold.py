"""Constant folding: what is the same number for every input is computed now."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from ntc.ir.graph import Graph, Node, kernel_op
from ntc.ir.hyper import hypers_of
from ntc.ir.kernel import (
    Add,
    Affine,
    Attend,
    Constant,
    DiagonalMean,
    DiagScale,
    EdgeSum,
    GaussianIntegral,
    Linear,
    MixPositions,
    Mul,
    OnDiagonal,
    Permute,
    Positive,
    Reduce,
    Select,
    Spread,
    Window,
    Window2,
)
from ntc.ir.op import Array, covariance
from ntc.ir.schema import frozen
from ntc.ir.types import CovarianceType
from ntc.passes.base import Pass
from ntc.passes.rewrite import rewrite

_UNIFORM = (Affine, Add, Mul, Positive, GaussianIntegral, Reduce, Select, DiagonalMean, Spread)
"""Ops that turn the same number everywhere into the same number everywhere."""

_LINEAR = (Window2, Reduce, DiagScale, Attend, Linear, MixPositions, Permute, OnDiagonal, EdgeSum)
"""Ops that turn zeros, of their first operand, into zeros."""


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
            value = _value(node, constants)
            if value is not None:
                constants[node.name] = value
                return _constant(node, value)
            return _simplify(node, constants)

        return rewrite(graph, rule)


def _value(node: Node, constants: dict[str, float]) -> float | None:
    """The number that the node is everywhere, if it is one."""
    op = node.op
    known = [constants.get(x) for x in node.operands]
    if isinstance(op, Constant):
        return op.value
    if isinstance(op, Affine | Window) and isinstance(op.b_std, float) and 0.0 in (op.w_std, known[0]):
        return op.b_std**2
    if isinstance(op, Mul) and 0.0 in known:
        return 0.0
    if isinstance(op, _LINEAR) and known[0] == 0.0:
        return 0.0  # at the edges as well
    if not known or any(x is None for x in known):
        return None
    if not isinstance(op, _UNIFORM) or any(hypers_of(op)):
        return None  # a hyperparameter is no constant
    return _evaluate(node, [x for x in known if x is not None])


def _evaluate(node: Node, operands: list[float]) -> float | None:
    """The op on one-pixel images of one example; None if the result is not a finite number."""
    type_ = covariance(node.type)
    small = CovarianceType.dense(type_.dtype, type_.batch, ())
    if isinstance(node.op, Reduce) and node.op.reduction == "sum":
        return None
    op = kernel_op(node)
    if isinstance(op, Reduce | Select | DiagonalMean):
        return operands[0]
    arrays: list[Array] = [np.full((1,) * len(type_.batch), x) for x in operands]
    if isinstance(op, GaussianIntegral):
        arrays[1:] = [np.full((1,), x) for x in operands[1:]]
    value = float(op.reference(small, *arrays).item())
    return value if np.isfinite(value) else None


def _constant(node: Node, value: float) -> Node:
    type_ = covariance(node.type)
    return replace(node, op=Constant(value, type_.dtype, type_.batch, type_.spatial), operands=())


def _simplify(node: Node, constants: dict[str, float]) -> Node | str:
    """Without operands that do not matter. Some operand is not constant, so one remains."""
    op = node.op
    if op == Affine(1.0, 0.0):
        return node.operands[0]
    if not isinstance(op, Add | Mul):
        return node
    neutral = 0.0 if isinstance(op, Add) else 1.0
    kept = [i for i, x in enumerate(node.operands) if constants.get(x) != neutral]
    if isinstance(op, Add) and op.weights:
        op = Add(tuple(op.weights[i] for i in kept))
    operands = tuple(node.operands[i] for i in kept)
    if len(operands) == 1 and op in (Add(), Add((1.0,)), Mul()):
        return operands[0]
    return replace(node, op=op, operands=operands)
