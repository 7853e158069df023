"""The nonlinearities and their derivatives, from the formulas in their docstrings, for NumPy and for mpmath.

`formula(activation)` gives two functions of (m, x), where m is a module with exp, sin, ...: `numbers` below or mpmath.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial, pi, sqrt
from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.special

from ntc.ir import ops
from ntc.ir.op import Array, TensorOp
from ntc.ir.ops import ErrorFunction, PiecewiseLinear

numbers = SimpleNamespace(
    exp=np.exp,
    sin=np.sin,
    cos=np.cos,
    tanh=np.tanh,
    erf=scipy.special.erf,
    erfc=scipy.special.erfc,
    sign=np.sign,
    log1p=np.log1p,
    expm1=np.expm1,
    choose=np.where,
)
"""The functions of mpmath on arrays. `choose` of mpmath is Python's own conditional: see `formula`."""

Function = Callable[[Any, Any], Any]


def formula(activation: TensorOp) -> tuple[Function, Function]:
    """phi(m, x) and phi'(m, x)."""
    for table in (_closed, _analytic, _polynomials):
        found = table(activation)
        if found:
            return found
    raise NotImplementedError(activation)


def _choose(m: Any, condition: Any, yes: Any, no: Any) -> Any:
    return m.choose(condition, yes, no) if m is numbers else (yes if condition else no)


def _closed(activation: TensorOp) -> tuple[Function, Function] | None:
    match activation:
        case PiecewiseLinear():
            below, above = activation.slopes
            return (
                lambda m, x: _choose(m, x < 0, below * x, above * x),
                lambda m, x: _choose(m, x < 0, below + 0 * x, above + 0 * x),
            )
        case ErrorFunction():
            a, b, c = activation.a, activation.b, activation.c
            return lambda m, x: a * m.erf(b * x) + c, lambda m, x: 2 * a * b / sqrt(pi) * m.exp(-((b * x) ** 2))
        case ops.Sign():
            return lambda m, x: m.sign(x), lambda m, x: 0 * x
        case ops.Gelu():
            return (
                lambda m, x: x * m.erfc(-x / sqrt(2)) / 2,
                lambda m, x: m.erfc(-x / sqrt(2)) / 2 + x * m.exp(-(x**2) / 2) / sqrt(2 * pi),
            )
        case ops.Sin(a, b, c):
            return lambda m, x: a * m.sin(b * x + c), lambda m, x: a * b * m.cos(b * x + c)
        case ops.Cos(a, b, c):
            return lambda m, x: a * m.cos(b * x + c), lambda m, x: -a * b * m.sin(b * x + c)
        case ops.Rbf(gamma):
            root = sqrt(2 * gamma)
            return (
                lambda m, x: sqrt(2) * m.sin(root * x + pi / 4),
                lambda m, x: sqrt(2) * root * m.cos(root * x + pi / 4),
            )
        case ops.Gabor():
            return (
                lambda m, x: m.exp(-(x**2)) * m.sin(x),
                lambda m, x: m.exp(-(x**2)) * (m.cos(x) - 2 * x * m.sin(x)),
            )
        case ops.Gaussian(a, b):
            return lambda m, x: a * m.exp(b * x**2), lambda m, x: 2 * a * b * x * m.exp(b * x**2)
        case ops.Exp(a, b):
            return lambda m, x: a * m.exp(b * x), lambda m, x: a * b * m.exp(b * x)
    return None


def _analytic(activation: TensorOp) -> tuple[Function, Function] | None:
    def sigmoid(m: Any, x: Any) -> Any:
        return (1 + m.tanh(x / 2)) / 2

    def softplus(m: Any, x: Any) -> Any:
        return m.log1p(m.exp(-abs(x))) + (x + abs(x)) / 2

    def mish_gate(m: Any, x: Any) -> Any:
        return m.tanh(softplus(m, x))

    def gate(m: Any, x: Any) -> Any:
        return m.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))

    match activation:
        case ops.Tanh():
            return lambda m, x: m.tanh(x), lambda m, x: 1 - m.tanh(x) ** 2
        case ops.Sigmoid():
            return sigmoid, lambda m, x: (1 - m.tanh(x / 2) ** 2) / 4
        case ops.Swish():
            return (
                lambda m, x: x * sigmoid(m, x),
                lambda m, x: sigmoid(m, x) + x * (1 - m.tanh(x / 2) ** 2) / 4,
            )
        case ops.Softplus():
            return softplus, sigmoid
        case ops.Mish():
            return (
                lambda m, x: x * mish_gate(m, x),
                lambda m, x: mish_gate(m, x) + x * (1 - mish_gate(m, x) ** 2) * sigmoid(m, x),
            )
        case ops.GeluTanh():
            return (
                lambda m, x: x * (1 + gate(m, x)) / 2,
                lambda m, x: (
                    (1 + gate(m, x)) / 2 + x * (1 - gate(m, x) ** 2) * sqrt(2 / pi) * (1 + 3 * 0.044715 * x**2) / 2
                ),
            )
    return None


def _polynomials(activation: TensorOp) -> tuple[Function, Function] | None:
    match activation:
        case ops.RectifiedMonomial(n):
            return (
                lambda m, x: _choose(m, x >= 0, x**n, 0 * x),
                lambda m, x: _choose(m, x >= 0, n * x ** max(n - 1, 0), 0 * x),
            )
        case ops.Polynomial(coefficients):
            return _of_coefficients(coefficients)
        case ops.Monomial(n):
            return _of_coefficients((*(0.0,) * n, 1.0))
        case ops.Hermite(n):
            power = np.polynomial.hermite_e.herme2poly([0.0] * n + [1.0])
            return _of_coefficients(tuple(float(c) / sqrt(factorial(n)) for c in power))
    return None


def _of_coefficients(coefficients: tuple[float, ...]) -> tuple[Function, Function]:
    return (
        lambda m, x: sum((c * x**i for i, c in enumerate(coefficients)), 0 * x),
        lambda m, x: sum((i * c * x ** (i - 1) for i, c in enumerate(coefficients) if i), 0 * x),
    )


def phi(activation: TensorOp) -> Callable[[Array], Array]:
    """The nonlinearity on arrays. The one that is not elementwise takes the last axis as channels."""
    if isinstance(activation, ops.ExpNormalized):
        gamma, shift = activation.gamma, activation.shift

        def normalized(x: Array) -> Array:
            size = np.sqrt(np.mean(x**2, axis=-1, keepdims=True))
            return size * np.exp(sqrt(gamma) * x / size + gamma * (shift - 1) / 2)

        return normalized
    function, _ = formula(activation)
    return lambda x: function(numbers, x)


def slope(activation: TensorOp) -> Callable[[Array], Array]:
    """Its derivative, away from kinks."""
    _, derivative = formula(activation)
    return lambda x: derivative(numbers, x)


def smooth_quadrature(f: Callable[[Array], Array], correlation: float, v1: float, v2: float) -> float:
    """E[f(u) f(v)] by the trapezoidal rule, which converges exponentially for functions without kinks: to 1e-13 if
    f has no singularity within half a standard deviation of the real axis."""
    z = np.linspace(-13, 13, 521)
    weight = np.exp(-(z**2) / 2) * 0.05 / sqrt(2 * pi)
    other = sqrt((1 - correlation) * (1 + correlation))
    u, v = sqrt(v1) * z[:, None], sqrt(v2) * (correlation * z[:, None] + other * z)
    return float(weight @ (f(u) * f(v)) @ weight)
