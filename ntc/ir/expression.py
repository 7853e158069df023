"""Functions of one variable x as arithmetic: data that is printed and evaluated, never executed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ntc.errors import LimitError, ParseError

MAX_SIZE = 200
"""Most numbers, variables and operations of an expression."""

MAX_DEPTH = 40
"""Deepest nesting."""

MAX_POWER = 30
"""Largest exponent, and the smallest without its sign."""


@dataclass(frozen=True)
class Expression:
    """A number (`value`), the variable (`name` x), or an operation or function on operands."""

    name: str
    operands: tuple[Expression, ...] = ()
    value: float = 0.0
    depth: int = field(init=False, compare=False, default=1)
    size: int = field(init=False, compare=False, default=1)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", 1 + max((x.depth for x in self.operands), default=0))
        object.__setattr__(self, "size", 1 + sum(x.size for x in self.operands))

    @property
    def constant(self) -> bool:
        """Whether it is a number."""
        return self.name == "number"


X = Expression("x")
SMOOTH = frozenset({"exp", "log", "sqrt", "tanh", "sigmoid", "softplus", "erf", "sin", "cos"})
KINKED = frozenset({"abs", "relu", "sign", "min", "max"})
FUNCTIONS: Mapping[str, int] = dict.fromkeys(sorted(SMOOTH | KINKED), 1) | {"min": 2, "max": 2}
"""Every function, and the number of its operands."""

ALIASES: Mapping[str, str] = {"minimum": "min", "maximum": "max", "logistic": "sigmoid"}
OPERATORS: Mapping[str, int] = {"+": 1, "-": 1, "*": 2, "/": 2, "**": 4}
"""Binary operators, and how tightly they bind; a minus sign before an operand binds at 3."""


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
    if not exponent.constant or exponent.value != round(exponent.value) or abs(exponent.value) > MAX_POWER:
        raise ParseError(
            f"an exponent is a whole number from -{MAX_POWER} to {MAX_POWER}, got {show(exponent)}",
            hint="sqrt(y) and exp(a * log(y)) are other powers",
        )


def show(expression: Expression) -> str:
    """Canonical text, which `ntc.ir.expression_text.parse` reads back."""
    return _text(expression, 0)


def _text(e: Expression, binding: int) -> str:
    match e.name:
        case "number":
            text = str(int(e.value)) if e.value == int(e.value) and abs(e.value) < 1e15 else repr(e.value)
            own = 3 if e.value < 0 else 9
        case "x":
            return "x"
        case "negative":
            text, own = f"-{_text(e.operands[0], 4)}", 3
        case name if name in OPERATORS:
            own = OPERATORS[name]
            left, right = (own + 1, 3) if name == "**" else (own, own + 1)
            text = f"{_text(e.operands[0], left)} {name} {_text(e.operands[1], right)}"
        case name:
            return f"{name}({', '.join(_text(x, 0) for x in e.operands)})"
    return text if own >= binding else f"({text})"


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


_NUMBERS: Mapping[str, Callable[..., float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
    "negative": lambda a: -a,
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "tanh": math.tanh,
    "sigmoid": _sigmoid,
    "softplus": lambda a: max(a, 0.0) + math.log1p(math.exp(-abs(a))),
    "erf": math.erf,
    "sin": math.sin,
    "cos": math.cos,
    "abs": abs,
    "relu": lambda a: max(a, 0.0),
    "sign": lambda a: float((a > 0) - (a < 0)),
    "min": min,
    "max": max,
}


def evaluate(e: Expression, x: Any, functions: Mapping[str, Callable[..., Any]]) -> Any:
    """The value at x, an array or a number, by the functions of some library (those of `FUNCTIONS`)."""
    match e.name:
        case "number":
            return e.value
        case "x":
            return x
    values = [evaluate(operand, x, functions) for operand in e.operands]
    match e.name:
        case "+":
            return values[0] + values[1]
        case "-":
            return values[0] - values[1]
        case "*":
            return values[0] * values[1]
        case "/":
            return values[0] / values[1]
        case "**":
            return values[0] ** int(values[1]) if values[1] >= 0 else 1 / values[0] ** int(-values[1])
        case "negative":
            return -values[0]
    return functions[e.name](*values)
