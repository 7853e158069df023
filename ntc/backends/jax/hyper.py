"""Values of hyperparameters, checked and as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ntc.backends.jax.concrete import is_traced
from ntc.errors import InputError
from ntc.ir.hyper import Hyper, mapped
from ntc.ir.names import did_you_mean

T = TypeVar("T")

Values = Mapping[str, Any]
"""Numbers by name of the hyperparameter."""


def values_of(hypers: Mapping[str, Hyper], given: Values | None, dtype: Any) -> dict[str, Any]:
    """A scalar for each hyperparameter: what is given, or its default.

    Numbers that are known are NumPy scalars, so that they take part in no trace. Raises InputError for names that are
    none, for anything but one number, and for known numbers that its parameters cannot have.
    """
    for name in given or {}:
        if name not in hypers:
            listed = ", ".join(hypers) or "none"
            hint = did_you_mean(name, list(hypers)) or f"its hyperparameters: {listed}"
            raise InputError(f"the network has no hyperparameter `{name}`", hint=hint)
    return {name: _scalar(hyper, (given or {}).get(name, hyper.value), dtype) for name, hyper in hypers.items()}


def known_values(hypers: Mapping[str, Hyper], given: Values) -> dict[str, float]:
    """What is given, as numbers. Raises InputError as `values_of`, and where it is not known."""
    unknown = [name for name, value in given.items() if is_traced(value)]
    if unknown:
        raise InputError(
            f"the hyperparameter `{unknown[0]}` has no value yet inside a JAX transformation",
            hint="call the program with hyper=",
        )
    values = values_of(hypers, given, np.float64)
    return {name: float(values[name]) for name in given}


def _scalar(hyper: Hyper, value: Any, dtype: Any) -> Any:
    if np.shape(value) != ():
        raise InputError(f"the hyperparameter `{hyper.name}` should be one number, got shape {np.shape(value)}")
    if is_traced(value):
        return jnp.asarray(value, dtype)
    number = value.item() if isinstance(value, np.ndarray | np.generic | jax.Array) else value
    problem = hyper.problem_of(number)
    if problem:
        raise InputError(f"the hyperparameter `{hyper.name}`: {problem}")
    return np.asarray(number, dtype)


def bound(op: T, values: Values | None) -> T:
    """The op with these numbers or arrays in the place of hyperparameters; see `number_of`."""
    return mapped(op, lambda hyper: number_of(hyper, values))


def number_of(number: float | Hyper, values: Values | None) -> Any:
    """The number or array that a parameter is; of a hyperparameter without a value here, its own."""
    if isinstance(number, Hyper):
        return number.value if values is None else values.get(number.name, number.value)
    return number
