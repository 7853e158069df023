"""The kernel ops: the closed set of operations on covariances to which every layer lowers."""

from __future__ import annotations

from ntc.ir.kernel.attention import Attend, AttentionWeights, EmbedPositions, Spread
from ntc.ir.kernel.diagonal import AxisMean, DiagonalMean, DiagScale
from ntc.ir.kernel.distance import Covariance
from ntc.ir.kernel.edges import EdgeSum
from ntc.ir.kernel.inputs import Constant, Given, Gram, Unmasked
from ntc.ir.kernel.linear import Contract, Dilate, Interpolate, Linear
from ntc.ir.kernel.mix import MixPositions
from ntc.ir.kernel.pointwise import (
    Add,
    Affine,
    Div,
    Dual,
    DualApart,
    DualDot,
    DualDotApart,
    DualMean,
    GaussianIntegral,
    Mul,
    Positive,
)
from ntc.ir.kernel.positions import OnDiagonal, Permute
from ntc.ir.kernel.readout import Mirror, Reduce, Select
from ntc.ir.kernel.windows import Window, Window2
from ntc.ir.op import KernelOp

KERNEL_OPS: dict[str, type[KernelOp]] = {
    op.name: op
    for op in (
        Gram,
        Unmasked,
        Constant,
        Given,
        Affine,
        Add,
        Mul,
        Div,
        Positive,
        Dual,
        DualDot,
        Covariance,
        DualMean,
        DualApart,
        DualDotApart,
        Window,
        Window2,
        Reduce,
        Select,
        Mirror,
        EdgeSum,
        Dilate,
        Interpolate,
        Contract,
        MixPositions,
        Permute,
        OnDiagonal,
        DiagScale,
        DiagonalMean,
        AxisMean,
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
    "AxisMean",
    "Constant",
    "Contract",
    "Covariance",
    "DiagScale",
    "DiagonalMean",
    "Dilate",
    "Div",
    "Dual",
    "DualApart",
    "DualDot",
    "DualDotApart",
    "DualMean",
    "EdgeSum",
    "EmbedPositions",
    "GaussianIntegral",
    "Given",
    "Gram",
    "Interpolate",
    "Linear",
    "Mirror",
    "MixPositions",
    "Mul",
    "OnDiagonal",
    "Permute",
    "Positive",
    "Reduce",
    "Select",
    "Spread",
    "Unmasked",
    "Window",
    "Window2",
]
