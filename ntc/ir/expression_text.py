"""The text of an expression of one variable, read with a place for every error."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from ntc.errors import LimitError, Location, NtcError, ParseError, Source
from ntc.ir.expression import ALIASES, COMPARISONS, FUNCTIONS, MAX_DEPTH, OPERATORS, Expression, X, apply, number
from ntc.ir.names import did_you_mean

MAX_CHARACTERS = 4000
"""Longest text of an expression."""

_NUMBER = r"\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?"
_TOKEN = re.compile(rf"\s*(?:({_NUMBER})|([A-Za-z_]\w*)|(\*\*|[<>=!]=|[-+*/(),<>])|(\S))")


@lru_cache(maxsize=256)
def parse(text: str) -> Expression:
    """The expression that is written. Raises ParseError or LimitError, with a place."""
    if len(text) > MAX_CHARACTERS:
        raise LimitError(f"an expression has at most {MAX_CHARACTERS} characters")
    reader = _Reader(Source("<expression>", text))
    found = reader.sum(0)
    if reader.peek():
        raise reader.error(f"`{reader.peek()}` is not expected here")
    return found


def function(name: str, *operands: Expression) -> Expression:
    """The function of this name applied. Raises ParseError if there is none, or for a wrong number of operands."""
    if name in _SHORTHANDS:
        count, written = _SHORTHANDS[name]
        _check_count(name, count, operands)
        return written(*operands)
    known = ALIASES.get(name, name)
    if known not in FUNCTIONS:
        names = sorted({*FUNCTIONS, *_SHORTHANDS, "minimum", "maximum"})
        hint = did_you_mean(name, names) or f"there are {', '.join(names)}"
        raise ParseError(f"unknown function `{name}`", hint=hint)
    _check_count(name, FUNCTIONS[known], operands)
    return apply(known, *operands)


def _check_count(name: str, count: int, operands: tuple[Expression, ...]) -> None:
    if len(operands) != count:
        raise ParseError(f"`{name}` takes {count} arguments, got {len(operands)}")


_SHORTHANDS: Mapping[str, tuple[int, Callable[..., Expression]]] = {
    "clip": (3, lambda y, low, high: apply("min", apply("max", y, low), high)),
    "ceil": (1, lambda y: apply("negative", apply("floor", apply("negative", y)))),
    "round": (1, lambda y: apply("floor", apply("+", y, number(0.5)))),
}
"""Functions that are written by others, and how many operands they take."""


@dataclass
class _Reader:
    """Recursive descent by how tightly operators bind."""

    source: Source
    tokens: list[tuple[str, int]] = field(init=False)
    place: int = 0

    def __post_init__(self) -> None:
        found = _TOKEN.finditer(self.source.text.rstrip())
        self.tokens = [(m[0].strip(), m.end() - len(m[0].strip())) for m in found]

    def peek(self) -> str:
        """The next token; empty at the end."""
        return self.tokens[self.place][0] if self.place < len(self.tokens) else ""

    def take(self) -> str:
        """The next token, which is passed."""
        token = self.peek()
        self.place += 1
        return token

    def error(self, message: str, hint: str | None = None, place: int | None = None) -> ParseError:
        """An error at a token."""
        return ParseError(message, self.at(self.place if place is None else place), hint)

    def at(self, place: int) -> Location:
        """Where a token is."""
        text = self.source.text
        token, start = self.tokens[place] if place < len(self.tokens) else (" ", max(0, len(text.rstrip()) - 1))
        line = text.count("\n", 0, start) + 1
        return Location(self.source, line, start - text.rfind("\n", 0, start), len(token))

    def made(self, place: int, name: str, *operands: Expression) -> Expression:
        """An operation; errors are at the token."""
        try:
            return function(name, *operands) if name[0].isalpha() and name != "negative" else apply(name, *operands)
        except NtcError as error:
            error.location = error.location or self.at(place)
            raise

    def sum(self, depth: int, binding: int = 1) -> Expression:
        """Operands joined by operators that bind as tightly as `binding` or tighter."""
        if depth > 2 * MAX_DEPTH:
            raise LimitError(f"an expression nests at most {MAX_DEPTH} deep", self.at(self.place))
        left = self.operand(depth)
        while OPERATORS.get(self.peek(), 0) >= binding:
            place, operator = self.place, self.take()
            tighter = 4 if operator == "**" else OPERATORS[operator] + 1
            left = self.made(place, operator, left, self.sum(depth + 1, tighter))
            if operator in COMPARISONS and self.peek() in COMPARISONS:
                raise self.error("comparisons are not chained", "(a < b) * (b < c) is one where both hold")
        return left

    def operand(self, depth: int) -> Expression:
        """A number, x, a function, a parenthesis, or one of them with its sign changed."""
        place, token = self.place, self.take()
        if token == "-":
            return self.made(place, "negative", self.sum(depth + 1, 5))
        if token == "(":
            inside = self.sum(depth + 1)
            self.close()
            return inside
        if token == "x":
            return X
        if token[:1].isdigit() or (token[:1] == "." and len(token) > 1):
            return self._number(place, token)
        if token[:1].isalpha() or token[:1] == "_":
            return self._function(place, token, depth)
        found = f"`{token}`" if token else "the end"
        raise self.error(f"{found} is not expected here", "a number, x, a function or a parenthesis", place)

    def close(self) -> None:
        """Passes a closing parenthesis."""
        if self.peek() != ")":
            raise self.error("a parenthesis is not closed")
        self.take()

    def _number(self, place: int, token: str) -> Expression:
        try:
            return number(float(token))
        except ParseError as error:
            error.location = self.at(place)
            raise

    def _function(self, place: int, name: str, depth: int) -> Expression:
        if self.peek() != "(":
            raise self.error(f"unknown name `{name}`", "the variable is x; functions have parentheses", place)
        self.take()
        operands = [self.sum(depth + 1)]
        while self.peek() == ",":
            self.take()
            operands.append(self.sum(depth + 1))
        self.close()
        return self.made(place, name, *operands)
