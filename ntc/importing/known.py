"""Known values of a traced function: along which axes they vary, and their values for other parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ntc.importing.equations import evaluate
from ntc.importing.graph import Array, Node, above

MOVES = frozenset(
    {
        "broadcast_in_dim",
        "concatenate",
        "convert_element_type",
        "copy",
        "expand_dims",
        "reshape",
        "rev",
        "slice",
        "squeeze",
        "tile",
        "transpose",
    }
)
"""Primitives that only move entries about."""


def varying(node: Node) -> frozenset[int]:
    """Axes along which a known value may vary: those of size one and copies along new axes do not."""
    every = frozenset(i for i, size in enumerate(node.shape) if size > 1)
    if node.name == "broadcast_in_dim" and node.operands:
        below = varying(node.operands[0])
        places = node.options["broadcast_dimensions"]
        return frozenset(places[i] for i in below)
    alike = [x for x in node.operands if x.shape == node.shape]
    others = [x for x in node.operands if x.shape != node.shape and x.shape]
    if node.operands and alike and not others and node.name not in ("transpose", "rev", "slice", "reshape", "cumsum"):
        return frozenset().union(*map(varying, alike))
    if node.parameters:
        return every
    return frozenset(i for i in every if not np.all(node.values == np.take(node.values, [0], i)))


def with_parameters(node: Node, arrays: Mapping[str, Any]) -> Array:
    """The value of a known node with other arrays for parameters, by their paths."""
    found: dict[int, Any] = {}
    for x in above(node, ()):
        if not x.parameters:
            found[id(x)] = x.array
        elif x.role == "parameter":
            found[id(x)] = arrays[x.path] if x.step is None else with_parameters(x.step[1], arrays)[x.step[0]]
        else:
            equation, index = x.step
            found[id(x)] = evaluate(equation, [found[id(y)] for y in x.operands])[index]
    return np.asarray(found[id(node)])


def entries(node: Node) -> dict[str, Array] | None:
    """Which entries of parameters a known value holds, by number; None if it is computed from them by arithmetic."""
    nodes = list(above(node, ()))
    if any(x.role == "operation" and x.parameters and x.name not in MOVES for x in nodes):
        return None
    paths = [x for x in nodes if x.role == "parameter"]
    if len(paths) != 1:
        return None
    (parameter,) = paths
    numbers = np.arange(parameter.values.size, dtype=np.float64).reshape(parameter.shape)
    root = parameter.path
    if parameter.step is not None:
        return {root: with_parameters_of(node, parameter, numbers)}
    return {root: with_parameters(node, {root: numbers}).ravel().astype(int)}


def with_parameters_of(node: Node, parameter: Node, array: Array) -> Array:
    """The value of a known node with another array for one parameter that is a row of another."""
    found: dict[int, Any] = {id(parameter): array}
    for x in above(node, (parameter,)):
        equation, index = x.step if x.step is not None else (None, 0)
        found[id(x)] = x.array if equation is None else evaluate(equation, [found[id(y)] for y in x.operands])[index]
    return np.asarray(found[id(node)]).ravel().astype(int)


Draws = Callable[[Node], list[Array]]
