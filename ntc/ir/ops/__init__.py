"""The tensor ops: the layers of a network. One class is the whole definition of one layer."""

from __future__ import annotations

from ntc.ir.op import TensorOp
from ntc.ir.ops.activation import AbRelu, Abs, Elementwise, Erf, LeakyRelu, PiecewiseLinear, Relu
from ntc.ir.ops.affine import AffineLayer
from ntc.ir.ops.attention import SelfAttention
from ntc.ir.ops.conv import Conv
from ntc.ir.ops.dense import Dense
from ntc.ir.ops.dropout import Dropout
from ntc.ir.ops.join import Concat, Product, Sum
from ntc.ir.ops.layer_norm import LayerNorm
from ntc.ir.ops.pool import AvgPool, GlobalAvgPool, GlobalSumPool, SumPool
from ntc.ir.ops.shape import Flatten, Identity, Index

TENSOR_OPS: dict[str, type[TensorOp]] = {
    op.name: op
    for op in (
        Dense,
        Conv,
        Relu,
        LeakyRelu,
        AbRelu,
        Abs,
        Erf,
        Identity,
        AvgPool,
        SumPool,
        GlobalAvgPool,
        GlobalSumPool,
        Flatten,
        Index,
        Sum,
        Product,
        Concat,
        Dropout,
        LayerNorm,
        SelfAttention,
    )
}

__all__ = [
    "TENSOR_OPS",
    "AbRelu",
    "Abs",
    "AffineLayer",
    "AvgPool",
    "Concat",
    "Conv",
    "Dense",
    "Dropout",
    "Elementwise",
    "Erf",
    "Flatten",
    "GlobalAvgPool",
    "GlobalSumPool",
    "Identity",
    "Index",
    "LayerNorm",
    "LeakyRelu",
    "PiecewiseLinear",
    "Product",
    "Relu",
    "SelfAttention",
    "Sum",
    "SumPool",
]
