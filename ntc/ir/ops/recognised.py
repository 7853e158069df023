"""Nonlinearities with rules of their own among functions that are written as formulas.

A function is recognised by its values, however it is written: two that agree to rounding at many points within
REACH are one. Their integrals then differ by no more than rounding as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import sqrt
from typing import Any

import numpy as np

from ntc.errors import NtcError
from ntc.ir.calculus import Pieces, derivative, polynomial
from ntc.ir.expression import Expression
from ntc.ir.numpy_functions import NUMPY, on_arrays
from ntc.ir.op import Array
from ntc.ir.ops.activation import AbRelu, Abs, Elementwise, Erf, LeakyRelu, Relu, Sign
from ntc.ir.ops.analytic import Analytic, GeluTanh, Mish, Sigmoid, Softplus, Swish, Tanh
from ntc.ir.ops.elu import Celu, Elu, ExponentialLinear, Selu
from ntc.ir.ops.exponential import Exp, Gaussian, Gelu
from ntc.ir.ops.hinges import HardTanh, Relu6
from ntc.ir.ops.periodic import Cos, Sin
from ntc.ir.ops.polynomial import MAX_DEGREE, Polynomial, RectifiedMonomial
from ntc.ir.ops.power import PowerLaw
from ntc.ir.piecewise import Piecewise

REACH = 30.0

_X = np.concatenate([np.linspace(-REACH, REACH, 301) + 0.0123, np.linspace(-2.0, 2.0, 99), [0.0]])

CLOSE = 4e-15
"""Relative to the larger of the value and one."""


def recognised(body: Expression, form: Piecewise) -> Elementwise | None:
    """The nonlinearity that a formula is, of those that can be named."""
    values = on_arrays(body, _X)
    for candidate in _candidates(body, form):
        wanted = _values(candidate, _X)
        with np.errstate(all="ignore"):
            apart = np.abs(values - wanted)
        scale = np.maximum(1, np.maximum(np.abs(wanted), np.abs(_X)))
        if np.all((values == wanted) | (apart <= CLOSE * scale)):
            return candidate
    return None


def _candidates(body: Expression, form: Piecewise) -> Iterator[Elementwise]:
    made = _smooth(body, form) if not form.places else _kinked(form)
    while True:
        try:
            yield next(made)
        except StopIteration:
            return
        except (NtcError, ValueError, ZeroDivisionError, OverflowError):  # no parameters that an op may have
            return


def _smooth(body: Expression, form: Piecewise) -> Iterator[Elementwise]:
    coefficients = polynomial(form.branches[0])
    if coefficients is not None:
        if len(coefficients) <= MAX_DEGREE + 1:
            yield Polynomial(coefficients)
        return
    yield from (Gelu(), GeluTanh(), Swish(), Softplus(), Mish(), Tanh(), Sigmoid())
    low, zero, high = (float(x) for x in on_arrays(body, np.array([-1e3, 0.0, 1e3])))
    if np.isfinite(low) and np.isfinite(high) and low != high:  # a erf(b x) + c
        a, c = (high - low) / 2, (high + low) / 2
        yield from (Erf(a, b, c) for b in _scales(on_arrays(body, np.array([1e-7]))[0] - zero, a))
    rise, fall = (float(on_arrays(x, np.zeros(1))[0]) for x in _two(derivative, form.branches[0]))
    if zero:
        yield Exp(zero, _short(rise / zero))
        yield Gaussian(zero, _short(fall / zero / 2))
    yield from _wave(form.branches[0], zero, rise)


def _two(step: Callable[[Expression], Expression], f: Expression) -> tuple[Expression, Expression]:
    return step(f), step(step(f))


def _wave(f: Expression, zero: float, rise: float) -> Iterator[Elementwise]:
    """a sin(b x + c), of which the second derivative is -b^2 times itself."""
    square = -float(on_arrays(_two(derivative, f)[1], np.array([0.61]))[0] / on_arrays(f, np.array([0.61]))[0])
    if square > 0:
        b = _short(np.sqrt(square))
        yield Cos(zero, b, 0.0)
        yield Sin(_short(np.hypot(zero, rise / b)), b, float(np.arctan2(zero, rise / b)))


def _scales(rise: float, a: float) -> Iterator[float]:
    """b of a erf(b x), from its rise over 1e-7."""
    b = rise / 1e-7 / a * sqrt(np.pi) / 2
    for unit in (1.0, sqrt(2), sqrt(0.5), sqrt(np.pi) / 2):
        yield round(b / unit, 5) * unit


def _short(x: float) -> float:
    return round(float(x), 12)


def _kinked(form: Piecewise) -> Iterator[Elementwise]:
    known = [polynomial(branch) for branch in form.branches]
    if form.places == (0.0,):
        if known == [(-1.0,), (1.0,)]:
            yield Sign()
        above = known[1]
        if known[0] == () and above and not any(above[:-1]) and above[-1] == 1:
            yield RectifiedMonomial(len(above) - 1)
        if above == (0.0, 1.0):
            depth = -float(on_arrays(form.branches[0], np.array([-1e3]))[0])
            yield Elu(depth)
            yield Celu(depth)
        yield Selu()


def power_law(body: Expression, form: Piecewise) -> PowerLaw | None:
    """Of a function that is a power of |x| on either side of zero."""
    if form.places != (0.0,):
        return None
    low, one, two = on_arrays(body, np.array([-1.0, 1.0, 2.0]))
    below, above, doubled = (
        (float(low), float(one), float(two / one))
        if one
        else (float(low), 0.0, float(on_arrays(body, np.array([-2.0]))[0] / low) if low else 0.0)
    )
    if not 0 < doubled < 2.0**MAX_DEGREE:
        return None
    candidate = PowerLaw(below, above, _short(np.log2(doubled)))
    x = np.concatenate([np.geomspace(1e-3, 100, 60), -np.geomspace(1e-3, 100, 60)])
    wanted = candidate.function(x)
    return candidate if candidate.exponent > 0 and np.allclose(on_arrays(body, x), wanted, 1e-13, 0) else None


def straight(given: Pieces) -> Elementwise | None:
    """The nonlinearity of which these are the pieces, of those that can be named."""
    if given.value == 0 and [t for t, _ in given.kinks] == [0.0]:
        below, above = given.slope, given.slope + given.kinks[0][1]
        if (below, above) == (-1.0, 1.0):
            return Abs()
        return (Relu() if below == 0 else LeakyRelu(below)) if above == 1 else AbRelu(below, above)
    named: Mapping[Pieces, Elementwise] = {
        Pieces(0.0, 0.0, ((0.0, 1.0), (6.0, -1.0))): Relu6(),
        Pieces(0.0, 0.0, ((-1.0, 1.0), (1.0, -1.0))): HardTanh(),
    }
    return named.get(given)


def _values(op: Any, x: Array) -> Array:
    """phi(x) of a candidate."""
    with np.errstate(all="ignore"):
        return _function(op)(op, x)


def _function(op: Any) -> Callable[[Any, Array], Array]:
    return next(_FUNCTIONS[cls] for cls in type(op).__mro__ if cls in _FUNCTIONS)


def _exponential_linear(op: Any, x: Array) -> Array:
    value: Array = op.above * np.maximum(x, 0) + op.depth * np.expm1(np.minimum(x, 0) / op.decay)
    return value


def _polynomial(op: Any, x: Array) -> Array:
    return np.asarray(np.polynomial.polynomial.polyval(x, op.coefficients or (0.0,)), np.float64)


_FUNCTIONS: Mapping[type[Any], Callable[[Any, Array], Array]] = {
    Polynomial: _polynomial,
    Gelu: lambda op, x: x * NUMPY["erfc"](-x / sqrt(2)) / 2,
    Analytic: lambda op, x: op.function(x),
    Erf: lambda op, x: op.a * NUMPY["erf"](op.b * x) + op.c,
    Cos: lambda op, x: op.a * np.cos(op.b * x + op.c),
    Sin: lambda op, x: op.a * np.sin(op.b * x + op.c),
    Exp: lambda op, x: op.a * np.exp(op.b * x),
    Gaussian: lambda op, x: op.a * np.exp(op.b * x**2),
    Sign: lambda op, x: np.sign(x),
    RectifiedMonomial: lambda op, x: np.where(x >= 0, x**op.degree, 0.0),
    ExponentialLinear: _exponential_linear,
}
