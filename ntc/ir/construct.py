"""Making an op or a pass from a name and parameters of unknown quality; the one place that words their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any, ClassVar, Protocol, TypeVar

from pydantic import ValidationError

from ntc.errors import NtcError, ParameterError
from ntc.ir.given_function import GivenFunction
from ntc.ir.hyper import Hyper, mapped
from ntc.ir.names import did_you_mean
from ntc.ir.op import Op


class Named(Protocol):
    """An op or a pass: a dataclass of parameters with a name."""

    name: ClassVar[str]


T = TypeVar("T", bound=Named)


def parameters(op: type[Named]) -> tuple[Field[Any], ...]:
    """The parameters of an op in order."""
    return fields(op)  # type: ignore[arg-type]  # every concrete op is a dataclass


def required(parameter: Field[Any]) -> bool:
    """Whether a parameter has no default."""
    return parameter.default is MISSING and parameter.default_factory is MISSING


def construct(op: type[T], positional: Sequence[object], named: Mapping[str, object]) -> T:
    """The op with these parameters. Raises ParameterError, which names the parameter at fault."""
    names = [p.name for p in parameters(op)]
    if len(positional) > len(names):
        raise ParameterError(f"{op.name} takes at most {len(names)} parameters, got {len(positional)}")
    values = dict(zip(names, positional, strict=False))
    for name, value in named.items():
        if name not in names:
            known = ", ".join(names) or "none"
            hint = did_you_mean(name, names) or f"its parameters: {known}"
            raise ParameterError(f"{op.name} has no parameter `{name}`", hint=hint, parameter=name)
        if name in values:
            raise ParameterError(f"{op.name}: parameter `{name}` is given twice", parameter=name)
        values[name] = value
    missing = [p.name for p in parameters(op) if required(p) and p.name not in values]
    if missing:
        raise ParameterError(f"{op.name}: missing parameter `{missing[0]}`", hint=signature(op))
    values = {name: _named(name, value) for name, value in values.items()}
    try:
        return op(**values)
    except ValidationError as error:
        raise _own_error(error) or _parameter_error(op, values, error) from None


def _named(name: str, value: object) -> object:
    """Hyperparameters without a name are called after the parameter."""
    return mapped(value, lambda hyper: hyper.named(name)) if isinstance(value, Hyper | tuple) else value


def signature(op: type[Named]) -> str:
    """`conv(channels, kernel, stride = 1, ...)`."""
    shown = [p.name if required(p) else f"{p.name} = {literal(p.default)}" for p in parameters(op)]
    return f"{op.name}({', '.join(shown)})"


def literal(value: object) -> str:
    """A parameter value as the language and the IR write it."""
    match value:
        case bool():
            return str(value).lower()
        case None:
            return "none"
        case tuple():
            inner = ", ".join(map(literal, value))
            return f"({inner},)" if len(value) == 1 else f"({inner})"
        case Op():
            given = attributes(value)
            inner = ", ".join(f"{k}={literal(v)}" for k, v in given.items())
            return f"{value.name}({inner})" if given else value.name
        case Hyper():
            return f"hyper({value.value}, {value.name})" if value.name else f"hyper({value.value})"
        case GivenFunction():
            return str(value)
        case str() if not value.isidentifier():
            return f'"{value}"'
        case float() | int() | str():
            return str(value)
    raise TypeError(f"no literal for {value!r}")


def attributes(op: Op) -> dict[str, object]:
    """The parameters of an op that differ from their defaults, in order."""
    pairs = ((p, getattr(op, p.name)) for p in parameters(type(op)))
    return {p.name: v for p, v in pairs if required(p) or v != p.default}


def _own_error(error: ValidationError) -> NtcError | None:
    """The error that a validator of ours raised, if one did."""
    raised = (problem.get("ctx", {}).get("error") for problem in error.errors(include_url=False))
    return next((own for own in raised if isinstance(own, NtcError)), None)


def _parameter_error(op: type[Named], values: Mapping[str, object], error: ValidationError) -> ParameterError:
    problems = error.errors(include_url=False)
    parameter = str(problems[0]["loc"][0])
    own = [p["msg"] for p in problems if p["loc"][0] == parameter and p.get("ctx", {}).get("class") != "Hyper"]
    wanted = " or ".join(dict.fromkeys(m.removeprefix("Input should be ") for m in own))
    shown = _short(values[parameter])
    return ParameterError(f"{op.name}: {parameter} = {shown}; it should be {wanted}", parameter=parameter)


def _short(value: object) -> str:
    try:
        text = literal(value)
    except TypeError:
        text = type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."
