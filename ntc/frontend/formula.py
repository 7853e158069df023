"""The argument of `activation` in the language: arithmetic of x, in which other names are numbers."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

from ntc.errors import ElaborationError, NtcError
from ntc.frontend import ast
from ntc.frontend.values import Value
from ntc.frontend.values import number as checked_number
from ntc.ir.expression import COMPARISONS, OPERATORS, Expression, X, apply, number
from ntc.ir.expression_text import function

NAME = "activation"
"""The layer whose argument is a formula."""

VARIABLE = "x"

Steps = Generator[ast.Expression, Value, Expression]
"""Asks for the values of names, and returns an expression."""


def constants(call: ast.Call) -> Iterator[ast.Name]:
    """The names in a formula that are not its variable."""
    pending: list[ast.Expression] = [argument.value for argument in call.arguments]
    while pending:
        inner = pending.pop()
        if isinstance(inner, ast.Name) and inner.name != VARIABLE:
            yield inner
        pending += reversed(list(inner.children()))


def translate(formula: ast.Expression) -> Steps:
    """The expression of a formula. Raises NtcError at the part to blame."""
    try:
        return (yield from _translate(formula))
    except NtcError as error:
        error.location = error.location or formula.at
        raise


def _translate(formula: ast.Expression) -> Steps:
    match formula:
        case ast.Number(value=value):
            return number(float(value))
        case ast.Name(name="x"):
            return X
        case ast.Name(name=name):
            return number(float(checked_number((yield formula), f"`{name}` in a formula")))
        case ast.Unary(operator="-", operand=operand):
            return apply("negative", (yield from translate(operand)))
        case ast.Unary(operator="not", operand=operand):
            return apply("==", (yield from translate(operand)), number(0.0))
        case ast.Conditional(condition=condition, yes=yes, no=no):
            parts = []
            for part in (condition, yes, no):
                parts.append((yield from translate(part)))
            return apply("where", *parts)
        case ast.Call(name=name, arguments=arguments) if all(x.name is None for x in arguments):
            operands = []
            for argument in arguments:
                operands.append((yield from translate(argument.value)))
            return function(name, *operands)
        case ast.Chain():
            return (yield from _chain(formula))
    raise ElaborationError("this is not arithmetic of x", hint="activation(x * sigmoid(x))")


_LOGICAL = {"and": "min", "or": "max"}


def _chain(formula: ast.Chain) -> Steps:
    compared = [operation for operation in formula.rest if operation.operator in COMPARISONS]
    if len(compared) > 1:
        raise ElaborationError("comparisons are not chained", compared[1].at, "write a < x and x < b")
    value = yield from translate(formula.first)
    for operation in formula.rest:
        operand = yield from translate(operation.operand)
        try:
            value = _applied(operation.operator, value, operand)
        except NtcError as error:
            error.location = operation.at
            raise
    return value


def _applied(operator: str, *operands: Any) -> Expression:
    if operator not in OPERATORS and operator not in _LOGICAL:
        hint = "a formula has + - * / **, comparisons, and, or, not, if, and functions"
        raise ElaborationError(f"`{operator}` is not part of a formula", hint=hint)
    return apply(_LOGICAL.get(operator, operator), *operands)
