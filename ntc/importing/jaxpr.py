"""A function of parameters and examples, traced by JAX, as a graph in which all calls are written out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, DropVar, Literal

from ntc.errors import InputError
from ntc.importing.equations import body_of, evaluate, is_function, is_over_layers, own_derivative
from ntc.importing.graph import Node, Place, Traced
from ntc.importing.places import PlaceOf, place_of_equation, scope_of

MAX_STEPS = 200
"""Of a loop over layers, which is written out."""


def trace(function: Callable[..., Any], params: Any, x: Any, place_of: PlaceOf | None = None) -> Traced:
    """The graph of function(params, x). Raises InputError if it cannot be traced, or returns several arrays."""
    try:
        closed = jax.make_jaxpr(function)(params, x)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"JAX cannot trace the function: {reason}",
            hint="f(params, x) should be a function of a tree of arrays and of one array of examples",
        ) from error
    if len(closed.jaxpr.outvars) != 1:
        raise InputError(
            f"the function returns {len(closed.jaxpr.outvars)} arrays; it should return one",
            hint="take the one whose kernel you want: lambda params, x: f(params, x)[0]",
        )
    return _Tracer(place_of or place_of_equation).traced(closed, params, x)


def path_text(path: Sequence[Any]) -> str:
    """`params/Dense_0/kernel` of a path of keys in a tree."""
    return jax.tree_util.keystr(tuple(path), simple=True, separator="/")


class _Tracer:
    """Writes the nodes of a graph, in the order in which they are computed."""

    def __init__(self, place_of: PlaceOf) -> None:
        self._nodes: list[Node] = []
        self._place_of = place_of

    def traced(self, closed: ClosedJaxpr, params: Any, x: Any) -> Traced:
        leaves = jax.tree_util.tree_flatten_with_path(params)[0]
        inputs = [self._parameter(path_text(path), leaf) for path, leaf in leaves]
        example = self._add(Node("x", (), "input", tuple(jnp.shape(x))))
        (output,) = self._inlined(closed, [*inputs, example], "", Place())
        output.uses += 1
        return Traced(example, tuple(self._nodes), output)

    def _add(self, node: Node) -> Node:
        for operand in node.operands:
            operand.uses += 1
        self._nodes.append(node)
        return node

    def _parameter(self, path: str, array: Any) -> Node:
        paths = frozenset([path])
        return self._add(
            Node("parameter", (), "parameter", tuple(jnp.shape(array)), array=array, path=path, parameters=paths)
        )

    def _constant(self, array: Any) -> Node:
        return self._add(Node("constant", (), "constant", tuple(jnp.shape(array)), array=array))

    def _inlined(self, closed: ClosedJaxpr, inputs: Sequence[Node], scope: str, around: Place) -> list[Node]:
        known: dict[Any, Node] = dict(zip(closed.jaxpr.invars, inputs, strict=True))
        known |= {var: self._constant(x) for var, x in zip(closed.jaxpr.constvars, closed.consts, strict=True)}

        def node(atom: Any) -> Node:
            return self._constant(atom.val) if isinstance(atom, Literal) else known[atom]

        for equation in closed.jaxpr.eqns:
            results = self._results(equation, [node(atom) for atom in equation.invars], scope, around)
            known |= {var: x for var, x in zip(equation.outvars, results, strict=True) if not isinstance(var, DropVar)}
        return [node(atom) for atom in closed.jaxpr.outvars]

    def _results(self, equation: Any, operands: list[Node], scope: str, around: Place) -> list[Node]:
        inner = scope_of(equation, scope)
        place = self._place_of(equation, inner, around)
        body = body_of(equation)
        if body is not None and not is_function(equation):
            if not own_derivative(equation, body, operands):
                return self._inlined(body, operands, inner, place)
            return self._applied("own_derivative", equation, operands, place)
        if equation.primitive.name == "scan" and is_over_layers(equation, operands):
            return self._unrolled(equation, operands, inner, place)
        name = equation.primitive.name if body is None else str(equation.params["name"])
        return self._applied(name, equation, operands, place)

    def _applied(self, name: str, equation: Any, operands: list[Node], place: Place) -> list[Node]:
        arrays: Sequence[Any] = [None] * len(equation.outvars)
        paths: frozenset[str] = frozenset()
        if all(operand.known for operand in operands):
            arrays = evaluate(equation, [operand.array for operand in operands])
            paths = paths.union(*(operand.parameters for operand in operands))
        shapes = [tuple(var.aval.shape) for var in equation.outvars]
        return [
            self._add(Node(name, tuple(operands), "operation", shape, place, (equation, i), array, parameters=paths))
            for i, (shape, array) in enumerate(zip(shapes, arrays, strict=True))
        ]

    def _unrolled(self, equation: Any, operands: list[Node], scope: str, place: Place) -> list[Node]:
        """A loop over layers: parameters of every step are rows of arrays."""
        p = equation.params
        first, carried = p["num_consts"], p["num_consts"] + p["num_carry"]
        constants, state, rows = operands[:first], operands[first:carried], operands[carried:]
        for i in reversed(range(p["length"])) if p["reverse"] else range(p["length"]):
            found = self._inlined(p["jaxpr"], [*constants, *state, *(self._row(x, i) for x in rows)], scope, place)
            state = found[: p["num_carry"]]
        return state

    def _row(self, node: Node, i: int) -> Node:
        """One row of a known array: of a parameter, a parameter of its own."""
        array = node.array[i]
        if node.parameters:
            path = "+".join(sorted(node.parameters)) + f"[{i}]"
            made = self._parameter(path, array)
            made.step = (i, node)
            return made
        return self._constant(array)
