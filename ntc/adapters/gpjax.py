"""Kernels of GPJax: `gpjax.gps.Prior(mean_function=..., kernel=NetworkKernel(program))`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from ntc.adapters import tool
from ntc.adapters.network import NetworkFunction
from ntc.backends.jax.program import Program
from ntc.ir.types import Kernel

gpjax, equinox = tool("gpjax", "gpjax"), tool("equinox", "gpjax")
base, computations, parameters = gpjax.kernels.base, gpjax.kernels.computations, gpjax.parameters


class _Matrices(computations.AbstractKernelComputation):  # type: ignore[misc,name-defined]
    """Whole matrices, by the program."""

    def _gram(self, kernel: NetworkKernel, x: Any) -> Any:
        return jnp.asarray(kernel.function(kernel.values, kernel.slice_input(x)))

    def _cross_covariance(self, kernel: NetworkKernel, x: Any, y: Any) -> Any:
        other = None if x is y else kernel.slice_input(y)
        return jnp.asarray(kernel.function(kernel.values, kernel.slice_input(x), other))


class NetworkKernel(base.AbstractKernel):  # type: ignore[misc,name-defined]
    """The nngp or ntk of a program as a kernel of GPJax.

    Hyperparameters of the network are parameters of the model: positive, or real where they may have any sign. A
    program in float64 needs `jax_enable_x64`, which GPJax asks for as well.

    Args:
      program: of a network with one input; features (n, d) are reshaped to it.
      kernel: nngp or ntk.
      hyper: values of hyperparameters that are not those written in the network.
      active_dims: which columns are the features.
    """

    name: str = "Network"
    hyper: dict[str, Any]
    function: NetworkFunction = equinox.field(static=True)

    def __init__(
        self,
        program: Program,
        kernel: Kernel = "nngp",
        hyper: Mapping[str, Any] | None = None,
        active_dims: Any = None,
    ) -> None:
        super().__init__(active_dims, None, _Matrices())
        self.function = function = NetworkFunction(program, kernel)
        kinds = {True: parameters.PositiveReal, False: parameters.Real}
        self.hyper = {
            name: kinds[function.positive(name)](jnp.asarray(value, function.dtype))
            for name, value in function.hyper(hyper).items()
        }

    @property
    def values(self) -> dict[str, Any]:
        """Of the hyperparameters by name."""
        return {name: base.val(parameter) for name, parameter in self.hyper.items()}

    def __call__(self, x: Any, y: Any) -> Any:
        """k of two examples (d,)."""
        x, y = self.slice_input(x), self.slice_input(y)
        return self.function.pair(self.values, x, y)
