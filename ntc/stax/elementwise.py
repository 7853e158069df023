"""Nonlinearities, with the names and defaults of Neural Tangents. Each is documented in `ntc.nn`.

`do_stabilize` is accepted and has no effect: rules that need no clipping are exact at correlation one.
"""

from __future__ import annotations

from collections.abc import Sequence

from ntc import nn
from ntc.stax.combinators import Layer, single


def Relu(do_stabilize: bool = False) -> Layer:  # noqa: N802
    return single(nn.relu())


def LeakyRelu(alpha: float, do_stabilize: bool = False) -> Layer:  # noqa: N802
    return single(nn.leaky_relu(alpha))


def ABRelu(a: float, b: float, do_stabilize: bool = False) -> Layer:  # noqa: N802
    return single(nn.ab_relu(a, b))


def Abs(do_stabilize: bool = False) -> Layer:  # noqa: N802
    return single(nn.abs())


def Erf(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> Layer:  # noqa: N802
    return single(nn.erf(a, b, c))


def Sigmoid_like() -> Layer:  # noqa: N802
    return single(nn.sigmoid_like())


def Gelu(approximate: bool = False) -> Layer:  # noqa: N802
    """The error function; with `approximate`, its tanh form, in finite networks and in kernels alike."""
    return single(nn.gelu_tanh() if approximate else nn.gelu())


def Sin(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> Layer:  # noqa: N802
    return single(nn.sin(a, b, c))


def Cos(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> Layer:  # noqa: N802
    return single(nn.cos(a, b, c))


def Rbf(gamma: float = 1.0) -> Layer:  # noqa: N802
    return single(nn.rbf(gamma))


def Sign() -> Layer:  # noqa: N802
    return single(nn.sign())


def Exp(a: float = 1, b: float = 1) -> Layer:  # noqa: N802
    return single(nn.exp(a, b))


def Gaussian(a: float = 1, b: float = -1) -> Layer:  # noqa: N802
    return single(nn.gaussian(a, b))


def ExpNormalized(gamma: float = 1, shift: float = -1, do_clip: bool = False) -> Layer:  # noqa: N802
    return single(nn.exp_normalized(gamma, shift))


def Gabor() -> Layer:  # noqa: N802
    return single(nn.gabor())


def Hermite(degree: int) -> Layer:  # noqa: N802
    return single(nn.hermite(degree))


def Monomial(degree: int) -> Layer:  # noqa: N802
    return single(nn.monomial(degree))


def RectifiedMonomial(degree: int) -> Layer:  # noqa: N802
    return single(nn.rectified_monomial(degree))


def Polynomial(coef: Sequence[float]) -> Layer:  # noqa: N802
    return single(nn.polynomial(tuple(coef)))
