"""Integrals of nonlinearities that are written as expressions: those of the form that the expression has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ntc.backends.jax.integrals.family import Family, Same, root
from ntc.ir.ops import CustomActivation
from ntc.ir.ops.custom import Straight


def _mean(form: Straight, own: jax.Array) -> jax.Array:
    """E[f] by the standard deviation: see `ntc.ir.ops.custom.mean`."""
    total = jnp.zeros_like(own)
    safe = jnp.where(own > 0, own, 1)
    for hinge in form.hinges:
        h = hinge.distance / safe
        part = jnp.exp(-(h**2) / 2) / sqrt(2 * pi) - h * lax.erfc(h / sqrt(2)) / 2
        total += hinge.weight * own * jnp.maximum(part, 0)
    return total


@dataclass(frozen=True)
class Custom(Family):
    """The family whose marginals are those of the form that an expression has."""

    family: Callable[[Any], Family]

    def marginal_of(self, phi: Any, slope: bool) -> Callable[[jax.Array], jax.Array]:
        return self.family(phi.form).marginal_of(phi.form, slope)


def of_forms(family: Callable[[Any], Family]) -> Custom:
    """The integrals of forms, by the table of families."""

    def dual(phi: CustomActivation, k: jax.Array, m1: jax.Array, m2: jax.Array, same: Same) -> jax.Array:
        form, b = phi.form, phi.offset
        found = family(form).dual(form, k, m1, m2, same)
        return found + b * (_mean(form, m1) + _mean(form, m2)) + b**2 if b and isinstance(form, Straight) else found

    def dual_dot(phi: CustomActivation, k: jax.Array, m1: jax.Array, m2: jax.Array, same: Same) -> jax.Array:
        return family(phi.form).dual_dot(phi.form, k, m1, m2, same)

    return Custom(root, dual, dual_dot, family)
