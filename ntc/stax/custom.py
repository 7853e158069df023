"""Layers of users: `init_fn`, `apply_fn` and a `kernel_fn` from kernels to kernels that somebody wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any

import jax

from ntc.errors import InputError, ParameterError, UnsupportedError
from ntc.ir.build import TensorGraphBuilder
from ntc.stax.covariances import Kernel
from ntc.stax.layout import Layout
from ntc.stax.part import Part, Placed, Value, is_shape


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


def shaped(part: Custom, before: Any, after: Any) -> Any:
    """The Kernels with the shapes that `init_fn` gives, from those of `before`.

    Where the number of axes changes, examples and channels are the first and last one, as of the values of `apply_fn`,
    unless the matrices say otherwise. Raises InputError where `init_fn` gives another number of shapes than of results.
    """
    first, second = (_shapes_after(part, before, name) for name in ("shape1", "shape2"))
    return _with_shapes(part, after, first, second)


def _shapes_after(part: Custom, kernels: Any, name: str) -> Any:
    """Shapes of the values that the layer makes of values with the shapes of Kernels; None if they are not known."""
    given = _nested(kernels, lambda kernel: getattr(kernel, name))
    if any(shape is None for shape in jax.tree.leaves(given, is_leaf=_is_one)):
        return None
    found: list[Any] = []

    def init(key: jax.Array) -> Any:
        shape, params = part.init(key, given)
        found.append(shape)
        return params

    jax.eval_shape(init, jax.random.PRNGKey(0))
    return found[0]


def _with_shapes(part: Custom, kernels: Any, first: Any, second: Any) -> Any:
    if first is None:
        return kernels
    if not isinstance(kernels, tuple | list):
        return _of_shape(kernels, tuple(first), kernels.shape2 if second is None else tuple(second))
    seconds = [None] * len(first) if second is None else second
    if _is_one(first) or len(first) != len(kernels):
        raise InputError(f"{part.name}: its init_fn gives shape {first}, its kernel_fn {len(kernels)} kernels")
    return tuple(_with_shapes(part, *each) for each in zip(kernels, first, seconds, strict=True))


def _of_shape(kernel: Kernel, first: tuple[int, ...], second: tuple[int, ...] | None) -> Kernel:
    axes = {"batch_axis": kernel.batch_axis, "channel_axis": kernel.channel_axis}
    if kernel.shape1 is not None and len(first) != len(kernel.shape1):
        before = Layout.of(len(kernel.shape1), (kernel.batch_axis, kernel.channel_axis))
        after = before.resized(len(first) - 2)
        if kernel.has_spatial([first[axis] for axis in after.spatial]):
            axes = {"batch_axis": after.batch, "channel_axis": after.channel}
    return kernel.replace(shape1=first, shape2=second, **axes)


def _nested(kernels: Any, function: Callable[[Kernel], Any]) -> Any:
    if isinstance(kernels, tuple | list):
        return tuple(_nested(kernel, function) for kernel in kernels)
    return function(kernels)


def _is_one(shape: Any) -> bool:
    """Whether it is no tuple of shapes."""
    return shape is None or is_shape(shape)


def _require(kernel: Any, name: str, value: Any) -> None:
    found, shape = getattr(kernel, name), kernel.shape1
    if name in ("batch_axis", "channel_axis") and shape is not None:
        found, value = found % len(shape), value % len(shape)
    if found != value:
        raise ParameterError(f"the layer requires kernels with {name}={value}, got {found}")
