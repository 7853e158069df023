"""Kernels of functions that have no infinite-width limit here, estimated from random networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from ntc.finite import MonteCarloEstimate, monte_carlo_kernel_fn


@dataclass(frozen=True)
class Estimated:
    """Stands in for `Imported` where a function has no limit: its kernels are means over random networks.

    Attributes:
      function: f(params, x).
      draw: the function that draws parameters, of a key.
      reasons: why there is no limit, one for every place.
    """

    function: Callable[[Any, Any], Any]
    draw: Callable[[Any], Any]
    reasons: tuple[str, ...]

    def kernels(
        self,
        x1: Any,
        x2: Any = None,
        *,
        key: Any = None,
        n_samples: int = 100,
        get: Any = ("nngp", "ntk"),
        **options: Any,
    ) -> MonteCarloEstimate:
        """Means of empirical kernels over random networks of the function, and their standard errors, of the widths
        that the function has. `options` are those of `ntc.monte_carlo_kernel_fn`: precision, batch_size, progress."""

        def init(key: jax.Array, shape: Any) -> tuple[Any, Any]:
            return shape, self.draw(key)

        def apply(params: Any, x: Any) -> Any:
            return self.function(params, x)

        kernel_fn = monte_carlo_kernel_fn(
            init, apply, jax.random.key(0) if key is None else key, n_samples, standard_error=True, **options
        )
        found: MonteCarloEstimate = kernel_fn(x1, x2, get)
        return found
