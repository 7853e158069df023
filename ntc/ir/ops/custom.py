"""A nonlinearity that is written as arithmetic of x."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import pi, sqrt
from typing import Annotated, ClassVar

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field

from ntc.errors import NtcError, ParameterError
from ntc.ir.calculus import Pieces, check_analytic, pieces, polynomial
from ntc.ir.expression import Expression, show
from ntc.ir.expression_text import MAX_CHARACTERS, parse
from ntc.ir.hermite import is_resolved
from ntc.ir.kinks import kinks, slope
from ntc.ir.numpy_functions import NUMPY, on_arrays
from ntc.ir.op import Array, Emit, Pair, Value
from ntc.ir.ops.activation import Elementwise
from ntc.ir.ops.analytic import Analytic
from ntc.ir.ops.hinges import Hinges
from ntc.ir.ops.kinked import Pieced
from ntc.ir.ops.recognised import power_law, recognised, straight
from ntc.ir.piecewise import Piecewise, piecewise
from ntc.ir.quadrature import BEND
from ntc.ir.schema import frozen


def _canonical(text: str) -> str:
    try:
        return show(parse(text))
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


BENDS = tuple(BEND * 2.0**-n for n in range(8))
"""Candidates for the length on which a formula bends."""

RESOLVED = 1e-11
"""By how much of the whole two quadratures may differ for one that is chosen, as derivatives bend on less."""


@dataclass(frozen=True)
class Smooth(Analytic):
    """An expression that is analytic on the line; see `Analytic`."""

    name: ClassVar[str] = "activation"
    checked: ClassVar[bool] = True
    expression: Expression

    @property
    def body(self) -> Expression:
        return self.expression

    @property
    def bend(self) -> float:
        return _bend(self)


@lru_cache(maxsize=256)
def _bend(phi: Smooth) -> float:
    """The largest length with which quadrature resolves phi and phi' at as many variances as with any."""

    def resolved(bend: float) -> int:
        return sum(
            is_resolved(f, v, bend, RESOLVED) for f in (phi.function, phi.slope) for v in (0.25, 1.0, 4.0, 16.0, 64.0)
        )

    return max(BENDS, key=resolved)


@dataclass(frozen=True)
class Straight(Hinges):
    """A continuous function of straight pieces, but for its value at zero; see `Hinges`."""

    name: ClassVar[str] = "activation"
    given: Pieces

    @property
    def pieces(self) -> Pieces:
        return self.given


@frozen
class CustomActivation(Elementwise):
    """phi(x) = an expression: numbers, x, + - * / **, comparisons, and exp, expm1, log, log1p, sqrt, tanh, sigmoid,
    softplus, erf, erfc, sin, cos, sinc, atan, asinh, abs, relu, sign, floor, min, max, where, clip, ceil, round.

    What another op has a rule for is that op, however it is written. E[phi phi] = sum over l of a_l(v1) a_l(v2) c^l,
    E[phi' phi'] likewise of phi', if phi is analytic on the line (`Analytic`); those of hinges, exactly, if it is
    continuous and made of straight pieces (`Hinges`), and with phi(0) = b, f = phi - b, E[phi phi] = E[f f] +
    b (E[f(u)] + E[f(v)]) + b^2; those of kinks and jumps, and a series of the rest, if it is made of analytic pieces
    (`Kinked`). Anything else has finite networks only.
    Source: Mehler's formula; Daniely et al. 2016 (arXiv:1602.05897), section 4.2; Rosenbaum 1961 (J. R. Stat. Soc. B
    23), eq. 2 to 5.
    """

    name: ClassVar[str] = "activation"
    expression: ExpressionText

    @property
    def body(self) -> Expression:
        """The expression as a tree."""
        return parse(self.expression)

    @property
    def form(self) -> Elementwise:
        """An op that can be named, else `Straight` pieces (without phi(0)), a `Smooth` series, or `Kinked` pieces.
        Raises UnsupportedError."""
        return _form(self.body)

    @property
    def offset(self) -> float:
        """phi(0) of straight pieces, which their integrals leave out; else zero."""
        found = _straight_pieces(self.body) if isinstance(self.form, Straight) else None
        return found.value if found is not None else 0.0

    @property
    def jump(self) -> int | None:
        return self.form.jump

    @property
    def by_slope(self) -> Elementwise | None:
        try:
            return self.form.by_slope
        except NtcError:
            return None

    @property
    def odd(self) -> bool:
        try:
            form = self.form
        except NtcError:
            return False
        return form.odd if type(form).name != self.name else False

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        return self._rule.nngp(emit, *xs) if self._rule is not self else super().nngp(emit, *xs)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        return self._rule.ntk(emit, y, *xs) if self._rule is not self else super().ntk(emit, y, *xs)

    @property
    def _rule(self) -> Elementwise:
        """The op that can be named, if it is one."""
        return self if type(self.form).name == self.name else self.form

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        form, b = self.form, self.offset
        found = form.dual(k, v1, v2)
        return found + b * (mean(form, v1) + mean(form, v2)) + b**2 if b and isinstance(form, Straight) else found

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        return self.form.dual_dot(k, v1, v2)


def of_formula(body: Expression) -> CustomActivation | None:
    """The nonlinearity of a formula; None if its integrals are not known."""
    try:
        made = CustomActivation(show(body))
        return made if made.form is not None else None
    except NtcError:
        return None


@lru_cache(maxsize=256)
def _straight_pieces(body: Expression) -> Pieces | None:
    """The straight pieces of a continuous function that has no others."""
    found = pieces(body)
    return found if found is not None else _of_form(piecewise(body), float(on_arrays(body, np.zeros(1))[0]))


def _of_form(form: Piecewise, at_zero: float) -> Pieces | None:
    """Pieces of a normal form that are straight and meet, also where a jump or slope is of rounding alone."""
    known = [polynomial(branch) for branch in form.branches]
    if any(x is None or len(x) > 2 for x in known):
        return None
    lines = [np.pad(x or (0.0,), (0, 2))[:2] for x in known]
    changes = [right - left for left, right in pairwise(lines)]
    size = 1e-14 * max(1.0, *(float(np.max(np.abs(x))) for x in lines))
    if any(
        abs(change[0] + change[1] * t) > size * max(1, abs(t)) for t, change in zip(form.places, changes, strict=True)
    ):
        return None
    kinks = tuple((t, float(change[1])) for t, change in zip(form.places, changes, strict=True))
    return Pieces(at_zero, float(lines[0][1]), kinks)


@lru_cache(maxsize=256)
def _form(body: Expression) -> Elementwise:
    found = _straight_pieces(body)
    if found is not None and found.kinks:
        return straight(found) or Straight(found)
    form = piecewise(body)
    named = recognised(body, form)
    if named is not None:
        return named
    if form.places and any(polynomial(branch) is None for branch in form.branches):
        law = power_law(body, form)
        if law is not None:
            return law
    for branch, (low, high) in zip(form.branches, pairwise(form.ends), strict=True):
        check_analytic(branch, low, high)
    if not form.places:
        return Smooth(form.branches[0])
    kinks(form), kinks(slope(form))  # refuses what has no limits
    return Pieced(body)


def mean(form: Straight, v: Array) -> Array:
    """E[f] at variance v: of w max(s x - t, 0) it is w sqrt(v) (Z(h) - h Q(h)), h = t / sqrt(v)."""
    root = np.sqrt(v)
    safe = np.where(root > 0, root, 1)
    total = np.zeros_like(root)
    for hinge in form.hinges:
        h = hinge.distance / safe
        part = np.exp(-(h**2) / 2) / sqrt(2 * pi) - h * (1 - NUMPY["erf"](h / sqrt(2))) / 2
        total = total + hinge.weight * root * np.maximum(part, 0)
    return total
