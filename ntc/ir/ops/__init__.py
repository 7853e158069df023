"""The tensor ops: the layers of a network. One class is the whole definition of one layer."""

from __future__ import annotations

from ntc.ir.op import TensorOp
from ntc.ir.ops.activation import AbRelu, Abs, Elementwise, Erf, ErrorFunction, LeakyRelu, PiecewiseLinear, Relu, Sign
from ntc.ir.ops.affine import AffineLayer
from ntc.ir.ops.aggregate import Aggregate
from ntc.ir.ops.analytic import Analytic, GeluTanh, Mish, Sigmoid, Softplus, Swish, Tanh
from ntc.ir.ops.attention import SelfAttention
from ntc.ir.ops.channels import DepthwiseConv, GroupedConv
from ntc.ir.ops.concat_spatial import ConcatSpatial
from ntc.ir.ops.conv import Conv, Convolution
from ntc.ir.ops.conv_local import ConvLocal
from ntc.ir.ops.conv_transpose import ConvTranspose
from ntc.ir.ops.custom import CustomActivation
from ntc.ir.ops.dense import Dense
from ntc.ir.ops.dropout import Dropout
from ntc.ir.ops.elu import Celu, Elu, ExponentialLinear, Selu
from ntc.ir.ops.exponential import Exp, ExpNormalized, Gaussian, Gelu, SigmoidLike
from ntc.ir.ops.finite_only import BatchNorm, FiniteOnly, LogSoftmax, Softmax
from ntc.ir.ops.given_activation import GivenActivation
from ntc.ir.ops.hinges import HardTanh, Hinges, Relu6
from ntc.ir.ops.join import Concat, Product, Sum
from ntc.ir.ops.kinked import HardSwish, Kinked
from ntc.ir.ops.layer_norm import LayerNorm
from ntc.ir.ops.learnt import Bias, ClassToken, LayerScale
from ntc.ir.ops.linear import Matrix, Mix, Pad, Resize, Scale, Slice, Transpose
from ntc.ir.ops.mask import Mask
from ntc.ir.ops.max_pool import MaxPool
from ntc.ir.ops.periodic import Cos, Gabor, Rbf, Sin, Sinusoid
from ntc.ir.ops.polynomial import (
    Hermite,
    Monomial,
    Polynomial,
    PolynomialFamily,
    RectifiedMonomial,
    RectifiedPower,
    SquaredRelu,
)
from ntc.ir.ops.pool import AvgPool, GlobalAvgPool, GlobalSumPool, SumPool
from ntc.ir.ops.power import PowerLaw
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
        Sign,
        SigmoidLike,
        Gelu,
        Sin,
        Cos,
        Rbf,
        Gabor,
        Gaussian,
        Exp,
        ExpNormalized,
        Hermite,
        Monomial,
        Polynomial,
        RectifiedMonomial,
        SquaredRelu,
        Tanh,
        Sigmoid,
        Swish,
        Softplus,
        Mish,
        GeluTanh,
        Relu6,
        HardTanh,
        HardSwish,
        Elu,
        Selu,
        Celu,
        CustomActivation,
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
        Mix,
        Transpose,
        Scale,
        Dropout,
        LayerNorm,
        LayerScale,
        Bias,
        ClassToken,
        MaxPool,
        Softmax,
        LogSoftmax,
        BatchNorm,
        SelfAttention,
    )
}

__all__ = [
    "TENSOR_OPS",
    "AbRelu",
    "Abs",
    "AffineLayer",
    "Aggregate",
    "Analytic",
    "AvgPool",
    "BatchNorm",
    "Bias",
    "Celu",
    "ClassToken",
    "Concat",
    "ConcatSpatial",
    "Conv",
    "ConvLocal",
    "ConvTranspose",
    "Convolution",
    "Cos",
    "CustomActivation",
    "Dense",
    "DepthwiseConv",
    "Dropout",
    "Elementwise",
    "Elu",
    "Erf",
    "ErrorFunction",
    "Exp",
    "ExpNormalized",
    "ExponentialLinear",
    "FiniteOnly",
    "Flatten",
    "Gabor",
    "Gaussian",
    "Gelu",
    "GeluTanh",
    "GivenActivation",
    "GlobalAvgPool",
    "GlobalSumPool",
    "GroupedConv",
    "HardSwish",
    "HardTanh",
    "Hermite",
    "Hinges",
    "Identity",
    "Index",
    "Kinked",
    "LayerNorm",
    "LayerScale",
    "LeakyRelu",
    "LogSoftmax",
    "Mask",
    "Matrix",
    "MaxPool",
    "Mish",
    "Mix",
    "Monomial",
    "Pad",
    "PiecewiseLinear",
    "Polynomial",
    "PolynomialFamily",
    "PowerLaw",
    "Product",
    "Rbf",
    "RectifiedMonomial",
    "RectifiedPower",
    "Relu",
    "Relu6",
    "Resize",
    "Scale",
    "SelfAttention",
    "Selu",
    "Sigmoid",
    "SigmoidLike",
    "Sign",
    "Sin",
    "Sinusoid",
    "Slice",
    "Softmax",
    "Softplus",
    "SquaredRelu",
    "Sum",
    "SumPool",
    "Swish",
    "Tanh",
    "Transpose",
]
