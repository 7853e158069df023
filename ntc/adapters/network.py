"""What adapters have in common: one kernel of a program, as a function of flat features and of hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntc.backends.jax.precision import precision
from ntc.backends.jax.program import Program
from ntc.errors import InputError
from ntc.ir.types import Kernel


@dataclass(frozen=True, eq=False)
class NetworkFunction:
    """The nngp or ntk of a program between rows of features, which are reshaped to its input.

    Raises InputError unless the program has one input, computes the kernel, and keeps no spatial axes in it.
    """

    program: Program
    kernel: Kernel = "nngp"

    def __post_init__(self) -> None:
        if self.kernel not in self.program.kernels:
            known = " and ".join(self.program.kernels)
            raise InputError(f"the program computes {known}, not {self.kernel!r}", hint="ntc.build(..., kernels=...)")
        if len(self.program.inputs) != 1:
            raise InputError(f"an adapter needs a network of one input, got {len(self.program.inputs)}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an example."""
        type_ = self.program.network.inputs[0].type
        return (*type_.spatial, type_.channels)  # type: ignore[union-attr]

    @property
    def features(self) -> int:
        return math.prod(self.shape)

    def hyper(self, given: Mapping[str, Any] | None = None) -> dict[str, float]:
        """Values of all hyperparameters. Raises InputError for names that are none."""
        return (self.program.with_hyper(given) if given else self.program).hyper

    def positive(self, name: str) -> bool:
        """Whether a hyperparameter cannot be negative."""
        return self.program.network.hypers[name].low >= 0

    def __call__(self, hyper: Mapping[str, Any], x1: Any, x2: Any = None) -> Any:
        """k(x1, x2) of (n1, features) and (n2, features); k(x1, x1) without x2. Known or traced by JAX."""
        found = self.program(self._shaped(x1), None if x2 is None else self._shaped(x2), hyper=hyper)
        matrix = getattr(found, self.kernel)
        if matrix.ndim != 2:
            raise InputError("the network keeps spatial axes", hint="end it in flatten or global_avg_pool, and dense")
        return matrix

    def diagonal(self, hyper: Mapping[str, Any], x: Any) -> Any:
        """(n,): k(x, x) of each row of (n, features)."""
        return np.asarray(getattr(self.program.diagonal(self._shaped(x), hyper=hyper), self.kernel))

    def pair(self, hyper: Mapping[str, Any], x1: Any, x2: Any) -> Any:
        """k(x1, x2) of two examples (features,)."""
        return self(hyper, jnp.reshape(x1, (1, -1)), jnp.reshape(x2, (1, -1)))[0, 0]

    def own(self, hyper: Mapping[str, Any], x: Any) -> Any:
        """(n,): k(x, x) of each row of (n, features), within a transformation of JAX."""
        return jax.vmap(lambda row: self(hyper, row[None])[0, 0])(x)

    def _shaped(self, x: Any) -> Any:
        x = x if hasattr(x, "reshape") else np.asarray(x)
        if x.ndim == 1 and self.features == 1:
            x = x.reshape(-1, 1)
        if x.ndim != 2 or x.shape[1] != self.features:
            raise InputError(
                f"inputs should have shape (n, {self.features}), as many features as numbers of the network's input "
                f"{'x'.join(map(str, self.shape))}, got {tuple(x.shape)}"
            )
        return x.reshape(x.shape[0], *self.shape)

    @cached_property
    def batched(self) -> dict[str, Callable[..., Any]]:
        """Compiled functions of (hyper, x1, x2), or (hyper, x), of batches (b, n, features)."""
        return {
            "cross": jax.jit(jax.vmap(self, in_axes=(None, 0, 0))),
            "self": jax.jit(jax.vmap(self, in_axes=(None, 0))),
            "diagonal": jax.jit(jax.vmap(self.own, in_axes=(None, 0))),
        }

    def precision(self) -> Any:
        """A context in which arrays of the program's precision can be made."""
        return precision(self.program.dtype)

    @property
    def dtype(self) -> Any:
        return np.float32 if self.program.dtype == "f32" else np.float64
