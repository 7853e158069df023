"""The operators of the language on numbers and truth values."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from ntc.errors import ElaborationError, LimitError
from ntc.frontend.layers import Layer, Network
from ntc.frontend.values import Builtin, Function, Value, bounded, describe, number
from ntc.ir.hyper import Hyper

_LARGEST_EXPONENT = 1100
"""Of whole numbers, more gives 0, 1, -1 or something beyond every limit."""


def _power(base: float, exponent: float) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1 and exponent > _LARGEST_EXPONENT:
        raise LimitError(f"{base} ** {exponent} is beyond the largest whole number")
    return base**exponent


_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": _power,
}
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


def apply(symbol: str, left: Value, right: Value) -> Value:
    """left symbol right. Raises ElaborationError or LimitError."""
    if symbol in ("==", "!="):
        for value in (left, right):
            if isinstance(value, Hyper | Layer | Network | Function | Builtin):
                raise ElaborationError(f"`{symbol}` compares numbers, words and tuples, got {describe(value)}")
        same = isinstance(left, bool) == isinstance(right, bool) and left == right  # true is not 1
        return same if symbol == "==" else not same
    a, b = number(left, f"`{symbol}`"), number(right, f"`{symbol}`")
    if symbol in _ORDER:
        return _ORDER[symbol](a, b)
    try:
        return bounded(_ARITHMETIC[symbol](a, b))
    except ZeroDivisionError:
        raise ElaborationError("division by zero") from None
    except OverflowError:
        raise LimitError("the result is not a finite number") from None
