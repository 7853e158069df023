"""A nonlinearity that is written as arithmetic of x."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import erf, pi, sqrt
from typing import Annotated, ClassVar

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field

from ntc.errors import NtcError, ParameterError
from ntc.ir.calculus import Pieces, check_analytic, derivative, pieces
from ntc.ir.expression import Expression, evaluate, show
from ntc.ir.expression_text import MAX_CHARACTERS, parse
from ntc.ir.op import Array, Emit, Pair, Value
from ntc.ir.ops.activation import Elementwise
from ntc.ir.ops.analytic import Analytic, sigmoid
from ntc.ir.ops.hinges import Hinge, Hinges
from ntc.ir.schema import frozen


def _erf(x: Array) -> Array:
    value: Array = np.vectorize(erf, otypes=[np.float64])(x)
    return value


NUMPY: Mapping[str, Callable[..., Array]] = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softplus": lambda x: np.logaddexp(x, 0),
    "erf": _erf,
    "sin": np.sin,
    "cos": np.cos,
    "abs": np.abs,
    "relu": lambda x: np.maximum(x, 0),
    "sign": np.sign,
    "min": np.minimum,
    "max": np.maximum,
}
"""The functions of expressions on NumPy arrays."""


def on_arrays(e: Expression, x: Array) -> Array:
    """The value of an expression at every entry."""
    with np.errstate(all="ignore"):  # what is not finite is found by whoever integrates it
        value: Array = evaluate(e, x, NUMPY) + np.zeros_like(x)
    return value


@lru_cache(maxsize=256)
def _read(text: str) -> Expression:
    return parse(text)


def _canonical(text: str) -> str:
    try:
        return show(_read(text))
    except NtcError as error:
        where = f" at column {error.location.column}" if error.location else ""
        message = f"activation: expression = {_short(text)}; {error.message}{where}"
        raise ParameterError(message, hint=error.hint, parameter="expression") from None


def _not_a_function(value: object) -> object:
    if callable(value):
        raise ParameterError(
            "activation: expression is a function; it should be a formula",
            hint='activation("x * sigmoid(x)"), or activation(ntc.formula_of(function)) of a JAX function',
            parameter="expression",
        )
    return value


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


ExpressionText = Annotated[
    str, Field(min_length=1, max_length=MAX_CHARACTERS), AfterValidator(_canonical), BeforeValidator(_not_a_function)
]
"""Arithmetic of x, in canonical form."""


@dataclass(frozen=True)
class Smooth(Analytic):
    """An expression that is analytic on the line; see `Analytic`."""

    name: ClassVar[str] = "activation"
    checked: ClassVar[bool] = True
    body: Expression

    def function(self, x: Array) -> Array:
        return on_arrays(self.body, x)

    def slope(self, x: Array) -> Array:
        return on_arrays(derivative(self.body), x)


@dataclass(frozen=True)
class Straight(Hinges):
    """A continuous function of straight pieces, but for its value at zero; see `Hinges`."""

    name: ClassVar[str] = "activation"
    slope: float = 0.0  # type: ignore[misc]  # of a class elsewhere
    kinks: tuple[Hinge, ...] = ()

    @property
    def hinges(self) -> tuple[Hinge, ...]:
        return self.kinks

    @classmethod
    def of(cls, given: Pieces) -> Straight:
        """The pieces, with hinges that point away from zero."""
        middle = given.slope + sum(change for place, change in given.kinks if place < 0)
        hinges = (Hinge(change, 1, place) if place >= 0 else Hinge(change, -1, -place) for place, change in given.kinks)
        return cls(middle, tuple(hinges))


@frozen
class CustomActivation(Elementwise):
    """phi(x) = an expression: numbers, x, + - * / **, and exp, log, sqrt, tanh, sigmoid, softplus, erf, sin, cos, abs,
    relu, sign, min, max.

    E[phi phi] = sum over l of a_l(v1) a_l(v2) c^l, E[phi' phi'] likewise of phi', if phi is analytic on the line
    (`Analytic`); those of hinges, exactly, if it is continuous and made of straight pieces (`Hinges`), and with
    phi(0) = b, f = phi - b, E[phi phi] = E[f f] + b (E[f(u)] + E[f(v)]) + b^2. Anything else has finite networks only.
    Source: Mehler's formula; Daniely et al. 2016 (arXiv:1602.05897), section 4.2; Rosenbaum 1961 (J. R. Stat. Soc. B
    23), eq. 2 to 5.
    """

    name: ClassVar[str] = "activation"
    expression: ExpressionText

    @property
    def body(self) -> Expression:
        """The expression as a tree."""
        return _read(self.expression)

    @property
    def form(self) -> Smooth | Straight:
        """Straight pieces (without phi(0)) if there are no others, else a series. Raises UnsupportedError."""
        return _form(self.body)

    @property
    def offset(self) -> float:
        """phi(0) of straight pieces, which their integrals leave out; else zero."""
        found = pieces(self.body)
        return found.value if found is not None else 0.0

    @property
    def jump(self) -> int | None:
        return 1 if pieces(self.body) is not None and self.form.jump else None

    @property
    def slopes(self) -> tuple[float, float] | None:
        """Of straight pieces that meet at the origin."""
        found = pieces(self.body)
        if found is None or found.value != 0 or any(place != 0 for place, _ in found.kinks):
            return None
        return self._sides(Straight.of(found))

    @staticmethod
    def _sides(form: Straight) -> tuple[float, float]:
        return form.slope, form.slope + sum(one.weight for one in form.hinges)

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        _form(self.body)  # refuses what has no rule
        return super().nngp(emit, *xs)

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        form, b = self.form, self.offset
        found = form.dual(k, v1, v2)
        return found + b * (mean(form, v1) + mean(form, v2)) + b**2 if b and isinstance(form, Straight) else found

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        return self.form.dual_dot(k, v1, v2)


@lru_cache(maxsize=256)
def _form(body: Expression) -> Smooth | Straight:
    found = pieces(body)
    if found is not None:
        return Straight.of(found)
    check_analytic(body)
    return Smooth(body)


def mean(form: Straight, v: Array) -> Array:
    """E[f] at variance v: of w max(s x - t, 0) it is w sqrt(v) (Z(h) - h Q(h)), h = t / sqrt(v)."""
    root = np.sqrt(v)
    safe = np.where(root > 0, root, 1)
    total = np.zeros_like(root)
    for hinge in form.hinges:
        h = hinge.distance / safe
        part = np.exp(-(h**2) / 2) / sqrt(2 * pi) - h * (1 - _erf(h / sqrt(2))) / 2
        total = total + hinge.weight * root * np.maximum(part, 0)
    return total
