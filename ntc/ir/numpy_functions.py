"""The functions of expressions on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import erf, erfc, factorial

import numpy as np

from ntc.ir.expression import Expression, evaluate
from ntc.ir.op import Array

SINC_TERMS = 24
"""Of the power series of derivatives of sinc, up to an argument of SINC_NEAR."""

SINC_NEAR = 4.0


def _erf(x: Array) -> Array:
    value: Array = np.vectorize(erf, otypes=[np.float64])(x)
    return value


def _erfc(x: Array) -> Array:
    value: Array = np.vectorize(erfc, otypes=[np.float64])(x)
    return value


def _sigmoid(x: Array) -> Array:
    value: Array = np.exp(-np.logaddexp(-x, 0))
    return value


def sinc_series(order: int) -> tuple[float, ...]:
    """Coefficients of derivative `order` of sin(y) / y in powers of y^2, after a factor of y if the order is odd."""
    odd = order % 2
    found = []
    for i in range(SINC_TERMS):
        n = (order + odd) // 2 + i  # of the term (-1)^n y^(2 n) / (2 n + 1)!
        power = 2 * n - order
        found.append((-1.0) ** n * factorial(2 * n) / factorial(power) / factorial(2 * n + 1))
    return tuple(found)


def sinc_derivative(order: int) -> Callable[[Array], Array]:
    """Derivative `order` of sin(y) / y: by its series near zero, else from y f^(n) + n f^(n - 1) = sin^(n)."""
    series = sinc_series(order)

    def function(y: Array) -> Array:
        y = np.asarray(y, np.float64)
        near = np.abs(y) < SINC_NEAR
        small, large = np.where(near, y, 0), np.where(near, SINC_NEAR, y)
        value = np.polynomial.polynomial.polyval(small**2, series) * (small if order % 2 else 1)
        far = np.sin(large) / large
        for n in range(1, order + 1):
            far = (np.sin(large + n * np.pi / 2) - n * far) / large
        return np.where(near, value, far)

    return function


NUMPY: Mapping[str, Callable[..., Array]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "softplus": lambda x: np.logaddexp(x, 0),
    "erf": _erf,
    "erfc": _erfc,
    "sin": np.sin,
    "cos": np.cos,
    "sinc": sinc_derivative(0),
    **{f"sinc{n}": sinc_derivative(n) for n in range(1, 9)},
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "abs": np.abs,
    "relu": lambda x: np.maximum(x, 0),
    "sign": np.sign,
    "floor": np.floor,
    "min": np.minimum,
    "max": np.maximum,
    "where": np.where,
}


def on_arrays(e: Expression, x: Array) -> Array:
    """The value of an expression at every entry."""
    with np.errstate(all="ignore"):  # what is not finite is found by whoever integrates it
        value: Array = evaluate(e, x, NUMPY) + np.zeros_like(x)
    return value
