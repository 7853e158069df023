"""Layers of users: `init_fn`, `apply_fn` and a `kernel_fn` from kernels to kernels that somebody wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial, wraps
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

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

    moves_axes: ClassVar[bool] = True
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


@dataclass(frozen=True)
class Masking:
    """How a layer of a user treats masks.

    Attributes:
      move: from a mask, true where entries are missing, and the shape of the input to the mask of the output, or None.
      remask: whether kernels are not zero yet where it is masked.
    """

    move: Callable[[Any, Any], Any]
    remask: bool


def supports_masking(remask_kernel: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator, below `layer`, of a function that makes a layer of one's own: the layer may follow masked inputs.

    What is decorated may return a fourth function, `mask_fn(mask, input_shape)`, which gives the mask of the output;
    without it, that is the mask of the input. Masks are true where entries are missing, and have one channel, as `mask`
    that `apply_fn` is given has. Kernels are set to zero where the output is masked if `remask_kernel` is true.
    """

    def decorate(layer_fn: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(layer_fn)
        def with_masking(*args: Any, **kwargs: Any) -> Any:
            init_fn, apply_fn, kernel_fn, *others = layer_fn(*args, **kwargs)

            @wraps(kernel_fn)
            def masking_fn(*own: Any, **keywords: Any) -> Any:
                return kernel_fn(*own, **keywords)

            masking_fn.masking = Masking(others[0] if others else _same_mask, remask_kernel)  # type: ignore[attr-defined]
            return init_fn, apply_fn, masking_fn

        return with_masking

    return decorate


def _same_mask(mask: Any, input_shape: Any) -> Any:
    return mask


def unmask_fn(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with arrays in place of `MaskedArray` in what it returns: zero where an entry is missing.

    The `apply_fn` of `ntc.stax` returns arrays already.
    """

    @wraps(fn)
    def unmasked(*args: Any, **kwargs: Any) -> Any:
        found = fn(*args, **kwargs)
        return jax.tree.map(_without_mask, found, is_leaf=lambda x: isinstance(x, MaskedArray))

    return unmasked


def _without_mask(x: Any) -> Any:
    if not isinstance(x, MaskedArray):
        return x
    return x.masked_value if x.mask is None else jnp.where(x.mask, 0, x.masked_value)


@partial(jax.tree_util.register_dataclass, data_fields=("masked_value", "mask"), meta_fields=())
@dataclass(frozen=True)
class MaskedArray:
    """An array, and which of its entries are missing, for functions of users.

    Attributes:
      masked_value: the array.
      mask: true where an entry is missing; it broadcasts to the array.
    """

    masked_value: Any
    mask: Any = None


def masking_of(part: Custom) -> Masking:
    """How the layer treats masks. Raises UnsupportedError if it is not said."""
    found: Masking | None = getattr(part.kernel, "masking", None)
    if found is None:
        raise UnsupportedError(
            f"{part.name} is a layer of one's own, and says nothing of masks, but positions of its input are masked",
            hint="decorate what makes it by @stax.supports_masking(remask_kernel=True), below @stax.layer",
        )
    return found


def masked(part: Custom, before: Any, after: Any) -> Any:
    """The Kernels with the masks that the layer makes of those of `before`. Raises UnsupportedError as `masking_of`."""
    first, second = (_fields(before, name) for name in ("mask1", "mask2"))
    if not jax.tree.leaves((first, second)):
        return after
    masking = masking_of(part)
    moved1, moved2 = (
        masking.move(mask, _fields(before, shape)) if jax.tree.leaves(mask) else None
        for mask, shape in ((first, "shape1"), (second, "shape2"))
    )
    return _with_masks(after, moved1, moved2, masking.remask)


def _with_masks(kernels: Any, first: Any, second: Any, remask: bool) -> Any:
    if isinstance(kernels, tuple | list):
        firsts, seconds = (x if isinstance(x, tuple | list) else (x,) * len(kernels) for x in (first, second))
        return tuple(_with_masks(*each, remask) for each in zip(kernels, firsts, seconds, strict=True))
    return kernels.mask(first, second) if remask else kernels.replace(mask1=first, mask2=second)


def shaped(part: Custom, before: Any, after: Any) -> Any:
    """The Kernels with the shapes that `init_fn` gives, from those of `before`.

    Where the number of axes changes, examples and channels are the first and last one, as of the values of `apply_fn`,
    unless the matrices say otherwise. Raises InputError where `init_fn` gives another number of shapes than of results.
    """
    first, second = (_shapes_after(part, before, name) for name in ("shape1", "shape2"))
    return _with_shapes(part, after, first, second)


def _shapes_after(part: Custom, kernels: Any, name: str) -> Any:
    """Shapes of the values that the layer makes of values with the shapes of Kernels; None if they are not known."""
    given = _fields(kernels, name)
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


def _fields(kernels: Any, name: str) -> Any:
    """A field of every Kernel."""
    if isinstance(kernels, tuple | list):
        return tuple(_fields(kernel, name) for kernel in kernels)
    return getattr(kernels, name)


def _is_one(shape: Any) -> bool:
    """Whether it is no tuple of shapes."""
    return shape is None or is_shape(shape)


def _require(kernel: Any, name: str, value: Any) -> None:
    found, shape = getattr(kernel, name), kernel.shape1
    if name in ("batch_axis", "channel_axis") and shape is not None:
        found, value = found % len(shape), value % len(shape)
    if found != value:
        raise ParameterError(f"the layer requires kernels with {name}={value}, got {found}")
