"""Layers of users: `init_fn`, `apply_fn` and a `kernel_fn` from kernels to kernels that somebody wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any

from ntc.errors import ParameterError, UnsupportedError
from ntc.ir.build import TensorGraphBuilder
from ntc.stax.covariances import Kernel
from ntc.stax.part import Part, Placed, Value


@dataclass(frozen=True, eq=False)
class Custom(Part):
    """A layer whose three functions are the user's.

    Attributes:
      name: of the layer.
      init: `init_fn(rng, input_shape)`.
      apply: `apply_fn(params, inputs, **kwargs)`.
      kernel: `kernel_fn(kernel, **kwargs)`, of Kernels.
    """

    name: str
    init: Callable[..., Any]
    apply: Callable[..., Any]
    kernel: Callable[..., Any]

    @property
    def placed(self) -> Placed:
        return None

    def write(self, builder: TensorGraphBuilder, value: Value) -> Value:
        raise UnsupportedError(f"{self.name} has a kernel_fn of its own, and no graph")


def requires(**needed: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator of a `kernel_fn` of Kernels, which then raises ValueError for a Kernel whose fields are not `needed`.

    Values that a field cannot have, such as requirements on what is tracked, say nothing here: kernels hold all.
    """
    names = {field.name for field in fields(Kernel)}

    def decorate(kernel_fn: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(kernel_fn)
        def checked(kernel: Any, *args: Any, **kwargs: Any) -> Any:
            for one in kernel if isinstance(kernel, tuple | list) else (kernel,):
                for name, value in needed.items():
                    if name in names and isinstance(value, bool | int):
                        _require(one, name, value)
            return kernel_fn(kernel, *args, **kwargs)

        return checked

    return decorate


def supports_masking(remask_kernel: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator of a function that makes a layer of one's own. It changes nothing here.

    Layers with a `kernel_fn` of their own are refused where inputs are masked, whatever `remask_kernel` is.
    """

    def decorate(layer_fn: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(layer_fn)
        def without_mask(*args: Any, **kwargs: Any) -> Any:
            return layer_fn(*args, **kwargs)[:3]

        return without_mask

    return decorate


def unmask_fn(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself: outputs of `apply_fn` are arrays, zero at masked positions."""
    return fn


def _require(kernel: Any, name: str, value: Any) -> None:
    found, shape = getattr(kernel, name), kernel.shape1
    if name in ("batch_axis", "channel_axis") and shape is not None:
        found, value = found % len(shape), value % len(shape)
    if found != value:
        raise ParameterError(f"the layer requires kernels with {name}={value}, got {found}")
