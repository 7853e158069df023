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
from ntc.ir.calculus import derivative
from ntc.ir.expression import Expression, evaluate
from ntc.ir.op import Array, TensorOp
from ntc.ir.ops import ErrorFunction, PiecewiseLinear
from ntc.ir.ops.custom import on_arrays

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
        case ops.Relu6():
            return _clipped(0, 6)
        case ops.HardTanh():
            return _clipped(-1, 1)
        case ops.HardSwish():
            return (
                lambda m, x: _choose(m, x < -3, 0 * x, _choose(m, x > 3, x, x * (x + 3) / 6)),
                lambda m, x: _choose(m, x < -3, 0 * x, _choose(m, x > 3, 1 + 0 * x, x / 3 + 0.5)),
            )
        case ops.ExponentialLinear():
            above, depth, decay = activation.above, activation.depth, activation.decay
            return (
                lambda m, x: above * (x + abs(x)) / 2 + depth * m.expm1((x - abs(x)) / (2 * decay)),
                lambda m, x: _choose(m, x > 0, above + 0 * x, depth / decay * m.exp((x - abs(x)) / (2 * decay))),
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
        case ops.CustomActivation():
            body = activation.body
            return lambda m, x: _evaluated(m, body, x), lambda m, x: _evaluated(m, derivative(body), x)
        case ops.Exp(a, b):
            return lambda m, x: a * m.exp(b * x), lambda m, x: a * b * m.exp(b * x)
    return None


def _evaluated(m: Any, body: Expression, x: Any) -> Any:
    if m is numbers:
        return on_arrays(body, x)
    return evaluate(body, x, {"sin": m.sin, "cos": m.cos, "tanh": m.tanh, "sigmoid": lambda y: (1 + m.tanh(y / 2)) / 2})


def _clipped(low: float, high: float) -> tuple[Function, Function]:
    return (
        lambda m, x: _choose(m, x < low, low + 0 * x, _choose(m, x > high, high + 0 * x, x)),
        lambda m, x: _choose(m, x < low, 0 * x, _choose(m, x > high, 0 * x, 1 + 0 * x)),
    )


def kinks(activation: TensorOp) -> tuple[float, ...]:
    """Where the derivative jumps, or one of higher order does."""
    match activation:
        case ops.Hinges():
            return tuple(one.sign * one.distance for one in activation.hinges)
        case ops.HardSwish():
            return (-3.0, 3.0)
        case ops.ExponentialLinear():
            return (0.0,)
    return ()


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
        case ops.RectifiedPower():
            n = activation.degree
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
        lambda m, x: sum((c * x**i for i, c in enumerate(coefficients) if c), 0 * x),
        lambda m, x: sum((i * c * x ** (i - 1) for i, c in enumerate(coefficients) if i and c), 0 * x),
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
    z, step = np.linspace(-13, 13, 371, retstep=True)
    weight = np.exp(-(z**2) / 2) * step / sqrt(2 * pi)
    other = sqrt((1 - correlation) * (1 + correlation))
    u, v = sqrt(v1) * z[:, None], sqrt(v2) * (correlation * z[:, None] + other * z)
    return float(weight @ (f(u) * f(v)) @ weight)


def kinked_quadrature(
    f: Callable[[Array], Array],
    where: tuple[float, ...],
    correlation: float,
    v1: float,
    v2: float,
    steep: bool = False,
) -> float:
    """E[f(u) f(v)], both variances above zero, on Gauss-Legendre panels between the kinks of f: first over v given u,
    then over u, on panels that shrink towards where a kink of v crosses its mean. If f is steep without bound at a
    kink, those of v shrink towards it as well."""
    root1, root2, other = sqrt(v1), sqrt(v2), sqrt((1 - correlation) * (1 + correlation))
    ends = np.linspace(-13, 13, 27)
    steep = [x / root1 for x in where] + [x / root2 / correlation for x in where if correlation]
    steps = np.outer([-1, 1], [0, *4.0 ** np.arange(-13, 1)]).ravel()
    z, weight = _panels(np.unique(np.clip([*ends, *(x + d for x in steep for d in steps)], -13, 13)))
    mean = correlation * z
    inner = f(root2 * mean)
    if other > 0:
        around = steps / other if steep else [0.0]
        own = [np.clip((x / root2 - mean) / other + d, -13, 13) for x in where for d in around]
        y, weight_y = _panels(np.sort(np.stack([*(np.full_like(z, x) for x in ends[::2]), *own], -1), -1))
        values = np.where(weight_y > 0, f(root2 * (mean[:, None] + other * y)), 0)  # of panels without length
        inner = np.sum(values * weight_y * np.exp(-(y**2) / 2), -1) / sqrt(2 * pi)
    return float(np.sum(f(root1 * z) * inner * weight * np.exp(-(z**2) / 2)) / sqrt(2 * pi))


def _panels(ends: Array) -> tuple[Array, Array]:
    """Nodes and weights between consecutive ends, which are last."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    middle, half = (ends[..., 1:] + ends[..., :-1])[..., None] / 2, (ends[..., 1:] - ends[..., :-1])[..., None] / 2
    shape = *ends.shape[:-1], -1
    return (middle + half * nodes).reshape(shape), (half * weights).reshape(shape)
