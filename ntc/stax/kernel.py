"""The `kernel_fn` of `ntc.stax`: compiles the network for the shapes it is given, once, and runs the program."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property, lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp

from ntc.errors import InputError, ParameterError
from ntc.ir.types import Kernel as KernelName
from ntc.stax.compiled import Compiled, precision_of, shapes_of, without_examples
from ntc.stax.compose import Composition, divided, has_custom, is_kernels, refuse_masks
from ntc.stax.covariances import Kernel
from ntc.stax.layout import LAST, Axes
from ntc.stax.masked import marked, masked_kernels
from ntc.stax.part import Part, layouts, singles

KERNELS: tuple[KernelName, ...] = ("nngp", "ntk")
FIELDS = tuple(field.name for field in fields(Kernel))


class KernelFunction:
    """`kernel_fn(x1, x2=None, get=None, ...)`: the kernels of one network.

    A program is compiled when a shape of examples, precision or choice of kernels is first seen, and kept. The pairs of
    examples are split over `devices` devices.
    """

    def __init__(self, part: Part, devices: int = 1) -> None:
        self.part = part
        self.devices = devices
        self.__name__ = self.__qualname__ = part.name
        self._hyper = {name: value for single in singles(part) for name, value in single.hyper.items()}
        self._programs: dict[object, Compiled] = {}

    def __repr__(self) -> str:
        return f"<KernelFunction of {self.part.name}>"

    def __call__(
        self,
        x1: Any,
        x2: Any = None,
        get: str | Sequence[str] | None = None,
        *,
        pattern: tuple[Any, Any] | None = None,
        mask_constant: float | None = None,
        diagonal_batch: bool | None = None,
        diagonal_spatial: bool | None = None,
        batch_axis: int = 0,
        channel_axis: int = -1,
        **ignored: Any,
    ) -> Any:
        """The kernels between all examples of x1 and all of x2 (default: x1).

        Args:
          x1, x2: arrays with axes where the layers say they are, or tuples of them for a network of several inputs. Or,
            as x1 alone, the `Kernel` of the inputs, or a tuple of them, from which the network goes on.
          get: the name of a field of `Kernel`, as "nngp" or "ntk", for one matrix; a tuple of them for a namedtuple;
            None for a `Kernel` with all.
          pattern: graphs of the examples of x1 and of x2, for `Aggregate`.
          mask_constant: entries of this value are missing.
          diagonal_batch: of no effect: covariances of examples of x1 with each other are a call of their own.
          diagonal_spatial: where true, of a result that keeps positions each with itself alone, (n1, n2, H, W).
          batch_axis, channel_axis: of the inputs, where no layer says.
          ignored: whatever else layers of one's own take.

        Raises:
          ParameterError: `get` is something else.
          NtcError: the network does not fit the arrays.
        """
        wanted = _wanted(get)
        axes = batch_axis, channel_axis
        if is_kernels(x1) or self._is_composed:
            refuse_masks(mask_constant, pattern)
            return chosen(self._composed(x1, x2, axes, ignored), get, bool(diagonal_spatial))
        if mask_constant is not None:
            mask_constant, (x1, x2) = marked(mask_constant, (x1, x2), precision_of(jax.tree.leaves((x1, x2))))
        if are_matrices(get):
            kernels = tuple(kernel for kernel in KERNELS if kernel in wanted)
            found = self.compiled(x1, x2, kernels, mask_constant, axes)(x1, x2, pattern, self._hyper)
            return chosen(found, get, bool(diagonal_spatial))
        compiled = self.compiled(x1, x2, KERNELS, mask_constant, axes)
        found = compiled.kernels(x1, x2, pattern, self._hyper)
        if mask_constant is not None:
            found = masked_kernels(found, x1, x2, compiled.layout, mask_constant)
        return chosen(found, get, bool(diagonal_spatial))

    @cached_property
    def _is_composed(self) -> bool:
        """Whether layers of users are among those of the network."""
        return has_custom(self.part)

    @cached_property
    def _composition(self) -> Composition:
        return Composition(self.part)

    @cached_property
    def _divided(self) -> tuple[KernelFunction, Composition]:
        """From arrays up to the first layer of a user, and what comes then."""
        first, rest = divided(self.part)
        return KernelFunction(first, self.devices), Composition(rest)

    def _composed(self, x1: Any, x2: Any, axes: Axes, kwargs: dict[str, Any]) -> Any:
        if is_kernels(x1):
            if x2 is not None:
                raise InputError("a Kernel is of x1 and x2 both: x2 should be None")
            return self._composition(x1, **kwargs)
        first, rest = self._divided
        placed = self.part.placed
        batch, channel = placed if placed is not None and isinstance(placed[0], int) else axes
        return rest(first(x1, x2, batch_axis=batch, channel_axis=channel), **kwargs)

    def on_devices(self, devices: int) -> KernelFunction:
        """The same kernels, computed on so many devices."""
        return self if devices == self.devices else KernelFunction(self.part, devices)

    def compiled(
        self,
        x1: Any,
        x2: Any = None,
        kernels: tuple[KernelName, ...] = KERNELS,
        mask_constant: float | None = None,
        axes: Axes = LAST,
    ) -> Compiled:
        """The program for inputs of these shapes. Raises NtcError where the network does not fit them."""
        shapes = shapes_of(x1)
        layout = layouts(shapes, self.part.placed or axes)
        shapes = without_examples(shapes, layout)
        precision = precision_of(jax.tree.leaves((x1, x2)))
        key = (shapes, axes, precision, kernels, repr(mask_constant))
        if key not in self._programs:
            self._programs[key] = Compiled.of(
                self.part, shapes, mask_constant, axes, kernels=kernels, dtype=precision, devices=self.devices
            )
        return self._programs[key]


def _wanted(get: str | Sequence[str] | None) -> tuple[str, ...]:
    """The names of fields. Raises ParameterError."""
    names = FIELDS if get is None else (get,) if isinstance(get, str) else tuple(get)
    if not names or not set(names) <= set(FIELDS):
        raise ParameterError(
            f"get should be a field of a Kernel, a tuple of them, or None; got {get!r:.60}", hint=", ".join(FIELDS)
        )
    return names


def are_matrices(get: str | Sequence[str] | None) -> bool:
    """Whether all that `get` asks for is between x1 and x2. Raises ParameterError for what is not in a Kernel."""
    return get is not None and set(_wanted(get)) <= set(KERNELS)


def chosen(kernels: Any, get: str | Sequence[str] | None, diagonal: bool = False) -> Any:
    """What `get` asks for, of every result of a network."""
    if isinstance(kernels, tuple):
        return tuple(chosen(one, get, diagonal) for one in kernels)
    if diagonal:
        kernels = _own_positions_of(kernels)
    if get is None:
        return kernels
    if isinstance(get, str):
        return getattr(kernels, get)
    return _result(tuple(get))(*(getattr(kernels, name) for name in get))


def _own_positions_of(kernels: Any) -> Any:
    """Without the covariances of different positions."""
    if not isinstance(kernels, Kernel):
        return jax.tree.map(partial(_own_positions, first=2), kernels)
    return kernels if kernels.diagonal_spatial else kernels.of_own_positions(_own_positions)


def _own_positions(matrix: Any, first: int) -> Any:
    """Entries (n1, n2, H, W) of each position with itself, of (n1, n2, H, H, W, W), behind `first` axes of examples."""
    letters = "abc"[: (matrix.ndim - first) // 2]
    batch = "nm"[:first]
    return jnp.einsum(f"{batch}{''.join(letter * 2 for letter in letters)}->{batch}{letters}", matrix)


@lru_cache
def _result(names: tuple[str, ...]) -> Any:
    return namedtuple("AnalyticKernel", names)
