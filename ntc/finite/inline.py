"""A jaxpr as one flat list of equations, calls written out where they occur."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, DebugInfo, DropVar, Jaxpr, JaxprEqn, Literal, jaxpr_as_fun, primitives


@dataclass(frozen=True)
class Value:
    """A variable of the flat list."""

    number: int


@dataclass(frozen=True, eq=False)
class Constant:
    """A literal, or an array that was closed over."""

    array: Any


Atom = Value | Constant


@dataclass(frozen=True, eq=False)
class Step:
    """One primitive applied: `equation` read from `inputs` and written to `outputs`."""

    equation: JaxprEqn
    inputs: tuple[Atom, ...]
    outputs: tuple[Value, ...]


@dataclass(frozen=True, eq=False)
class Flat:
    """A function as steps from inputs to outputs."""

    inputs: tuple[Value, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Atom, ...]


def flatten(closed: ClosedJaxpr) -> Flat:
    """The steps of a jaxpr; the bodies of `jit` are written out, everything else is one step."""
    numbers = count()
    inputs = tuple(Value(next(numbers)) for _ in closed.jaxpr.invars)
    steps: list[Step] = []
    outputs = _inline(closed, inputs, numbers, steps)
    return Flat(inputs, tuple(steps), outputs)


def _inline(closed: ClosedJaxpr, inputs: Sequence[Atom], numbers: Iterator[int], steps: list[Step]) -> tuple[Atom, ...]:
    known: dict[Any, Atom] = dict(zip(closed.jaxpr.invars, inputs, strict=True))
    known |= {var: Constant(array) for var, array in zip(closed.jaxpr.constvars, closed.consts, strict=True)}
    for equation in closed.jaxpr.eqns:
        operands = tuple(_atom(known, var) for var in equation.invars)
        if equation.primitive is primitives.jit_p:
            results: tuple[Atom, ...] = _inline(equation.params["jaxpr"], operands, numbers, steps)
        else:
            values = tuple(Value(next(numbers)) for _ in equation.outvars)
            steps.append(Step(equation, operands, values))
            results = values
        known.update(zip(equation.outvars, results, strict=True))
    return tuple(_atom(known, var) for var in closed.jaxpr.outvars)


def _atom(known: Mapping[Any, Atom], var: Any) -> Atom:
    return Constant(var.val) if isinstance(var, Literal) else known[var]


def type_of(var: Any) -> jax.ShapeDtypeStruct:
    """The shape and type of the array that a variable stands for."""
    return jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype)  # type: ignore[no-untyped-call]


def evaluate(step: Step, operands: Sequence[Any]) -> Sequence[Any]:
    """The outputs of one step; None for one that nothing reads.

    A jaxpr of the one equation is run, as how primitives are bound differs between versions of JAX.
    """
    equation = step.equation
    arguments = {
        var: value for var, value in zip(equation.invars, operands, strict=True) if not isinstance(var, Literal)
    }
    read = [var for var in equation.outvars if not isinstance(var, DropVar)]
    names = DebugInfo("ntc.finite", equation.primitive.name, ("",) * len(arguments), ("",) * len(read))
    jaxpr = Jaxpr((), list(arguments), read, [equation], equation.effects, names)
    found = dict(zip(read, jaxpr_as_fun(ClosedJaxpr(jaxpr, ()))(*arguments.values()), strict=True))
    return [found.get(var) for var in equation.outvars]
