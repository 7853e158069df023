"""Keeping XLA from fusing a value into each of its readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ntc.ir.types import Target


@dataclass(frozen=True)
class Boundary:
    """Makes XLA compute a value once and store it.

    XLA:CPU fuses cheap producers into consumers, up to fifteen copies of them; a filter reads what is below it at
    every tap, so a stack of layers would be computed many times over (measured: 12 times slower). A conditional is
    never fused into, and costs about a microsecond. On other platforms an optimisation barrier does the same.
    """

    target: Target
    always: jax.Array
    """A scalar that is true, which the compiler cannot know."""

    @classmethod
    def of(cls, target: Target, x: jax.Array) -> Boundary:
        """For a program that has the input x."""
        first = lax.stop_gradient(x).reshape(-1)[:1].sum()
        return cls(target, jnp.logical_not(first < -jnp.inf))

    def stored(self, function: Callable[[], jax.Array], shape: tuple[Any, ...], dtype: Any) -> jax.Array:
        """The value of the function, which has this shape, stored."""
        if self.target != "cpu":
            barrier: jax.Array = lax.optimization_barrier(function())  # type: ignore[no-untyped-call]
            return barrier
        result: jax.Array = lax.cond(self.always, function, lambda: jnp.zeros(shape, dtype))
        return result
