"""The tensor ops: the layers of a network. One class is the whole definition of one layer."""

from __future__ import annotations

from ntc.ir.op import TensorOp
from ntc.ir.ops.activation import AbRelu, Abs, Elementwise, Erf, ErrorFunction, LeakyRelu, PiecewiseLinear, Relu, Sign
from ntc.ir.ops.affine import AffineLayer
from ntc.ir.ops.analytic import Analytic, GeluTanh, Mish, Sigmoid, Softplus, Swish, Tanh
from ntc.ir.ops.conv import Conv
from ntc.ir.ops.dense import Dense
from ntc.ir.ops.exponential import Exp, ExpNormalized, Gaussian, Gelu, SigmoidLike
from ntc.ir.ops.join import Concat, Product, Sum
from ntc.ir.ops.periodic import Cos, Gabor, Rbf, Sin, Sinusoid
from ntc.ir.ops.polynomial import Hermite, Monomial, Polynomial, PolynomialFamily, RectifiedMonomial
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
        Tanh,
        Sigmoid,
        Swish,
        Softplus,
        Mish,
        GeluTanh,
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
    )
}

__all__ = [
    "TENSOR_OPS",
    "AbRelu",
    "Abs",
    "AffineLayer",
    "Analytic",
    "AvgPool",
    "Concat",
    "Conv",
    "Cos",
    "Dense",
    "Elementwise",
    "Erf",
    "ErrorFunction",
    "Exp",
    "ExpNormalized",
    "Flatten",
    "Gabor",
    "Gaussian",
    "Gelu",
    "GeluTanh",
    "GlobalAvgPool",
    "GlobalSumPool",
    "Hermite",
    "Identity",
    "Index",
    "LeakyRelu",
    "Mish",
    "Monomial",
    "PiecewiseLinear",
    "Polynomial",
    "PolynomialFamily",
    "Product",
    "Rbf",
    "RectifiedMonomial",
    "Relu",
    "Sigmoid",
    "SigmoidLike",
    "Sign",
    "Sin",
    "Sinusoid",
    "Softplus",
    "Sum",
    "SumPool",
    "Swish",
    "Tanh",
]
