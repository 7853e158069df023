"""Hyperparameters: numbers of a network that are arguments of the compiled program, not constants in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from pydantic import AfterValidator, Field, InstanceOf

from ntc.errors import ParameterError
from ntc.ir.schema import MAX_SCALE, Finite, Scale

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Hyper:
    """A real parameter of a layer that the caller of a program may set.

    Hyperparameters of one name are one, wherever they stand. One without a name is called after the parameter that it
    is given to. Raises ParameterError.

    Attributes:
      value: where the caller says nothing.
      name: letters, digits and underscores.
      low, high: the range of its values, which is that of the parameters that it stands for.
    """

    value: float
    name: str = ""
    low: float = field(default=-MAX_SCALE, compare=False, repr=False)
    high: float = field(default=MAX_SCALE, compare=False, repr=False)

    def __post_init__(self) -> None:
        problem = self.problem_of(self.value)
        if problem:
            raise ParameterError(f"hyper: {problem}")
        if self.name and not _NAME.fullmatch(self.name):
            raise ParameterError(f"hyper: `{self.name}` is not a name: letters, digits and underscores")

    def named(self, name: str) -> Hyper:
        """With this name, if it has none."""
        return self if self.name else replace(self, name=name)

    def within(self, low: float, high: float) -> Hyper:
        """Of values in this range only. Raises ParameterError if its own is not."""
        return replace(self, low=max(self.low, low), high=min(self.high, high))

    def problem_of(self, value: object) -> str | None:
        """Why it cannot have this value, or None."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"its value should be a number, got {value!r}"
        if not isfinite(value) or not self.low <= value <= self.high:
            return f"its value should be a number from {self.low:g} to {self.high:g}, got {value}"
        return None


def in_range(low: float, high: float) -> AfterValidator:
    """Checks that a hyperparameter has values in a range only."""
    return AfterValidator(lambda hyper: hyper.within(low, high))


if TYPE_CHECKING:
    Tunable: TypeAlias = float  # which `settled` and `bound` make of it before it is computed with
    TunableReal: TypeAlias = float
    TunableShare: TypeAlias = float
else:
    Tunable = Scale | Annotated[InstanceOf[Hyper], in_range(0, MAX_SCALE)]
    """A number that is not negative, as a standard deviation: a constant, or an argument of the program."""

    TunableReal = Finite | Annotated[InstanceOf[Hyper], in_range(-MAX_SCALE, MAX_SCALE)]
    """Any real number likewise."""

    TunableShare = Annotated[float, Field(ge=1e-6, le=1)] | Annotated[InstanceOf[Hyper], in_range(1e-6, 1)]
    """A probability that is not zero likewise."""

T = TypeVar("T")

_ANY = Hyper(0.5, "any")


def mapped(value: T, function: Callable[[Hyper], Any]) -> T:
    """An op, with something else in the place of every hyperparameter, its own or of an op or tuple in it.

    What takes the place is not validated, and may be an array: the rest of the op is as it was.
    """
    if isinstance(value, Hyper):
        return function(value)  # type: ignore[no-any-return]
    if isinstance(value, tuple):
        return tuple(mapped(x, function) for x in value)  # type: ignore[return-value]
    if not _may_have_hypers(value) or not any(hypers_of(value)):
        return value
    made = object.__new__(type(value))
    for name, own in vars(value).items():
        object.__setattr__(made, name, mapped(own, function))
    return made


def hypers_of(value: Any) -> Iterator[Hyper]:
    """The hyperparameters in an op, in what it holds, or in a tuple."""
    if isinstance(value, Hyper):
        yield value
    elif isinstance(value, tuple) or _may_have_hypers(value):
        for inner in value if isinstance(value, tuple) else vars(value).values():
            yield from hypers_of(inner)


def _may_have_hypers(value: Any) -> bool:
    """Whether it is an op."""
    return hasattr(type(value), "__pydantic_fields__")


def shape_of(value: T) -> T:
    """An op with one placeholder for all tunable numbers, so that ops that differ in these alone are equal. Zeros stay:
    a term with a factor of zero is not computed."""
    if isinstance(value, tuple):
        return tuple(map(shape_of, value))  # type: ignore[return-value]
    if not _may_have_hypers(value):
        return value
    names = _tunable(type(value))  # type: ignore[arg-type]
    made = object.__new__(type(value))
    for name, own in vars(value).items():
        object.__setattr__(made, name, _without_numbers(own) if name in names else shape_of(own))
    return made


def stacked(values: Sequence[T], name: str, numbers: dict[str, tuple[Any, ...]]) -> T:
    """One op for several of one shape, with a hyperparameter in the place of every number in which they differ.

    The names of these begin with `name`. Their values, one for each of the ops in order, are added to `numbers`.
    """
    first = values[0]
    if all(value == first for value in values):
        return first
    if isinstance(first, float | Hyper):
        numbers[name] = tuple(values)
        return Hyper(default(first), name)  # type: ignore[return-value]
    if isinstance(first, tuple):
        parts = zip(*values, strict=True)
        return tuple(stacked(part, f"{name}_{i}", numbers) for i, part in enumerate(parts))  # type: ignore[return-value]
    made = object.__new__(type(first))
    for key in vars(first):
        object.__setattr__(made, key, stacked([vars(value)[key] for value in values], f"{name}_{key}", numbers))
    return made


def _without_numbers(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_without_numbers, value))
    ordinary = isinstance(value, Hyper) or (isinstance(value, float) and value != 0)
    return _ANY if ordinary else value


@lru_cache
def _tunable(op: type[Any]) -> frozenset[str]:
    """The parameters of an op that may be hyperparameters."""
    return frozenset(name for name, one in op.__pydantic_fields__.items() if "Hyper" in str(one.annotation))


def settled(op: T) -> T:
    """The op with the numbers that its hyperparameters are where the caller says nothing."""
    return mapped(op, lambda hyper: hyper.value)


def default(number: float | Hyper) -> float:
    """The number that a parameter is where the caller says nothing."""
    return number.value if isinstance(number, Hyper) else number


def parts(number: float | Hyper) -> tuple[float, Hyper | None]:
    """A constant and a hyperparameter whose product the number is."""
    return (1.0, number) if isinstance(number, Hyper) else (number, None)


def is_known(number: object) -> bool:
    """Whether a parameter is a number, and no hyperparameter or array that stands for one."""
    return isinstance(number, int | float)


def is_number(number: object, value: object) -> bool:
    """Whether both are known to be one number."""
    return is_known(number) and is_known(value) and number == value


def joined(known: Mapping[str, Hyper], more: Iterable[Hyper]) -> dict[str, Hyper]:
    """By name, of the values that all of them may have. Raises ParameterError if one name has two values."""
    found = dict(known)
    for hyper in more:
        first = found.setdefault(hyper.name, hyper)
        if first != hyper:
            raise ParameterError(
                f"the hyperparameter `{hyper.name}` is {first.value} in one place and {hyper.value} here",
                hint=f'give it a name of its own: hyper({hyper.value}, "{hyper.name}_2")',
            )
        found[hyper.name] = first.within(hyper.low, hyper.high)
    return found
