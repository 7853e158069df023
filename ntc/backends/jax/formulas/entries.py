"""Arrays of expressions, as programs of one number compute with them, and functions of JAX that are formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from ntc.errors import UnsupportedError
from ntc.ir.expression import Expression, apply, number

Values = npt.NDArray[Any]
"""Of numbers, or of expressions (dtype object)."""


def expression(x: Any) -> Expression:
    """An entry as an expression."""
    if isinstance(x, Expression):
        return x
    if not np.isfinite(float(x)):
        raise UnsupportedError("activation: the function computes with infinity, or with what is not a number")
    return number(float(x))


def entrywise(function: Callable[..., Expression], *operands: Values) -> Values:
    """A function of every entry of arrays that broadcast."""
    arrays = np.broadcast_arrays(*operands)
    found = np.empty(arrays[0].shape, object)
    for index in np.ndindex(found.shape):
        found[index] = function(*(expression(x[index]) for x in arrays))
    return found


def total(terms: Sequence[Expression]) -> Expression:
    """A sum, as a balanced tree."""
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return simplified("+", total(terms[:half]), total(terms[half:]))


def reduced(name: str, x: Values, axes: Sequence[int]) -> Values:
    """An operation over the entries along axes."""
    kept = [i for i in range(x.ndim) if i not in axes]
    rows = x.transpose(*kept, *axes).reshape(*(x.shape[i] for i in kept), -1)
    found = np.empty(rows.shape[:-1], object)
    for index in np.ndindex(found.shape):
        entries = [expression(y) for y in rows[index]]
        found[index] = total(entries) if name == "+" else reduce(lambda a, b: simplified(name, a, b), entries)
    return found


def simplified(name: str, *operands: Expression) -> Expression:
    """An operation; sums with zero, products with one and zero, and what else is plain without it."""
    first, last = operands[0], operands[-1]
    zero, one = number(0.0), number(1.0)
    match name:
        case "!=" if first == last:  # whether it is not a number
            return zero
        case "==" if first == last:
            return one
        case "+" | "-" if last == zero:
            return first
        case "+" if first == zero:
            return last
        case "*" if zero in operands:
            return zero
        case "*" | "/" | "**" if last == one:
            return first
        case "*" if first == one:
            return last
        case "/" if first.name == "sin" and first.operands[0] == last:
            return apply("sinc", last)
        case "where" if first.constant:
            return operands[1] if first.value else operands[2]
    if name == "+" and first.name == "max" and first.operands[1] == zero and not first.operands[0].constant:
        argument = first.operands[0]
        if last == apply("log1p", apply("exp", apply("negative", apply("abs", argument)))):
            return apply("softplus", argument)
    return apply(name, *operands)


def _log_of_sum(operands: list[Values]) -> list[Values] | None:
    """log(exp(a) + exp(b)) without a kink: b + softplus(a - b)."""
    if len(operands) != 2:
        return None
    return [entrywise(lambda a, b: simplified("+", b, apply("softplus", simplified("-", a, b))), *operands)]


def _interpolated(operands: list[Values]) -> list[Values] | None:
    """jnp.interp(x, places, values) of numbers in order: straight pieces, and constant beyond."""
    if len(operands) != 3 or any(x.dtype == object or x.ndim != 1 for x in operands[1:]):
        return None
    places, values = (x.astype(np.float64) for x in operands[1:])
    if len(places) < 2 or not np.all(np.diff(places) > 0):
        return None
    slopes = np.concatenate([[0.0], np.diff(values) / np.diff(places), [0.0]])
    kept = [(t, change) for t, change in zip(places, np.diff(slopes), strict=True) if change]

    def function(x: Expression) -> Expression:
        terms = [
            simplified("*", number(float(c)), apply("relu", simplified("-", x, number(float(t))))) for t, c in kept
        ]
        return total([number(float(values[0])), *terms])

    return [entrywise(function, operands[0])]


def _counted(operands: list[Values]) -> list[Values] | None:
    """jnp.searchsorted(places, x) of numbers in order: how many are below x."""
    if len(operands) != 2 or operands[0].dtype == object or operands[0].ndim != 1:
        return None
    places = operands[0].astype(np.float64)
    return [entrywise(lambda x: total([apply(">", x, number(float(t))) for t in places]), operands[1])]


FUNCTIONS: Mapping[str, Callable[[list[Values]], list[Values] | None]] = {
    "logaddexp": _log_of_sum,
    "interp": _interpolated,
    "_interp": _interpolated,
    "searchsorted": _counted,
}
"""Functions of JAX by their names in traced programs: where theirs is another, the values are found not to be."""
