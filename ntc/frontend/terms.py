"""Calls of the language as data: what a network is written with, and what calls that are alike have in common."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

REQUIRED = object()
"""Stands for the default of a parameter without one."""


@dataclass(frozen=True)
class Variable:
    """A parameter of a `let`, where it is used."""

    name: str


@dataclass(frozen=True)
class Call:
    """A function and its arguments: a name and a value each, of branches an empty name. A value is a number, a word, a
    tuple, a formula, a variable, or calls in series."""

    name: str
    arguments: tuple[tuple[str, Any], ...] = ()


Pipe = tuple[Call, ...]
"""Calls in series."""


class Series(tuple[Call, ...]):
    """Calls in series, told from tuples of numbers."""


@dataclass(frozen=True)
class Definition:
    """`let name(parameters) = body`: a default is the value of a parameter that is left out."""

    name: str
    parameters: Mapping[str, Any]
    body: Call | Series


def is_pipe(value: Any) -> bool:
    """Whether a value is calls in series, also of none."""
    return isinstance(value, Series)


def calls(pipe: Sequence[Call]) -> Iterator[Call]:
    """All calls, outer ones first."""
    for call in pipe:
        yield call
        for _, value in call.arguments:
            if is_pipe(value):
                yield from calls(value)


def mapped(pipe: Sequence[Call], function: Callable[[Call], Call]) -> Series:
    """The calls with a function applied to each, inner ones first."""
    return Series(
        function(Call(c.name, tuple((n, mapped(v, function) if is_pipe(v) else v) for n, v in c.arguments)))
        for c in pipe
    )


def rows(pipe: Series) -> Iterator[Series]:
    """All calls in series, outer ones first."""
    yield pipe
    for call in pipe:
        for _, value in call.arguments:
            if is_pipe(value):
                yield from rows(value)


def with_row(pipe: Series, row: Series, name: str) -> Series:
    """The calls with every occurrence of some in a row replaced by one call."""
    found: list[Call] = []
    i = 0
    while i < len(pipe):
        if pipe[i : i + len(row)] == tuple(row):
            found.append(Call(name))
            i += len(row)
        else:
            arguments = tuple((n, with_row(v, row, name) if is_pipe(v) else v) for n, v in pipe[i].arguments)
            found.append(Call(pipe[i].name, arguments))
            i += 1
    return Series(found)


def skeleton(call: Call) -> Any:
    """What calls have in common that differ in numbers and words alone."""
    return call.name, tuple((n, tuple(map(skeleton, v)) if is_pipe(v) else None) for n, v in call.arguments)


def leaves(call: Call) -> list[tuple[str, Any]]:
    """The numbers and words of a call and of those within it, with the names of their parameters, in order."""
    found: list[tuple[str, Any]] = []
    for name, value in call.arguments:
        if is_pipe(value):
            found += [x for inner in value for x in leaves(inner)]
        else:
            found.append((name, value))
    return found


def with_leaves(call: Call, values: Iterator[Any]) -> Call:
    """The call with other numbers and words, in their order."""
    return Call(
        call.name,
        tuple(
            (n, Series(with_leaves(x, values) for x in v) if is_pipe(v) else next(values)) for n, v in call.arguments
        ),
    )


def abstracted(
    name: str, alike: Sequence[Call], defaults: Mapping[str, Any], reserved: Container[str] = ()
) -> tuple[Definition, dict[Call, Call]]:
    """A definition of which calls with one skeleton are cases, and what each of them becomes. `defaults` are values
    that a parameter of the definition may leave out, `reserved` names that it may not have: `bias` is `with_bias`."""
    columns = list(zip(*(leaves(call) for call in alike), strict=True))
    names: dict[tuple[Any, ...], str] = {}
    body: list[Any] = []
    for column in columns:
        values = tuple(value for _, value in column)
        if len(set(map(repr, values))) == 1:
            body.append(values[0])
            continue
        wanted = f"with_{column[0][0]}" if column[0][0] in reserved else column[0][0]
        taken = set(names.values())
        own = next(
            x for x in (wanted, *(f"{wanted}{i}" for i in range(2, 100))) if x not in taken or names.get(values) == x
        )
        body.append(Variable(names.setdefault(values, own)))
    parameters = {
        x: defaults.get(x, REQUIRED) if defaults.get(x, REQUIRED) in values else REQUIRED for values, x in names.items()
    }
    parameters = dict(sorted(parameters.items(), key=lambda x: x[1] is not REQUIRED))
    by_name = {x: values for values, x in names.items()}
    replaced = {call: Call(name, tuple((x, by_name[x][i]) for x in parameters)) for i, call in enumerate(alike)}
    return Definition(name, parameters, with_leaves(alike[0], iter(body))), replaced
