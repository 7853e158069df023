"""The `kernel_fn` of `ntc.stax`: compiles the network for the shapes it is given, once, and runs the program."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp

from ntc.errors import ParameterError
from ntc.ir.types import Kernel
from ntc.stax.compiled import Compiled, precision_of, shapes_of, without_examples
from ntc.stax.layout import LAST, Axes
from ntc.stax.part import Part, layouts, singles

KERNELS: tuple[Kernel, ...] = ("nngp", "ntk")


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
          x1, x2: arrays with axes where the layers say they are, or tuples of them for a network of several inputs.
          get: "nngp" or "ntk" for one matrix, a tuple of them for a namedtuple; None for `ntc.Kernels` with both.
          pattern: graphs of the examples of x1 and of x2, for `Aggregate`.
          mask_constant: entries of this value are missing.
          diagonal_batch: of no effect, as what is carried is the compiler's choice.
          diagonal_spatial: where true, of a result that keeps positions each with itself alone, (n1, n2, H, W).
          batch_axis, channel_axis: of the inputs, where no layer says.
          ignored: whatever else layers take when they are applied at finite width.

        Raises:
          ParameterError: `get` is something else.
          NtcError: the network does not fit the arrays.
        """
        compiled = self.compiled(x1, x2, _wanted(get), mask_constant, (batch_axis, channel_axis))
        return _chosen(compiled(x1, x2, pattern, self._hyper), get, bool(diagonal_spatial))

    def on_devices(self, devices: int) -> KernelFunction:
        """The same kernels, computed on so many devices."""
        return self if devices == self.devices else KernelFunction(self.part, devices)

    def compiled(
        self,
        x1: Any,
        x2: Any = None,
        kernels: tuple[Kernel, ...] = KERNELS,
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


def _wanted(get: str | Sequence[str] | None) -> tuple[Kernel, ...]:
    names = KERNELS if get is None else (get,) if isinstance(get, str) else tuple(get)
    if not names or not set(names) <= set(KERNELS):
        raise ParameterError(f"get should be nngp, ntk, a tuple of them, or None; got {get!r:.60}")
    return tuple(kernel for kernel in KERNELS if kernel in names)


def _chosen(kernels: Any, get: str | Sequence[str] | None, diagonal: bool) -> Any:
    """What `get` asks for, of every result of a network."""
    if isinstance(kernels, tuple):
        return tuple(_chosen(one, get, diagonal) for one in kernels)
    if diagonal:
        kernels = jax.tree.map(_own_positions, kernels)
    if get is None:
        return kernels
    if isinstance(get, str):
        return getattr(kernels, get)
    return _result(tuple(get))(*(getattr(kernels, name) for name in get))


def _own_positions(matrix: Any) -> Any:
    """Entries (n1, n2, H, W) of each position with itself, of (n1, n2, H, H, W, W)."""
    axes = (matrix.ndim - 2) // 2
    letters = "abc"[:axes]
    return jnp.einsum(f"nm{''.join(letter * 2 for letter in letters)}->nm{letters}", matrix)


@lru_cache
def _result(names: tuple[str, ...]) -> Any:
    return namedtuple("AnalyticKernel", names)
