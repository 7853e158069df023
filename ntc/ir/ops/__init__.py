"""The tensor ops: the layers of a network. One class is the whole definition of one layer."""

from __future__ import annotations

from ntc.ir.op import TensorOp
from ntc.ir.ops.activation import AbRelu, Abs, Elementwise, Erf, LeakyRelu, PiecewiseLinear, Relu
from ntc.ir.ops.affine import AffineLayer
from ntc.ir.ops.aggregate import Aggregate
from ntc.ir.ops.attention import SelfAttention
from ntc.ir.ops.channels import DepthwiseConv, GroupedConv
from ntc.ir.ops.concat_spatial import ConcatSpatial
from ntc.ir.ops.conv import Conv, Convolution
from ntc.ir.ops.conv_local import ConvLocal
from ntc.ir.ops.conv_transpose import ConvTranspose
from ntc.ir.ops.dense import Dense
from ntc.ir.ops.dropout import Dropout
from ntc.ir.ops.join import Concat, Product, Sum
from ntc.ir.ops.layer_norm import LayerNorm
from ntc.ir.ops.linear import Matrix, Pad, Resize, Scale, Slice, Transpose
from ntc.ir.ops.mask import Mask
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
        Mask,
        AvgPool,
        SumPool,
        GlobalAvgPool,
        GlobalSumPool,
        Aggregate,
        Flatten,
        Index,
        Sum,
        Product,
        Concat,
        ConcatSpatial,
        ConvTranspose,
        ConvLocal,
        GroupedConv,
        DepthwiseConv,
        Slice,
        Pad,
        Resize,
        Matrix,
        Transpose,
        Scale,
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
    "Aggregate",
    "AvgPool",
    "Concat",
    "ConcatSpatial",
    "Conv",
    "ConvLocal",
    "ConvTranspose",
    "Convolution",
    "Dense",
    "DepthwiseConv",
    "Dropout",
    "Elementwise",
    "Erf",
    "Flatten",
    "GlobalAvgPool",
    "GlobalSumPool",
    "GroupedConv",
    "Identity",
    "Index",
    "LayerNorm",
    "LeakyRelu",
    "Mask",
    "Matrix",
    "Pad",
    "PiecewiseLinear",
    "Product",
    "Relu",
    "Resize",
    "Scale",
    "SelfAttention",
    "Slice",
    "Sum",
    "SumPool",
    "Transpose",
]
