"""JAX functions of one real variable to the formulas that `activation` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntc.backends.jax.finite.activations import EXPRESSIONS
from ntc.errors import InputError, UnsupportedError
from ntc.ir.expression import Expression, X, apply, evaluate, number, show

_NAMED: Mapping[str, str] = {
    "add": "+",
    "add_any": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "neg": "negative",
    "exp": "exp",
    "log": "log",
    "sqrt": "sqrt",
    "tanh": "tanh",
    "logistic": "sigmoid",
    "erf": "erf",
    "sin": "sin",
    "cos": "cos",
    "abs": "abs",
    "sign": "sign",
    "max": "max",
    "min": "min",
}
"""Primitives of JAX that are operations or functions of formulas."""

_SAME = ("convert_element_type", "copy", "copy_p", "broadcast_in_dim", "reshape", "squeeze")
"""Primitives that leave a scalar as it is."""

_CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint")


def formula_of(function: Callable[[Any], Any]) -> str:
    """The formula of a JAX function of one real number, for `nn.activation`.

    The function is traced, not called with numbers. Raises UnsupportedError, which names the primitive, for what is not
    arithmetic (control flow, comparisons, random numbers, arrays); InputError if it cannot be traced.
    """
    with jax.enable_x64(True):
        try:
            closed = jax.make_jaxpr(function)(jnp.zeros((), jnp.float64))
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"activation: JAX cannot trace the function: {reason}") from None
        found = _formula(closed)
        with jax.ensure_compile_time_eval():  # the caller may be traced itself
            _check_derivative(function, found)
    return show(found)


def _formula(closed: Any) -> Expression:
    if len(closed.jaxpr.outvars) != 1 or closed.jaxpr.outvars[0].aval.shape != ():
        raise InputError("activation: the function should return one number for one number")
    return _outputs(closed, [X])[0]


def _check_derivative(function: Callable[[Any], Any], found: Expression) -> None:
    """Raises UnsupportedError if the function has a derivative of its own (`jax.custom_jvp`), not the formula's."""
    x = jnp.linspace(-3.3, 3.1, 33)
    wanted = jax.vmap(jax.value_and_grad(function))(x)
    own = jax.vmap(jax.value_and_grad(lambda x: jnp.asarray(evaluate(found, x, EXPRESSIONS), x.dtype)))(x)
    if not all(np.allclose(a, b, 1e-6, 1e-6, equal_nan=True) for a, b in zip(own, wanted, strict=True)):
        raise UnsupportedError(
            "activation: the function has a derivative of its own that is not that of its values",
            hint="write it without jax.custom_jvp or jax.custom_vjp",
        )


def _outputs(closed: Any, inputs: list[Expression]) -> list[Expression]:
    """The values of a traced program."""
    program = getattr(closed, "jaxpr", closed)
    known = dict(zip(program.invars, inputs, strict=True))
    constants = getattr(closed, "consts", ())
    known |= {v: _constant(c) for v, c in zip(program.constvars, constants, strict=True)}

    def value(atom: Any) -> Expression:
        return _constant(atom.val) if hasattr(atom, "val") else known[atom]

    for equation in program.eqns:
        found = _results(equation, [value(atom) for atom in equation.invars])
        known |= dict(zip(equation.outvars, found, strict=True))
    return [value(atom) for atom in program.outvars]


def _constant(value: Any) -> Expression:
    if np.shape(value) != ():
        raise UnsupportedError("activation: the function reads an array; it should be of one number")
    return number(float(value))


def _results(equation: Any, operands: list[Expression]) -> list[Expression]:
    name, parameters = equation.primitive.name, equation.params
    if any(variable.aval.shape != () for variable in equation.outvars):
        raise UnsupportedError(f"activation: `{name}` makes an array; the function should be of one number")
    if name in _CALLS:
        inner = parameters.get("jaxpr") or parameters.get("call_jaxpr")
        return _outputs(inner, operands)
    if name in _SAME and np.issubdtype(equation.outvars[0].aval.dtype, np.floating):
        return operands[:1]
    if name == "integer_pow":
        return [apply("**", operands[0], number(parameters["y"]))]
    if name == "pow":
        return [apply("**", *operands)]
    if name == "square":
        return [apply("**", operands[0], number(2.0))]
    if name in ("log1p", "expm1", "rsqrt", "erfc"):
        return [_composed(name, operands[0])]
    if name == "ne" and operands[0] == operands[1]:  # whether it is not a number
        return [number(0.0)]
    if name == "select_n" and operands[0].constant:
        return [operands[1 + int(operands[0].value)]]
    if name in _NAMED:
        return [_simplified(_NAMED[name], *operands)]
    raise UnsupportedError(
        f"activation: the JAX primitive `{name}` has no place in a formula",
        hint="write the function with + - * / **, and exp, tanh, jnp.maximum and such, or give the formula as text",
    )


def _simplified(name: str, *operands: Expression) -> Expression:
    """An operation, without adding zero; and max(a, 0) + log(1 + exp(-|a|)), which has no kink, as softplus(a)."""
    if name in ("+", "-") and operands[1] == number(0.0):
        return operands[0]
    if name == "+" and operands[0].name == "max" and operands[0].operands[1] == number(0.0):
        a = operands[0].operands[0]
        rest = apply("exp", apply("negative", apply("abs", a))) if not a.constant else None
        if rest is not None and operands[1] == apply("log", apply("+", number(1.0), rest)):
            return apply("softplus", a)
    return apply(name, *operands)


def _composed(name: str, x: Expression) -> Expression:
    """A function as a formula of others."""
    one = number(1.0)
    match name:
        case "log1p":
            return apply("log", apply("+", one, x))
        case "expm1":
            return apply("-", apply("exp", x), one)
        case "rsqrt":
            return apply("/", one, apply("sqrt", x))
    return apply("-", one, apply("erf", x))
