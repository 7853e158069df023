"""Kernels of tensors, with gradients: `torch_fn(program)` is a function that autograd differentiates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ntc.adapters import tool
from ntc.adapters.network import NetworkFunction
from ntc.backends.jax.program import Program
from ntc.ir.types import Kernel

torch = tool("torch", "torch")


def torch_fn(program: Program, kernel: Kernel = "nngp") -> Callable[..., Any]:
    """A kernel of a program as a function of tensors.

    The function is called as f(x1, x2=None, diag=False, **hyper): x1 (..., n1, features) and x2 (..., n2, features)
    give (..., n1, n2), where leading axes are batches that broadcast; without x2 it is k(x1, x1), and with `diag` its
    diagonal (..., n1). Hyperparameters are numbers or scalar tensors. Results have the device and dtype of x1, and
    gradients by all tensors, of first order. Work is done by JAX, on the program's platform and in its precision.

    Raises InputError as calls of the program do.
    """
    function = NetworkFunction(program, kernel)

    def call(x1: Any, x2: Any = None, diag: bool = False, **hyper: Any) -> Any:
        inputs = [x1] if x2 is None else [x1, x2]
        tensors = {name: torch.as_tensor(value, dtype=torch.float64) for name, value in hyper.items()}
        values = function.hyper({name: value.item() for name, value in tensors.items()}) | tensors
        scalars = [torch.as_tensor(value, dtype=torch.float64) for value in values.values()]
        between = "diagonal" if diag else "self" if x2 is None else "cross"
        return _Matrix.apply(function, between, tuple(values), *scalars, *inputs)

    return call


class _Matrix(torch.autograd.Function):  # type: ignore[misc,name-defined]
    """Of hyperparameters and one or two batches of inputs."""

    @staticmethod
    def forward(ctx: Any, function: NetworkFunction, between: str, names: tuple[str, ...], *tensors: Any) -> Any:
        given = [tensor.detach().cpu().numpy().astype(function.dtype) for tensor in tensors]
        first = tensors[len(names)]
        batch = np.broadcast_shapes(*(x.shape[:-2] for x in given[len(names) :]))

        def computed(*arrays: Any) -> Any:
            hyper = dict(zip(names, arrays, strict=False))
            flat = [_flat(x, batch) for x in arrays[len(names) :]]
            return function.batched[between](hyper, *flat)

        with function.precision():
            if any(ctx.needs_input_grad[3:]):
                found, ctx.pull_back = jax.vjp(computed, *given)
            else:
                found = computed(*given)
        ctx.function, ctx.like = function, [(tensor.dtype, tensor.device) for tensor in tensors]
        ctx.shape = found.shape
        matrix = np.array(found).reshape(*batch, *found.shape[1:])
        return torch.as_tensor(matrix, dtype=first.dtype, device=first.device)

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Any) -> Any:
        cotangent = gradient.detach().cpu().numpy().astype(ctx.function.dtype).reshape(ctx.shape)
        with ctx.function.precision():
            found = ctx.pull_back(jax.numpy.asarray(cotangent))
        slopes = zip(found, ctx.like, ctx.needs_input_grad[3:], strict=True)
        tensors = [
            torch.as_tensor(np.array(slope), dtype=dtype, device=device) if needed else None
            for slope, (dtype, device), needed in slopes
        ]
        return None, None, None, *tensors


def _flat(x: Any, batch: tuple[int, ...]) -> Any:
    """(b, n, features) of (..., n, features)."""
    whole = jax.numpy.broadcast_to(x, (*batch, *x.shape[-2:]))
    return whole.reshape(-1, *x.shape[-2:])
