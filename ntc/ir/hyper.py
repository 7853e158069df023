"""Hyperparameters: scales that are arguments of the compiled program, not constants in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any

from pydantic import InstanceOf

from ntc.errors import ParameterError
from ntc.ir.schema import MAX_SCALE, Scale

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Hyper:
    """A standard deviation that the caller of a program may set.

    Hyperparameters of one name are one, wherever they stand. One without a name is called after the parameter that it
    is given to. Raises ParameterError.

    Attributes:
      value: where the caller says nothing; not negative.
      name: letters, digits and underscores.
    """

    value: float
    name: str = ""

    def __post_init__(self) -> None:
        problem = problem_of(self.value)
        if problem:
            raise ParameterError(f"hyper: {problem}")
        if self.name and not _NAME.fullmatch(self.name):
            raise ParameterError(f"hyper: `{self.name}` is not a name: letters, digits and underscores")

    def named(self, name: str) -> Hyper:
        """With this name, if it has none."""
        return self if self.name else Hyper(self.value, name)


Tunable = Scale | InstanceOf[Hyper]
"""A standard deviation: a constant of the network, or an argument of its program."""


def problem_of(value: object) -> str | None:
    """Why a value cannot be that of a hyperparameter, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"its value should be a number, got {value!r}"
    if not isfinite(value) or not 0 <= value <= MAX_SCALE:
        return f"a standard deviation is a number from 0 to {MAX_SCALE:g}, got {value}"
    return None


def default(scale: float | Hyper) -> float:
    """The number that a scale is where the caller says nothing."""
    return scale.value if isinstance(scale, Hyper) else scale


def parts(scale: float | Hyper) -> tuple[float, Hyper | None]:
    """A constant and a hyperparameter whose product the scale is."""
    return (1.0, scale) if isinstance(scale, Hyper) else (scale, None)


def hypers_of(op: Any) -> Mapping[str, Hyper]:
    """The hyperparameters of an op, by the parameter they are."""
    values = ((x.name, getattr(op, x.name)) for x in fields(op))
    return {name: value for name, value in values if isinstance(value, Hyper)}


def joined(known: Mapping[str, Hyper], more: Iterable[Hyper]) -> dict[str, Hyper]:
    """By name. Raises ParameterError if one name has two values."""
    found = dict(known)
    for hyper in more:
        if found.setdefault(hyper.name, hyper) != hyper:
            raise ParameterError(
                f"the hyperparameter `{hyper.name}` is {found[hyper.name].value} in one place and {hyper.value} here",
                hint=f'give it a name of its own: hyper({hyper.value}, "{hyper.name}_2")',
            )
    return found
