"""What an expression of the language can be worth, and what it is called in a message."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from ntc.errors import ElaborationError, LimitError, Location
from ntc.frontend.ast import Definition
from ntc.frontend.layers import Apply, Layer, Network
from ntc.frontend.parse import MAX_INTEGER
from ntc.ir.construct import construct, literal, parameters
from ntc.ir.hyper import Hyper
from ntc.ir.names import did_you_mean
from ntc.ir.op import TensorOp
from ntc.ir.ops import TENSOR_OPS


@dataclass(frozen=True)
class Function:
    """A definition with parameters."""

    definition: Definition


@dataclass(frozen=True)
class Builtin:
    """A function of the language itself: a layer by its op, or one of `ntc.frontend.builtins`."""

    name: str
    op: type[TensorOp] | None = None


Datum = bool | int | float | str | tuple[Any, ...] | None
Value = Datum | Hyper | Layer | Network | Function | Builtin


def _words(annotation: object) -> Iterator[str]:
    """The words that a parameter of this type may be."""
    if typing.get_origin(annotation) is Literal:
        yield from (word for word in typing.get_args(annotation) if isinstance(word, str))
    else:
        for inside in typing.get_args(annotation):
            yield from _words(inside)


def _all_words() -> Iterator[str]:
    for op in TENSOR_OPS.values():
        hints = typing.get_type_hints(op, include_extras=True)
        for parameter in parameters(op):
            yield from _words(hints[parameter.name])


def words_of(op: type[TensorOp], parameter: str | None) -> list[str]:
    """The words that a parameter of a layer may be; none if it has no parameter of this name."""
    annotation = typing.get_type_hints(op, include_extras=True).get(parameter or "")
    return list(dict.fromkeys(_words(annotation)))


CONSTANTS: Mapping[str, Datum] = {"true": True, "false": False, "none": None, **{word: word for word in _all_words()}}
"""Names with a fixed meaning: truth values, and every word that a parameter of some layer may be."""


def describe(value: Value) -> str:
    """`the number 3`, `a layer`, ..."""
    match value:
        case bool() | None:
            return f"`{literal(value)}`"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the word `{value}`"
        case tuple():
            return "a tuple of tuples" if any(isinstance(item, tuple) for item in value) else "a tuple"
        case Hyper():
            return f"a hyperparameter, {literal(value)}"
        case Layer():
            return "a layer"
        case Network():
            return "a network, which begins with input"
        case Function(definition):
            return f"the function `{definition.name}`"
        case Builtin(name):
            return f"the function `{name}`"


_COMPARED = 1000
"""Most names that a misspelt one is compared with: each takes up to a millisecond."""


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """A hint that names the nearest of the first known words, if one is near."""
    return did_you_mean(word, list(islice(known, _COMPARED)))


def number(value: Value, where: str) -> int | float:
    """`value`, which must be a number. Raises ElaborationError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ElaborationError(f"{where} needs a number, got {describe(value)}")
    return value


def truth(value: Value, where: str) -> bool:
    """`value`, which must be true or false. Raises ElaborationError."""
    if not isinstance(value, bool):
        raise ElaborationError(f"{where} needs true or false, got {describe(value)}", hint="compare: n > 0")
    return value


def layer(value: Value, where: str, at: Location | None = None) -> Layer:
    """`value`, which must be a layer; of a word that names one as well, as `softmax`, that. Raises ElaborationError."""
    if isinstance(value, str) and value in CONSTANTS and value in TENSOR_OPS:
        return Apply(construct(TENSOR_OPS[value], (), {}), at)
    if not isinstance(value, Layer):
        raise ElaborationError(f"{where} needs a layer, got {describe(value)}")
    return value


def branch(value: Value, where: str, at: Location | None = None) -> Layer | Network:
    """`value`, which must be a layer or a network. Raises ElaborationError."""
    return value if isinstance(value, Network) else layer(value, where, at)


def text(value: Value, where: str) -> str:
    """`value`, which must be a name in quotes. Raises ElaborationError."""
    if not isinstance(value, str):
        raise ElaborationError(f"{where} needs a name in quotes, got {describe(value)}", hint='"features"')
    return value


def bounded(value: int | float | complex) -> int | float:
    """A computed number, which must be finite and, if whole, exact as a floating-point number."""
    if isinstance(value, complex):
        raise ElaborationError("the result is not a real number")
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise LimitError(f"the result is beyond {MAX_INTEGER}, the largest whole number")
    if not abs(value) < float("inf"):
        raise LimitError("the result is not a finite number")
    return value
