"""What is known of an expression of x: its derivative, whether it is analytic on the line, and its straight pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import pairwise
from math import inf, pi, sqrt
from typing import NamedTuple

import numpy as np

from ntc.errors import ParseError, UnsupportedError
from ntc.ir.expression import COMPARISONS, KINKED, Expression, apply, number, show

MOST_PIECES = 32
"""Most kinks of a piecewise straight function: integrals are sums over pairs of them."""


@lru_cache(maxsize=8192)
def derivative(e: Expression) -> Expression:
    """The derivative of an analytic expression by x, as an expression whose size is not limited."""
    match e.name:
        case "number":
            return number(0.0)
        case "x":
            return number(1.0)
    if len(e.operands) == 1:
        return _times(_OUTER[e.name](e.operands[0]), derivative(e.operands[0]))
    a, b = e.operands
    da, db = derivative(a), derivative(b)
    match e.name:
        case "+":
            return _plus(da, db)
        case "-":
            return _plus(da, _times(number(-1.0), db))
        case "*":
            return _plus(_times(da, b), _times(a, db))
        case "/":
            inner = Expression("-", (da, _times(Expression("/", (a, b)), db)))
            return Expression("/", (inner, b))
    power = a if b.value == 2 else Expression("**", (a, number(b.value - 1)))
    return number(0.0) if b.value == 0 else _times(_times(b, power), da)


def _times(a: Expression, b: Expression) -> Expression:
    for one, other in ((a, b), (b, a)):
        if one.constant and one.value in (0.0, 1.0):
            return one if one.value == 0 else other
    return Expression("*", (a, b))


def _plus(a: Expression, b: Expression) -> Expression:
    for one, other in ((a, b), (b, a)):
        if one.constant and one.value == 0:
            return other
    return Expression("+", (a, b))


def _call(name: str, *operands: Expression) -> Expression:
    return Expression(name, operands)


def _gate(a: Expression, factor: float) -> Expression:
    """sigmoid(factor a) sigmoid(-factor a), without cancellation in the tails."""
    return _times(_call("sigmoid", _times(number(factor), a)), _call("sigmoid", _times(number(-factor), a)))


_OUTER: Mapping[str, Callable[[Expression], Expression]] = {
    "negative": lambda a: number(-1.0),
    "exp": lambda a: _call("exp", a),
    "expm1": lambda a: _call("exp", a),
    "log": lambda a: _call("/", number(1.0), a),
    "log1p": lambda a: _call("/", number(1.0), _call("+", number(1.0), a)),
    "sqrt": lambda a: _call("/", number(0.5), _call("sqrt", a)),
    "tanh": lambda a: _times(number(4.0), _gate(a, 2.0)),
    "sigmoid": lambda a: _gate(a, 1.0),
    "softplus": lambda a: _call("sigmoid", a),
    "erf": lambda a: _times(number(2 / sqrt(pi)), _call("exp", _call("negative", _call("*", a, a)))),
    "erfc": lambda a: _times(number(-2 / sqrt(pi)), _call("exp", _call("negative", _call("*", a, a)))),
    "sin": lambda a: _call("cos", a),
    "cos": lambda a: _times(number(-1.0), _call("sin", a)),
    "sinc": lambda a: _call("sinc1", a),
    **{f"sinc{n}": lambda a, n=n: _call(f"sinc{n + 1}", a) for n in range(1, 8)},  # type: ignore[misc]
    "atan": lambda a: _call("/", number(1.0), _call("+", number(1.0), _call("*", a, a))),
    "asinh": lambda a: _call("/", number(1.0), _call("sqrt", _call("+", number(1.0), _call("*", a, a)))),
}
"""sincN is derivative N of sinc: it is in no text."""


def check_analytic(e: Expression, low: float = -inf, high: float = inf) -> None:
    """Raises UnsupportedError, which names the part, unless the expression is analytic for every x in (low, high)."""
    for operand in e.operands:
        check_analytic(operand, low, high)
    if e.name in KINKED or e.name in COMPARISONS:
        raise _unsupported(e, f"`{e.name}` has a kink or a jump")
    shown = "every x" if (low, high) == (-inf, inf) else f"every x in ({low:g}, {high:g})"
    inside = None
    match e.name:
        case "log" | "sqrt":
            inside = e.operands[0]
        case "log1p":
            inside = Expression("+", (number(1.0), e.operands[0]))
        case "**" if e.operands[1].value != round(e.operands[1].value):
            inside = e.operands[0]
    if inside is not None and not is_positive(inside, low, high):
        raise _unsupported(e, f"nothing shows that `{show(inside)}` is above zero for {shown}")
    divisor = e.operands[1] if e.name == "/" else e.operands[0] if e.name == "**" and e.operands[1].value < 0 else None
    if divisor is None or divisor.constant or is_positive(divisor, low, high):
        return
    if not is_positive(Expression("negative", (divisor,)), low, high):
        raise _unsupported(e, f"nothing shows that `{show(divisor)}` is above zero for {shown}")


def _unsupported(e: Expression, reason: str) -> UnsupportedError:
    return UnsupportedError(
        f"activation: `{show(e)}` has no kernel: {reason}",
        hint="kernels need a function that is analytic, such as 1 / (1 + x ** 2), or made of pieces that are; the "
        "finite network exists, and its empirical kernels estimate these by Monte Carlo",
    )


def is_positive(e: Expression, low: float = -inf, high: float = inf) -> bool:
    """Whether the form of an expression shows that it is above zero for every x in (low, high); false if it does
    not."""
    coefficients = polynomial(e)
    if coefficients is not None:
        return _is_polynomial_positive(coefficients, low, high)
    match e.name:
        case "exp" | "sigmoid" | "softplus" | "erfc":
            return True
        case "sqrt":
            return is_positive(e.operands[0], low, high)
        case "*" | "/":
            return all(is_positive(x, low, high) for x in e.operands)
        case "**":
            return is_positive(e.operands[0], low, high)
        case "+" if any(is_positive(x, low, high) for x in e.operands):
            if all(is_positive(x, low, high) or least(x, low, high) >= 0 for x in e.operands):
                return True
    return least(e, low, high) > 0


def least(e: Expression, low: float = -inf, high: float = inf) -> float:
    """A lower bound of the expression over x in (low, high), from its form."""
    return _range(e, low, high)[0]


_INCREASING = frozenset({"exp", "expm1", "tanh", "sigmoid", "softplus", "erf", "atan", "asinh"})
_BOUNDED: Mapping[str, tuple[float, float]] = {"sin": (-1.0, 1.0), "cos": (-1.0, 1.0), "sinc": (-0.2173, 1.0)}


def _range(e: Expression, low: float, high: float) -> tuple[float, float]:
    if e.constant:
        return e.value, e.value
    if e.name == "x":
        return low, high
    inside = [_range(x, low, high) for x in e.operands]
    match e.name:
        case name if name in _INCREASING:
            return _increasing(name, *inside[0])
        case name if name in _BOUNDED:
            return _BOUNDED[name]
        case "erfc":
            return 0.0, 2.0
        case "sqrt":
            return 0.0, inf
        case "+":
            return inside[0][0] + inside[1][0], inside[0][1] + inside[1][1]
        case "-":
            return inside[0][0] - inside[1][1], inside[0][1] - inside[1][0]
        case "negative":
            return -inside[0][1], -inside[0][0]
        case "**" if e.operands[1].value % 2 == 0:
            return 0.0, inf
        case "*" if e.operands[0] == e.operands[1] or all(least >= 0 for least, _ in inside):
            return 0.0, inf
        case "/" if inside[0][0] >= 0 and inside[1][0] >= 0:
            return 0.0, inf
        case "*" if any(x.constant for x in e.operands):
            factor, (least_, most) = (inside[0][0], inside[1]) if e.operands[0].constant else (inside[1][0], inside[0])
            if factor == 0:
                return 0.0, 0.0
            return min(factor * least_, factor * most), max(factor * least_, factor * most)
    return -inf, inf


_LIMITS: Mapping[str, tuple[float, float]] = {
    "exp": (0.0, inf),
    "expm1": (-1.0, inf),
    "tanh": (-1.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "softplus": (0.0, inf),
    "erf": (-1.0, 1.0),
    "atan": (-pi / 2, pi / 2),
    "asinh": (-inf, inf),
}


def _increasing(name: str, low: float, high: float) -> tuple[float, float]:
    """The values of an increasing function between two arguments."""
    ends = []
    for argument, limit in zip((low, high), _LIMITS[name], strict=True):
        try:
            ends.append(limit if abs(argument) == inf else apply(name, number(argument)).value)
        except ParseError:  # it overflows
            ends.append(limit)
    return ends[0], ends[1]


Coefficients = tuple[float, ...]
"""Of a polynomial, lowest degree first, without zeros at the end: none are the constant zero."""

MAX_DEGREE = 30


def polynomial(e: Expression) -> Coefficients | None:
    """The coefficients, of an expression that is a polynomial of x by its form."""
    match e.name:
        case "number":
            return _trimmed([e.value])
        case "x":
            return 0.0, 1.0
        case "**":
            return _power(polynomial(e.operands[0]), e.operands[1].value)
    inside = [polynomial(x) for x in e.operands]
    known = [x for x in inside if x is not None]
    if len(known) < len(inside):
        return None
    first, last = known[0], known[-1]
    match e.name:
        case "+":
            return _trimmed(np.polynomial.polynomial.polyadd(first or (0.0,), last or (0.0,)))
        case "-":
            return _trimmed(np.polynomial.polynomial.polysub(first or (0.0,), last or (0.0,)))
        case "negative":
            return tuple(-c for c in first)
        case "*" if len(first) + len(last) <= MAX_DEGREE + 2:
            return _trimmed(np.polynomial.polynomial.polymul(first or (0.0,), last or (0.0,)))
        case "/" if len(last) == 1:
            return tuple(c / last[0] for c in first)
    return None


def _power(base: Coefficients | None, exponent: float) -> Coefficients | None:
    if base is None or exponent < 0 or exponent != round(exponent) or (len(base) - 1) * exponent > MAX_DEGREE:
        return None
    return _trimmed(np.polynomial.polynomial.polypow(base or (0.0,), int(exponent), MAX_DEGREE + 1))


def _trimmed(coefficients: Iterable[float]) -> Coefficients:
    found = [float(c) for c in coefficients]
    while found and found[-1] == 0:
        found.pop()
    return tuple(found)


def real_roots(coefficients: Coefficients) -> list[float]:
    """The real roots of a polynomial that is not constant, and points that rounding does not tell from double ones."""
    if len(coefficients) <= 1:
        return []
    if len(coefficients) == 2:
        return [0.0 - coefficients[0] / coefficients[1]]
    roots = np.polynomial.polynomial.polyroots(coefficients)
    size = 1e-6 * np.maximum(1, np.abs(roots))
    return sorted(float(x.real) + 0.0 for x in roots[np.abs(roots.imag) <= size])


def _is_polynomial_positive(coefficients: Coefficients, low: float, high: float) -> bool:
    if any(low + 1e-9 < x < high - 1e-9 for x in real_roots(coefficients)):
        return False
    middle = (
        (low + high) / 2 if abs(low) + abs(high) < inf else low + 1 if low > -inf else high - 1 if high < inf else 0
    )
    return bool(np.polynomial.polynomial.polyval(middle, coefficients or (0.0,)) > 0)


class Pieces(NamedTuple):
    """A continuous function of straight pieces: its value at zero, its slope leftmost, and (place, change of slope)."""

    value: float
    slope: float
    kinks: tuple[tuple[float, float], ...] = ()

    def __call__(self, x: float) -> float:
        """The value at x."""
        return self.value + self.slope * x + sum(c * (max(x - t, 0.0) - max(-t, 0.0)) for t, c in self.kinks)

    def scaled(self, factor: float) -> Pieces:
        """The function times a number."""
        return Pieces(factor * self.value, factor * self.slope, tuple((t, factor * c) for t, c in self.kinks))

    def plus(self, other: Pieces) -> Pieces:
        """The sum of two."""
        changes: dict[float, float] = {}
        for place, change in (*self.kinks, *other.kinks):
            changes[place] = changes.get(place, 0.0) + change
        kept = tuple(sorted((t, c) for t, c in changes.items() if c != 0))
        return Pieces(self.value + other.value, self.slope + other.slope, kept)

    def rectified(self) -> Pieces:
        """max(f, 0)."""
        places = [t for t, _ in self.kinks]
        ends = [-inf, *places, inf]
        slopes = [self.slope]
        for _, change in self.kinks:
            slopes.append(slopes[-1] + change)
        crossings = []
        for low, high, slope in zip(ends, ends[1:], slopes, strict=False):
            known = low if low > -inf else high if high < inf else 0.0
            root = known - self(known) / slope if slope else inf
            if low <= root <= high and abs(root) < inf:
                crossings.append(root)
        cuts = sorted({*places, *crossings})
        probes = [cuts[0] - 1, *((a + b) / 2 for a, b in pairwise(cuts)), cuts[-1] + 1] if cuts else [0.0]
        kept = [self._slope(x) if self(x) > 0 else 0.0 for x in probes]
        kinks = tuple((t, b - a) for t, a, b in zip(cuts, kept, kept[1:], strict=False) if a != b)
        return Pieces(max(self.value, 0.0), kept[0], kinks)

    def _slope(self, x: float) -> float:
        return self.slope + sum(c for t, c in self.kinks if t < x)


def pieces(e: Expression) -> Pieces | None:
    """The straight pieces of a continuous function that has no others; None for any other expression."""
    match e.name:
        case "number":
            return Pieces(e.value, 0.0)
        case "x":
            return Pieces(0.0, 1.0)
    inside = [pieces(x) for x in e.operands]
    known = [x for x in inside if x is not None]
    if len(known) < len(inside) or sum(len(x.kinks) for x in known) > MOST_PIECES:
        return None
    return _combined(e, known)


def _combined(e: Expression, known: list[Pieces]) -> Pieces | None:
    first, last = known[0], known[-1]
    match e.name:
        case "+":
            return first.plus(last)
        case "-":
            return first.plus(last.scaled(-1.0))
        case "negative":
            return first.scaled(-1.0)
        case "*" if e.operands[0].constant or e.operands[1].constant:
            return last.scaled(first.value) if e.operands[0].constant else first.scaled(last.value)
        case "/" if e.operands[1].constant:
            return first.scaled(1 / last.value)
        case "relu":
            return first.rectified()
        case "abs":
            return first.rectified().plus(first.scaled(-1.0).rectified())
        case "max":
            return last.plus(first.plus(last.scaled(-1.0)).rectified())
        case "min":
            return last.plus(last.plus(first.scaled(-1.0)).rectified().scaled(-1.0))
    return None
