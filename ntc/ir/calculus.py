"""What is known of an expression of x: its derivative, whether it is analytic on the line, and its straight pieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from math import inf, pi, sqrt
from typing import NamedTuple

from ntc.errors import UnsupportedError
from ntc.ir.expression import KINKED, Expression, number, show

MOST_PIECES = 16
"""Most kinks of a piecewise straight function: integrals are sums over pairs of them."""


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
    power = Expression("**", (a, number(b.value - 1)))
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
    "log": lambda a: _call("/", number(1.0), a),
    "sqrt": lambda a: _call("/", number(0.5), _call("sqrt", a)),
    "tanh": lambda a: _times(number(4.0), _gate(a, 2.0)),
    "sigmoid": lambda a: _gate(a, 1.0),
    "softplus": lambda a: _call("sigmoid", a),
    "erf": lambda a: _times(number(2 / sqrt(pi)), _call("exp", _call("negative", _call("*", a, a)))),
    "sin": lambda a: _call("cos", a),
    "cos": lambda a: _times(number(-1.0), _call("sin", a)),
}


def check_analytic(e: Expression) -> None:
    """Raises UnsupportedError, which names the part, unless the expression is analytic for every real x."""
    for operand in e.operands:
        check_analytic(operand)
    if e.name in KINKED:
        raise _unsupported(e, f"`{e.name}` has a kink or a jump, and the function is not made of straight pieces")
    if e.name in ("log", "sqrt") and not is_positive(e.operands[0]):
        raise _unsupported(e, f"nothing shows that `{show(e.operands[0])}` is above zero for every x")
    divisor = e.operands[1] if e.name == "/" else e.operands[0] if e.name == "**" and e.operands[1].value < 0 else None
    if divisor is not None and not divisor.constant and not is_positive(divisor):
        raise _unsupported(e, f"nothing shows that `{show(divisor)}` is above zero for every x")


def _unsupported(e: Expression, reason: str) -> UnsupportedError:
    return UnsupportedError(
        f"activation: `{show(e)}` has no exact kernel: {reason}",
        hint="kernels need a function that is analytic, such as 1 / (1 + x ** 2), or made of straight pieces; the "
        "finite network exists, and its empirical kernels estimate these by Monte Carlo",
    )


def is_positive(e: Expression) -> bool:
    """Whether the form of an expression shows that it is above zero for every x; false if it does not."""
    match e.name:
        case "exp" | "sigmoid" | "softplus":
            return True
        case "sqrt":
            return is_positive(e.operands[0])
        case "*" | "/":
            return all(map(is_positive, e.operands))
        case "**":
            return is_positive(e.operands[0])
        case "+" if any(map(is_positive, e.operands)) and all(least(x) >= 0 for x in e.operands):
            return True
    return least(e) > 0


def least(e: Expression) -> float:
    """A lower bound of the expression over all x, from its form."""
    return _range(e)[0]


def _range(e: Expression) -> tuple[float, float]:
    if e.constant:
        return e.value, e.value
    inside = [_range(x) for x in e.operands]
    match e.name:
        case "tanh" | "erf" | "sin" | "cos":
            return -1.0, 1.0
        case "sigmoid":
            return 0.0, 1.0
        case "exp" | "softplus" | "sqrt":
            return 0.0, inf
        case "+":
            return inside[0][0] + inside[1][0], inside[0][1] + inside[1][1]
        case "-":
            return inside[0][0] - inside[1][1], inside[0][1] - inside[1][0]
        case "negative":
            return -inside[0][1], -inside[0][0]
        case "**" if e.operands[1].value % 2 == 0:
            return 0.0, inf
        case "*" if e.operands[0] == e.operands[1] or all(low >= 0 for low, _ in inside):
            return 0.0, inf
        case "*" if any(x.constant for x in e.operands):
            factor, (low, high) = (inside[0][0], inside[1]) if e.operands[0].constant else (inside[1][0], inside[0])
            return (0.0, 0.0) if factor == 0 else (min(factor * low, factor * high), max(factor * low, factor * high))
    return -inf, inf


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
