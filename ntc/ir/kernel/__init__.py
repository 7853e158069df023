"""The kernel ops: the closed set of operations on covariances to which every layer lowers."""

from __future__ import annotations

from ntc.ir.kernel.attention import Attend, AttentionWeights, EmbedPositions, Spread
from ntc.ir.kernel.diagonal import DiagonalMean, DiagScale
from ntc.ir.kernel.inputs import Constant, Gram
from ntc.ir.kernel.pointwise import Add, Affine, Dual, DualDot, GaussianIntegral, Mul
from ntc.ir.kernel.readout import Mirror, Reduce, Select
from ntc.ir.kernel.windows import Window, Window2
from ntc.ir.op import KernelOp

KERNEL_OPS: dict[str, type[KernelOp]] = {
    op.name: op
    for op in (
        Gram,
        Constant,
        Affine,
        Add,
        Mul,
        Dual,
        DualDot,
        Window,
        Window2,
        Reduce,
        Select,
        Mirror,
        DiagScale,
        DiagonalMean,
        AttentionWeights,
        Attend,
        EmbedPositions,
        Spread,
    )
}

__all__ = [
    "KERNEL_OPS",
    "Add",
    "Affine",
    "Attend",
    "AttentionWeights",
    "Constant",
    "DiagScale",
    "DiagonalMean",
    "Dual",
    "DualDot",
    "EmbedPositions",
    "GaussianIntegral",
    "Gram",
    "Mirror",
    "Mul",
    "Reduce",
    "Select",
    "Spread",
    "Window",
    "Window2",
]
