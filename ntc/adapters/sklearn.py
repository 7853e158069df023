"""Kernels of scikit-learn: `GaussianProcessRegressor(kernel=NetworkKernel(program))`, `SVC(kernel=...)`."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntc.adapters import tool
from ntc.adapters.network import NetworkFunction
from ntc.backends.jax.program import Program
from ntc.ir.types import Kernel

kernels = tool("sklearn.gaussian_process.kernels", "scikit-learn")


class NetworkKernel(kernels.Kernel):  # type: ignore[misc,name-defined]
    """The nngp or ntk of a program as a kernel of scikit-learn, which adds to and multiplies with others.

    Hyperparameters of the network that cannot be negative are fitted by their logarithms, as scikit-learn does.

    Args:
      program: of a network with one input; features (n, d) are reshaped to it.
      kernel: nngp or ntk.
      values: of these hyperparameters in the order of `names`; None is as written in the network.
      bounds_of_values: least and largest that they are fitted to, or "fixed".
    """

    def __init__(
        self, program: Program, kernel: Kernel = "nngp", values: Any = None, bounds_of_values: Any = (1e-3, 1e3)
    ) -> None:
        self.program = program
        self.kernel = kernel
        self.values = values
        self.bounds_of_values = bounds_of_values

    @cached_property
    def _function(self) -> NetworkFunction:
        return NetworkFunction(self.program, self.kernel)

    @property
    def names(self) -> tuple[str, ...]:
        """Hyperparameters that are fitted."""
        return tuple(name for name in self.program.hyper if self._function.positive(name))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """As of the constructor, with the values that there are."""
        written = tuple(self.program.hyper[name] for name in self.names)
        found = dict(super().get_params(deep))
        return found | {"values": written if found["values"] is None else found["values"]}

    @property
    def hyperparameter_values(self) -> Any:
        count, bounds = len(self.names), self.bounds_of_values
        return kernels.Hyperparameter("values", "numeric", bounds if count else "fixed", max(count, 1))

    @property
    def _hyper(self) -> dict[str, Any]:
        values = np.atleast_1d(np.asarray(self.get_params()["values"], np.float64))
        return dict(zip(self.names, values, strict=True))

    def __call__(self, X: Any, Y: Any = None, eval_gradient: bool = False) -> Any:  # noqa: N803
        """(n, m), or (n, n) without Y; with `eval_gradient` also (n, n, d), by the logarithms of hyperparameters."""
        matrix = np.array(self._function(self._hyper, X, Y), np.float64)  # it is written to
        if not eval_gradient:
            return matrix
        if self.hyperparameter_values.fixed:
            return matrix, np.empty((*matrix.shape, 0))
        with self._function.precision():
            logarithms = jnp.log(jnp.asarray(list(self._hyper.values()), self._function.dtype))
            slopes = self._slopes(logarithms, jnp.asarray(X, self._function.dtype))
        return matrix, np.asarray(slopes, np.float64)

    @cached_property
    def _slopes(self) -> Any:
        def of_logarithms(logarithms: Any, x: Any) -> Any:
            return self._function(dict(zip(self.names, jnp.exp(logarithms), strict=True)), x)

        return jax.jit(jax.jacfwd(of_logarithms))

    def diag(self, X: Any) -> Any:  # noqa: N803
        """(n,)."""
        return np.array(self._function.diagonal(self._hyper, X), np.float64)

    def is_stationary(self) -> bool:
        return False

    def __repr__(self) -> str:
        listed = "".join(f", {name}={value:.3g}" for name, value in self._hyper.items())
        return f"NetworkKernel({self.program.network.name} {self.kernel}{listed})"

    def __sklearn_clone__(self) -> NetworkKernel:
        """With the same program, which is not compiled again."""
        copied = NetworkKernel(self.program, self.kernel, self.values, self.bounds_of_values)
        copied.__dict__["_slopes"] = self._slopes
        return copied
