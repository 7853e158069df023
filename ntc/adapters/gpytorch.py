"""Kernels of GPyTorch, and so of BoTorch: `SingleTaskGP(x, y, covar_module=ScaleKernel(NetworkKernel(program)))`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ntc.adapters import tool
from ntc.adapters.network import NetworkFunction
from ntc.adapters.torch import torch_fn
from ntc.backends.jax.program import Program
from ntc.errors import InputError
from ntc.ir.types import Kernel

torch, gpytorch = tool("torch", "torch"), tool("gpytorch", "gpytorch")


class NetworkKernel(gpytorch.kernels.Kernel):  # type: ignore[misc,name-defined]
    """The nngp or ntk of a program as a kernel of GPyTorch.

    Hyperparameters of the network are parameters of the module: `raw_NAME`, with a constraint that makes them positive
    where they cannot be negative. Gradients by them and by inputs come from JAX.

    Args:
      program: of a network with one input; features (..., n, d) are reshaped to it.
      kernel: nngp or ntk.
      hyper: values of hyperparameters that are not those written in the network.
      arguments: of `gpytorch.kernels.Kernel`: active_dims, batch_shape.
    """

    has_lengthscale = False

    def __init__(
        self, program: Program, kernel: Kernel = "nngp", hyper: Mapping[str, Any] | None = None, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        function = NetworkFunction(program, kernel)
        self._compute, self._names = torch_fn(program, kernel), tuple(program.hyper)
        for name, value in function.hyper(hyper).items():
            start = torch.tensor(value, dtype=torch.get_default_dtype())
            if function.positive(name):
                constraint = gpytorch.constraints.Positive(initial_value=start)
                self.register_parameter(f"raw_{name}", torch.nn.Parameter(constraint.inverse_transform(start)))
                self.register_constraint(f"raw_{name}", constraint)
            else:
                self.register_parameter(f"raw_{name}", torch.nn.Parameter(start))

    @property
    def hyper(self) -> dict[str, Any]:
        """Values of the hyperparameters by name: scalar tensors."""
        found = {}
        for name in self._names:
            raw, constraint = getattr(self, f"raw_{name}"), getattr(self, f"raw_{name}_constraint", None)
            found[name] = raw if constraint is None else constraint.transform(raw)
        return found

    def forward(self, x1: Any, x2: Any, diag: bool = False, last_dim_is_batch: bool = False, **_: Any) -> Any:
        """(..., n1, n2), or (..., n) with `diag`. Raises InputError for `last_dim_is_batch`."""
        if last_dim_is_batch:
            raise InputError("a network reads all features of an example", hint="leave out last_dim_is_batch")
        same = x1 is x2 or (x1.shape == x2.shape and torch.equal(x1, x2))
        if diag and same:
            return self._compute(x1, diag=True, **self.hyper)
        if diag:
            pairs = self._compute(x1.unsqueeze(-2), x2.unsqueeze(-2), **self.hyper)
            return pairs.squeeze(-1).squeeze(-1)
        if x1 is x2 or (same and not (x1.requires_grad or x2.requires_grad)):
            return self._compute(x1, **self.hyper)
        return self._compute(x1, x2, **self.hyper)
