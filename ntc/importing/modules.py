"""Importing a module of PyTorch: `from_torch`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ntc.errors import InputError, UnsupportedError
from ntc.importing.estimated import Estimated
from ntc.importing.functions import DRAWS, from_jax
from ntc.importing.result import Imported
from ntc.importing.torch_graph import TorchFunction, array_of
from ntc.ir.schema import Parameterization

if TYPE_CHECKING:
    import torch


def from_torch(
    module: torch.nn.Module | Callable[[], torch.nn.Module],
    x: Any,
    *,
    channel_axis: int = 1,
    parameterization: Parameterization = "standard",
    scales: Mapping[str, float] | None = None,
    named_scales: bool = True,
    on_missing: Literal["error", "monte_carlo"] = "error",
    name: str = "network",
) -> Imported | Estimated:
    """The network of a PyTorch module, through the operators of `torch.export`. Needs `torch`.

    Args:
      module: in the mode in which it is to be read: `module.eval()` for kept statistics and no dropout; or a function
        of nothing that makes such modules, of which scales are then measured of several.
      x: one or more examples, a tensor or an array, of which the shape matters alone.
      channel_axis: the axis of x that has the channels, in PyTorch the second, but for tokens (N, positions, channels).
      others: as for `from_jax`; paths of parameters are PyTorch's names, as `layer1.0.conv1.weight`.

    Raises:
      UnsupportedError: torch is not installed. Others as `from_jax`; InputError if the module cannot be exported.
    """
    torch = _torch()
    modules = [module] if isinstance(module, torch.nn.Module) else [module() for _ in range(DRAWS)]
    function = function_of(modules[0], x)
    drawn = [_parameters(m) for m in modules]
    made = iter(drawn)
    params = drawn[0] if len(drawn) == 1 else _Drawn(made, module)
    example = np.asarray(x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else x)
    return from_jax(
        function,
        params,
        example,
        channel_axis=channel_axis,
        parameterization=parameterization,
        scales=scales,
        named_scales=named_scales,
        on_missing=on_missing,
        name=name,
        place_of=function.place_of,
    )


class _Drawn:
    """Sets of parameters by a key, as an initialiser of JAX draws them: those that are there, then new ones."""

    def __init__(self, made: Any, make: Any) -> None:
        self._made, self._make = made, make

    def __call__(self, key: Any) -> Any:
        found = next(self._made, None)
        return _parameters(self._make()) if found is None else found


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise UnsupportedError(
            "from_torch needs PyTorch", hint='pip install "neural-tangent-compiler[torch]"'
        ) from None
    return torch


def function_of(module: torch.nn.Module, x: Any) -> TorchFunction:
    """The module as a function of JAX: f(params, x), `params` arrays by the names of its parameters. Raises InputError
    if it cannot be exported."""
    torch = _torch()
    example = x if isinstance(x, torch.Tensor) else torch.as_tensor(np.asarray(x))
    first = next(module.parameters(), None)
    example = example.to(first.dtype) if first is not None else example
    example = torch.cat([example, example]) if len(example) == 1 else example
    try:
        exported = torch.export.export(module, (example,))
        table = torch.export.default_decompositions()
        for kept in KEPT:
            table.pop(getattr(torch.ops.aten, kept).default, None)
        return TorchFunction(exported.run_decompositions(table))
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"torch.export cannot export the module: {reason}") from error


KEPT = ("linear", "softplus", "silu", "hardswish", "hardsigmoid", "elu", "scaled_dot_product_attention")
"""Operators that are not decomposed, as their steps lose digits or what they are."""


def _parameters(module: Any) -> dict[str, Any]:
    return {name: array_of(x) for name, x in module.named_parameters()}
