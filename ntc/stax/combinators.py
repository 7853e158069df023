"""Layers as triples (init_fn, apply_fn, kernel_fn), and how they are combined."""

from __future__ import annotations

from collections.abc import Callable

from ntc.errors import ParameterError, UnsupportedError
from ntc.frontend.layers import Layer as GraphLayer
from ntc.ir.ops import Concat, ConcatSpatial, Product, Sum
from ntc.stax.finite import Apply, Init
from ntc.stax.kernel import KernelFunction
from ntc.stax.part import Chain, FanOut as _FanOut, Join, Parallel, Part, Single, operation

Layer = tuple[Init, Apply, KernelFunction]


def triple(part: Part) -> Layer:
    """The layer that is this part."""
    return Init(part), Apply(part), KernelFunction(part)


def single(layer: GraphLayer) -> Layer:
    """The layer of one op of `ntc.nn`, whose parameters do not depend on its input."""
    op = operation(layer)
    return triple(Single(lambda axes: op))


def part_of(layer: Layer) -> Part:
    """What a layer is made of. Raises UnsupportedError for layers that are not of `ntc.stax`."""
    kernel_fn = layer[2] if isinstance(layer, tuple) and len(layer) == 3 else None
    if not isinstance(kernel_fn, KernelFunction):
        raise UnsupportedError("layers with a kernel_fn of their own", hint="use layers of ntc.stax")
    return kernel_fn.part


def serial(*layers: Layer) -> Layer:
    """The layers one after another."""
    return triple(Chain(tuple(map(part_of, layers))))


def parallel(*layers: Layer) -> Layer:
    """Each layer on an input of its own: of a tuple of inputs, as FanOut makes."""
    return triple(Parallel(tuple(map(part_of, layers))))


def repeat(layer: Layer, n: int) -> Layer:
    """n copies of the layer one after another, each with weights of its own."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 0:
        raise ParameterError(f"repeat: n should be a whole number from 0, got {n}")
    return triple(Chain((part_of(layer),) * n))


def FanOut(num: int) -> Layer:  # noqa: N802
    """The input num times, as a tuple."""
    if isinstance(num, bool) or not isinstance(num, int) or num < 1:
        raise ParameterError(f"FanOut: num should be a positive whole number, got {num}")
    return triple(_FanOut(num))


def FanInSum() -> Layer:  # noqa: N802
    """Sum of a tuple of inputs. See `ntc.ir.ops.Sum`."""
    return triple(Join(lambda axes: Sum()))


def FanInProd() -> Layer:  # noqa: N802
    """Product, entry by entry, of a tuple of inputs. See `ntc.ir.ops.Product`."""
    return triple(Join(lambda axes: Product()))


def FanInConcat(axis: int = -1) -> Layer:  # noqa: N802
    """A tuple of inputs side by side along the axis of channels, or along a spatial one."""

    def make(axes: int) -> Concat | ConcatSpatial:
        at = spatial_axis("FanInConcat", axis, axes)
        return Concat() if at == axes - 2 else ConcatSpatial(at)

    return triple(Join(make))


def spatial_axis(name: str, axis: int, axes: int) -> int:
    """Which spatial axis an axis of an array is, of channels the number of spatial axes. Raises ParameterError."""
    at = axis + axes if axis < 0 else axis
    if not 0 < at < axes:
        raise ParameterError(f"{name}: axis {axis} of an array of {axes} axes is not a spatial one, or that of channels")
    return at - 1


