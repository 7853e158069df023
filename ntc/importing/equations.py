"""Equations of traced functions: what they call, their values, and whether a function has a derivative of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, DebugInfo, DropVar, Jaxpr, Literal, jaxpr_as_fun

from ntc.backends.jax.formulas.entries import FUNCTIONS
from ntc.importing.graph import Node

MAX_STEPS = 200
"""Of a loop over layers, which is written out."""

_OWN_DERIVATIVE = ("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr")
_CALLS = ("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint", *_OWN_DERIVATIVE)


def body_of(equation: Any) -> ClosedJaxpr | None:
    """What a call calls; None of other equations."""
    if equation.primitive.name not in _CALLS:
        return None
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        body = equation.params.get(name)
        if body is not None:
            return body if isinstance(body, ClosedJaxpr) else ClosedJaxpr(body, ())
    return None


def is_function(equation: Any) -> bool:
    """Whether a call is a function of entries that formulas have as a whole, as its steps lose digits."""
    return equation.params.get("name") in FUNCTIONS and len(equation.outvars) == 1


def is_over_layers(equation: Any, operands: Sequence[Node]) -> bool:
    """Whether a loop passes one value through layers whose parameters are rows of arrays, and keeps nothing else."""
    p = equation.params
    rows = operands[p["num_consts"] + p["num_carry"] :]
    return bool(
        p["length"] <= MAX_STEPS and len(equation.outvars) == p["num_carry"] and all(row.known for row in rows) and rows
    )


def evaluate(equation: Any, operands: Sequence[Any]) -> Sequence[Any]:
    """The results of one equation; None for one that nothing reads."""
    pairs = zip(equation.invars, operands, strict=True)
    arguments = {var: value for var, value in pairs if not isinstance(var, Literal)}
    read = [var for var in equation.outvars if not isinstance(var, DropVar)]
    names = DebugInfo("ntc.importing", equation.primitive.name, ("",) * len(arguments), ("",) * len(read))
    jaxpr = Jaxpr((), list(arguments), read, [equation], equation.effects, names)
    found = dict(zip(read, jaxpr_as_fun(ClosedJaxpr(jaxpr, ()))(*arguments.values()), strict=True))
    return [found.get(var) for var in equation.outvars]


def own_derivative(equation: Any, body: ClosedJaxpr, operands: Sequence[Node]) -> bool:
    """Whether a function has another derivative than its values (`jax.custom_jvp`), so that it has another NTK."""
    if equation.primitive.name not in _OWN_DERIVATIVE or all(x.known for x in operands):
        return False
    arrays = [_random(x, i) for i, x in enumerate(operands)]
    moved = [i for i, x in enumerate(operands) if not x.known]

    def derivative(function: Any) -> Any:
        def of_moved(*values: Any) -> Any:
            given = dict(zip(moved, values, strict=True))
            return list(function(*(given.get(i, x) for i, x in enumerate(arrays))))

        tangents = [jnp.ones_like(arrays[i]) for i in moved]
        return jax.jvp(of_moved, [arrays[i] for i in moved], tangents)[1]

    own = derivative(lambda *values: evaluate(equation, values))
    plain = derivative(jaxpr_as_fun(body))
    return not all(np.allclose(a, b, 1e-3, 1e-4, equal_nan=True) for a, b in zip(own, plain, strict=True))


def _random(node: Node, seed: int) -> Any:
    """An array like the value of a node, of numbers that are no kinks."""
    if node.known:
        return jnp.asarray(node.array)
    return jnp.asarray(np.random.default_rng(seed).normal(size=node.shape))
