"""Keeping XLA from fusing a value into each of its readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata

from ntc.ir.platform import PLATFORMS
from ntc.ir.types import Target


@dataclass(frozen=True)
class Boundary:
    """Makes XLA compute a value once and store it.

    XLA:CPU fuses cheap producers into consumers, up to fifteen copies of them; a filter reads what is below it at
    every tap, so a stack of layers would be computed many times over (measured: 12 times slower). It removes
    optimisation barriers before it fuses, but keeps calls that must not be inlined. Elsewhere a barrier is enough.
    """

    target: Target

    def stored(self, function: Callable[[], jax.Array]) -> jax.Array:
        """The value of the function, stored."""
        if not PLATFORMS[self.target].copies_when_fusing:
            barrier: jax.Array = lax.optimization_barrier(function())  # type: ignore[no-untyped-call]
            return barrier
        with set_xla_metadata(inlineable="false"):  # type: ignore[no-untyped-call]
            value: jax.Array = jax.jit(partial(_inlined, function))()
            return value


def _inlined(function: Callable[[], jax.Array]) -> jax.Array:
    """The function; calls within it are inlined again."""
    with set_xla_metadata(inlineable="true"):  # type: ignore[no-untyped-call]
        return function()
