"""Kernels of tinygp: `tinygp.GaussianProcess(NetworkKernel(program), x, diag=...)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from ntc.adapters import tool
from ntc.adapters.network import NetworkFunction
from ntc.backends.jax.program import Program
from ntc.ir.types import Kernel

kernels, equinox = tool("tinygp.kernels", "tinygp"), tool("equinox", "tinygp")


class NetworkKernel(kernels.Kernel):  # type: ignore[misc,name-defined]
    """The nngp or ntk of a program as a kernel of tinygp, which adds to and multiplies with others.

    Hyperparameters are leaves of the tree, so that `jax.grad` and optimisers see them. Matrices are computed at once,
    within transformations as well; a program in float64 needs `jax_enable_x64`.

    Args:
      program: of a network with one input; features (n, d) are reshaped to it.
      kernel: nngp or ntk.
      hyper: values of hyperparameters that are not those written in the network, numbers or traced.
    """

    hyper: dict[str, Any]
    function: NetworkFunction = equinox.field(static=True)

    def __init__(self, program: Program, kernel: Kernel = "nngp", hyper: Mapping[str, Any] | None = None) -> None:
        self.function = NetworkFunction(program, kernel)
        self.hyper = {name: jnp.asarray(value) for name, value in (program.hyper | dict(hyper or {})).items()}

    def evaluate(self, X1: Any, X2: Any) -> Any:  # noqa: N803
        """k of two examples (d,)."""
        return self.function.pair(self.hyper, X1, X2)

    def evaluate_diag(self, X: Any) -> Any:  # noqa: N803
        """k of an example (d,) with itself."""
        return self.function.own(self.hyper, jnp.reshape(X, (1, -1)))[0]

    def __call__(self, X1: Any, X2: Any = None) -> Any:  # noqa: N803
        """(n1, n2); without X2 the diagonal (n1,)."""
        if X2 is None:
            return super().__call__(X1)
        return jnp.asarray(self.function(self.hyper, X1, None if X2 is X1 else X2))
