"""Integrals of nonlinearities that are written as expressions: those of the form that the expression has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import pi, sqrt
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ntc.backends.jax.duals import hinges, series
from ntc.backends.jax.duals.family import Family, Same, root
from ntc.ir.ops import CustomActivation
from ntc.ir.ops.custom import Straight


def _family(phi: CustomActivation, analytic: Family) -> Family:
    return hinges.FAMILY if isinstance(phi.form, Straight) else analytic


def _mean(form: Straight, own: jax.Array) -> jax.Array:
    """E[f] by the standard deviation: see `ntc.ir.ops.custom.mean`."""
    total = jnp.zeros_like(own)
    safe = jnp.where(own > 0, own, 1)
    for hinge in form.hinges:
        h = hinge.distance / safe
        part = jnp.exp(-(h**2) / 2) / sqrt(2 * pi) - h * lax.erfc(h / sqrt(2)) / 2
        total += hinge.weight * own * jnp.maximum(part, 0)
    return total


def _dual(phi: CustomActivation, k: jax.Array, m1: jax.Array, m2: jax.Array, same: Same, analytic: Family) -> jax.Array:
    form, b = phi.form, phi.offset
    found = _family(phi, analytic).dual(form, k, m1, m2, same)
    return found + b * (_mean(form, m1) + _mean(form, m2)) + b**2 if b and isinstance(form, Straight) else found


def _dual_dot(
    phi: CustomActivation, k: jax.Array, m1: jax.Array, m2: jax.Array, same: Same, analytic: Family
) -> jax.Array:
    return _family(phi, analytic).dual_dot(phi.form, k, m1, m2, same)


@dataclass(frozen=True)
class Custom(Family):
    """The family whose marginals are those of the form."""

    def marginal_of(self, phi: Any, slope: bool) -> Callable[[jax.Array], jax.Array]:
        return _family(phi, series.FAMILY).marginal_of(phi.form, slope)


def _of(analytic: Family) -> Custom:
    return Custom(root, partial(_dual, analytic=analytic), partial(_dual_dot, analytic=analytic))


FAMILY, ALONE = _of(series.FAMILY), _of(series.ALONE)
