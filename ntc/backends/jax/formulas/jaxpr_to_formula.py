"""JAX functions of one real variable to the formulas that `activation` takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntc.backends.jax.expressions import EXPRESSIONS
from ntc.backends.jax.formulas.scalar_program import outputs
from ntc.errors import InputError, UnsupportedError
from ntc.ir.expression import Expression, X, evaluate, show

BESIDE = 0.02
"""From a kink or jump: within it, derivatives are not compared."""


def formula_of(function: Callable[[Any], Any]) -> str:
    """The formula of a JAX function of one real number, for `nn.activation`.

    The function is traced, not called with numbers: comparisons, `jnp.where`, constants as arrays, loops of a known
    number of steps, `jnp.interp` and calls of other functions are looked into. Raises UnsupportedError, which names the
    primitive, for what is not arithmetic of one number; InputError if it cannot be traced.
    """
    with jax.enable_x64(True):
        try:
            closed = jax.make_jaxpr(function)(jnp.zeros((), jnp.float64))
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"activation: JAX cannot trace the function: {reason}") from None
        if len(closed.jaxpr.outvars) != 1 or closed.jaxpr.outvars[0].aval.shape != ():
            raise InputError("activation: the function should return one number for one number")
        with jax.ensure_compile_time_eval():  # the caller may be traced itself
            found = outputs(closed, [np.array(X, object)])[0].item()
            _check(function, found)
    return show(found)


def _check(function: Callable[[Any], Any], found: Expression) -> None:
    """Raises UnsupportedError unless the formula has the values and the derivative of the function: it may have one of
    its own (`jax.custom_jvp`)."""
    x = jnp.linspace(-3.3, 3.1, 33) + 1e-3

    def own(x: jax.Array) -> jax.Array:
        return jnp.asarray(evaluate(found, x, EXPRESSIONS), x.dtype)

    def wanted(x: jax.Array) -> jax.Array:
        return jnp.asarray(function(x), x.dtype)

    if not np.allclose(jax.vmap(own)(x), jax.vmap(wanted)(x), 1e-6, 1e-6, equal_nan=True):
        raise UnsupportedError(
            "activation: the formula that was read from the function does not have its values",
            hint="give the formula as text: activation(...)",
        )
    slopes, others = (jax.vmap(jax.grad(f))(x) for f in (own, wanted))
    if not np.allclose(slopes, others, 1e-6, 1e-6, equal_nan=True):
        raise UnsupportedError(
            "activation: the function has a derivative of its own that is not that of its values",
            hint="write it without jax.custom_jvp or jax.custom_vjp",
        )
