"""Functions with primitives that a compiler of kernels lacks, by others that it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

Rule = Callable[..., jax.Array]
"""Of the operands and parameters of a primitive."""

_INLINED = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat2", "checkpoint")
"""Primitives that are a function of their own."""


def rewritten(function: Callable[..., Any], rules: Mapping[str, Rule]) -> Callable[..., Any]:
    """The function of arrays, without calls within it, and with rules in place of the primitives of these names."""

    def wrapped(*arrays: Any) -> Any:
        traced, shape = jax.make_jaxpr(function, return_shape=True)(*arrays)
        flat = _evaluate(traced.jaxpr, traced.consts, jax.tree.leaves(arrays), rules)
        return jax.tree.unflatten(jax.tree.structure(shape), flat)

    return wrapped


def _evaluate(jaxpr: Any, constants: Sequence[Any], arrays: Sequence[Any], rules: Mapping[str, Rule]) -> list[Any]:
    values: dict[Any, Any] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*constants, *arrays), strict=True))

    def value(variable: Any) -> Any:
        return variable.val if hasattr(variable, "val") else values[variable]

    for equation in jaxpr.eqns:
        results = _step(equation, [value(x) for x in equation.invars], rules)
        values |= dict(zip(equation.outvars, results, strict=True))
    return [value(x) for x in jaxpr.outvars]


def _step(equation: Any, operands: list[Any], rules: Mapping[str, Rule]) -> Sequence[Any]:
    name = equation.primitive.name
    if name in rules:
        return [rules[name](*operands, **equation.params)]
    if name in _INLINED:
        inner = next(equation.params[key] for key in ("call_jaxpr", "jaxpr") if key in equation.params)
        return (
            _evaluate(inner.jaxpr, inner.consts, operands, rules)
            if hasattr(inner, "consts")
            else _evaluate(inner, (), operands, rules)
        )
    found = equation.primitive.bind(*operands, **equation.params)
    return found if equation.primitive.multiple_results else [found]


def root(x: jax.Array, **_: Any) -> jax.Array:
    """The square root of what is not negative, by its reciprocal."""
    least = lax.full_like(x, np.finfo(np.float32).tiny)
    return x * lax.rsqrt(lax.max(x, least))


def power(x: jax.Array, *, y: int, **_: Any) -> jax.Array:
    """x to an integer power, by products."""
    product = lax.full_like(x, 1)
    for _factor in range(abs(y)):
        product = product * x
    return product if y >= 0 else 1 / product
