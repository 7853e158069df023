"""Functions of one variable x as arithmetic: data that is printed and evaluated, never executed."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ntc.errors import LimitError, ParseError

MAX_SIZE = 1000
"""Most numbers, variables and operations of an expression."""

MAX_DEPTH = 40
"""Deepest nesting."""

MAX_POWER = 30.0
"""Largest exponent, and the smallest without its sign."""


@dataclass(frozen=True)
class Expression:
    """A number (`value`), the variable (`name` x), or an operation or function on operands."""

    name: str
    operands: tuple[Expression, ...] = ()
    value: float = 0.0
    depth: int = field(init=False, compare=False, default=1)
    size: int = field(init=False, compare=False, default=1)
    _hash: int = field(init=False, compare=False, repr=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", 1 + max((x.depth for x in self.operands), default=0))
        object.__setattr__(self, "size", 1 + sum(x.size for x in self.operands))
        object.__setattr__(self, "_hash", hash((self.name, self.operands, self.value)))

    def __hash__(self) -> int:
        """Kept, as parts of derivatives are shared and compared often."""
        return self._hash

    @property
    def constant(self) -> bool:
        """Whether it is a number."""
        return self.name == "number"


X = Expression("x")
SMOOTH = frozenset(
    {
        "exp",
        "expm1",
        "log",
        "log1p",
        "sqrt",
        "tanh",
        "sigmoid",
        "softplus",
        "erf",
        "erfc",
        "sin",
        "cos",
        "sinc",
        "atan",
        "asinh",
    }
)
KINKED = frozenset({"abs", "relu", "sign", "floor", "min", "max", "where"})
FUNCTIONS: Mapping[str, int] = dict.fromkeys(sorted(SMOOTH | KINKED), 1) | {"min": 2, "max": 2, "where": 3}
"""Every function, and the number of its operands. sinc(y) is sin(y) / y."""

ALIASES: Mapping[str, str] = {
    "minimum": "min",
    "maximum": "max",
    "logistic": "sigmoid",
    "arctan": "atan",
    "arcsinh": "asinh",
}
COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})
"""One where they hold, else zero; only one at a time, as the first operand of an operation or of a function."""

OPERATORS: Mapping[str, int] = dict.fromkeys(sorted(COMPARISONS), 1) | {"+": 2, "-": 2, "*": 3, "/": 3, "**": 5}
"""Binary operators, and how tightly they bind; a minus sign before an operand binds at 4."""


def number(value: float) -> Expression:
    """A constant. Raises ParseError unless it is finite."""
    if not math.isfinite(value):
        raise ParseError("a constant of the expression is not a finite number")
    return Expression("number", value=float(value) + 0.0)


def apply(name: str, *operands: Expression) -> Expression:
    """An operation or function of operands, with what is constant computed.

    Raises ParseError where it is not a real number or an exponent is not allowed, LimitError beyond a limit.
    """
    if name == "**":
        _check_exponent(operands[1])
    if name == "/" and operands[1].constant and operands[1].value == 0:
        raise ParseError("division by zero")
    if all(x.constant for x in operands):
        try:
            return number(_NUMBERS[name](*(x.value for x in operands)))
        except (ValueError, OverflowError, ZeroDivisionError):
            shown = ", ".join(show(x) for x in operands)
            raise ParseError(f"`{name}` of {shown} is not a finite real number") from None
    made = Expression(name, operands)
    if made.depth > MAX_DEPTH or made.size > MAX_SIZE:
        raise LimitError(
            f"an expression has at most {MAX_SIZE} numbers and operations and nests at most {MAX_DEPTH} deep",
            hint="write it with fewer terms",
        )
    return made


def _check_exponent(exponent: Expression) -> None:
    if not exponent.constant or abs(exponent.value) > MAX_POWER:
        raise ParseError(
            f"an exponent is a number from -{MAX_POWER:g} to {MAX_POWER:g}, got {show(exponent)}",
            hint="exp(a * log(y)) has other powers",
        )


def show(expression: Expression) -> str:
    """Canonical text, which `ntc.ir.expression_text.parse` reads back."""
    return _text(expression, 0)


def _text(e: Expression, binding: int) -> str:
    match e.name:
        case "number":
            text = str(int(e.value)) if e.value == int(e.value) and abs(e.value) < 1e15 else repr(e.value)
            own = 4 if e.value < 0 else 9
        case "x":
            return "x"
        case "negative":
            text, own = f"-{_text(e.operands[0], 5)}", 4
        case name if name in OPERATORS:
            own = OPERATORS[name]
            left, right = (own + 1, 4) if name == "**" else (own + (name in COMPARISONS), own + 1)
            text = f"{_text(e.operands[0], left)} {name} {_text(e.operands[1], right)}"
        case name:
            return f"{name}({', '.join(_text(x, 0) for x in e.operands)})"
    return text if own >= binding else f"({text})"


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def _power(x: float, exponent: float) -> float:
    if x < 0 and exponent != round(exponent):
        raise ValueError
    return float(x**exponent)


_NUMBERS: Mapping[str, Callable[..., float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": _power,
    "negative": lambda a: -a,
    "<": lambda a, b: float(a < b),
    "<=": lambda a, b: float(a <= b),
    ">": lambda a, b: float(a > b),
    ">=": lambda a, b: float(a >= b),
    "==": lambda a, b: float(a == b),
    "!=": lambda a, b: float(a != b),
    "exp": math.exp,
    "expm1": math.expm1,
    "log": math.log,
    "log1p": math.log1p,
    "sqrt": math.sqrt,
    "tanh": math.tanh,
    "sigmoid": _sigmoid,
    "softplus": lambda a: max(a, 0.0) + math.log1p(math.exp(-abs(a))),
    "erf": math.erf,
    "erfc": math.erfc,
    "sin": math.sin,
    "cos": math.cos,
    "sinc": lambda a: math.sin(a) / a if a else 1.0,
    "atan": math.atan,
    "asinh": math.asinh,
    "abs": abs,
    "relu": lambda a: max(a, 0.0),
    "sign": lambda a: float((a > 0) - (a < 0)),
    "floor": lambda a: float(math.floor(a)),
    "min": min,
    "max": max,
    "where": lambda a, b, c: b if a else c,
}


def evaluate(e: Expression, x: Any, functions: Mapping[str, Callable[..., Any]]) -> Any:
    """The value at x, an array or a number, by the functions of some library (those of `FUNCTIONS`)."""
    return _evaluated(e, x, functions, {})


def _evaluated(e: Expression, x: Any, functions: Mapping[str, Callable[..., Any]], known: dict[int, Any]) -> Any:
    """What is part of several operands is evaluated once."""
    match e.name:
        case "number":
            return e.value
        case "x":
            return x
    if id(e) not in known:
        values = [_evaluated(operand, x, functions, known) for operand in e.operands]
        known[id(e)] = _applied(e.name, values, functions)
    return known[id(e)]


def _applied(name: str, values: list[Any], functions: Mapping[str, Callable[..., Any]]) -> Any:
    if name in _ARITHMETIC:
        return _ARITHMETIC[name](*values)
    if name in COMPARISONS:
        return functions["where"](_COMPARED[name](*values), 1.0, 0.0)
    if name == "where":
        return functions["where"](values[0] != 0, values[1], values[2])
    return functions[name](*values)


def _raised(x: Any, exponent: float) -> Any:
    if exponent != round(exponent):
        return x**exponent
    return x ** int(exponent) if exponent >= 0 else 1 / x ** int(-exponent)


_ARITHMETIC: Mapping[str, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": _raised,
    "negative": operator.neg,
}

_COMPARED: Mapping[str, Callable[..., Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
