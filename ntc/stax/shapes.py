"""Layers that rearrange positions, or map them linearly, with the names and defaults of Neural Tangents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc import nn
from ntc.errors import ParameterError, UnsupportedError
from ntc.ir.op import TensorOp
from ntc.ir.types import Spatial
from ntc.stax.combinators import Layer, single, triple
from ntc.stax.enums import AggregateImplementation
from ntc.stax.layout import Layout
from ntc.stax.part import Single, operation
from ntc.stax.patterns import Patterns
from ntc.stax.words import word

_METHODS = {"bilinear": "linear", "trilinear": "linear", "triangle": "linear", "bicubic": "cubic", "tricubic": "cubic"}


def Flatten(batch_axis: int = 0, batch_axis_out: int = 0) -> Layer:  # noqa: N802
    """All positions and channels as channels, in the order of the axes. See `ntc.ir.ops.Flatten`."""

    def forward(layout: Layout, x: Any) -> Any:
        """In the order of the axes that users see, which in that of channels first is another than ours."""
        return jnp.moveaxis(layout.stored(x), layout.batch, 0).reshape(x.shape[0], -1)

    def result(layout: Layout, spatial: int) -> Layout:
        batch = batch_axis_out % 2
        return Layout(2, batch, 1 - batch)

    def ops(layout: Layout, spatial: Spatial) -> tuple[TensorOp, ...]:
        return (operation(nn.flatten()),)

    return triple(Single("Flatten", ops, (batch_axis, None), result, forward=forward))


def Aggregate(  # noqa: N802
    aggregate_axis: int | Sequence[int] | None = None,
    batch_axis: int = 0,
    channel_axis: int = -1,
    to_dense: Callable[[Any], Any] | None = None,
    implementation: str | AggregateImplementation = "DENSE",
) -> Layer:
    """Sums over neighbours in the graph of each example: `kernel_fn(x1, x2, pattern=(p1, p2))`.

    See `ntc.ir.ops.Aggregate`. Patterns are adjacency matrices (n, *vertices, *vertices), with axes in the order of the
    array's, which `to_dense` may make of what is given; or, with `implementation="SPARSE"`, edges (n, count, axes, 2).
    Without a pattern the layer returns its input.
    """
    named = (aggregate_axis,) if isinstance(aggregate_axis, int) else aggregate_axis
    patterns = Patterns(word("implementation", implementation, AggregateImplementation) == "SPARSE", to_dense)

    def ops(layout: Layout, spatial: Spatial) -> tuple[TensorOp, ...]:
        axes = layout.spatial if named is None else named
        found = tuple(sorted({layout.position("Aggregate", axis) - 1 for axis in axes}))
        if not all(0 <= axis < len(spatial) for axis in found):
            raise ParameterError(f"Aggregate: axes {named} should be neither that of examples nor that of channels")
        return (operation(nn.aggregate(None if len(found) == len(spatial) > 0 else found)),)

    return triple(Single("Aggregate", ops, (batch_axis, channel_axis), dense=patterns))


def ImageResize(  # noqa: N802
    shape: Sequence[int],
    method: Any,
    antialias: bool = True,
    precision: lax.Precision = lax.Precision.HIGHEST,
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> Layer:
    """Positions resized to those of `shape`, of which -1 keeps a size. See `ntc.ir.ops.Resize`.

    `method` is one of `jax.image.resize`; products are in full precision, whatever `precision` is.
    """
    named = getattr(method, "name", method)
    name = _METHODS.get(str(named).lower(), str(named).lower())

    def ops(layout: Layout, spatial: Spatial) -> tuple[TensorOp, ...]:
        if len(shape) != layout.axes:
            raise ParameterError(f"ImageResize: shape {tuple(shape)} for an array of {layout.axes} axes")
        examples, *sizes, channels = layout.standard(tuple(shape))
        if (examples, channels) != (-1, -1):
            raise UnsupportedError("ImageResize of examples or of channels", hint="-1 for these axes in shape")
        wanted = tuple(own if size == -1 else size for own, size in zip(spatial, sizes, strict=True))
        return (operation(nn.resize(wanted, name, antialias)),)  # type: ignore[arg-type]  # it checks the method

    return triple(Single("ImageResize", ops, (batch_axis, channel_axis)))


class _Slice:
    """`Slice[:, 1:3]` is the index of `Index`."""

    def __getitem__(self, index: Any) -> Any:
        return index


Slice = _Slice()


def Index(idx: Any, batch_axis: int = 0, channel_axis: int = -1) -> Layer:  # noqa: N802
    """One position of the input (all spatial indices whole numbers), or a range of positions (all slices).

    Raises UnsupportedError for examples, channels, and for whole numbers and slices together.
    """
    keys = idx if isinstance(idx, tuple) else (idx,)

    def ops(layout: Layout, spatial: Spatial) -> tuple[TensorOp, ...]:
        examples, *named, channels = layout.standard(_every_axis(keys, layout.axes))
        if examples != slice(None) or channels != slice(None):
            raise UnsupportedError("Index of examples or of channels", hint="Index(Slice[:, 1, 2]), Slice[:, 1:3]")
        whole = [isinstance(key, int) for key in named]
        if whole and all(whole):
            return (operation(nn.index(tuple(named))),)
        if any(whole):
            raise UnsupportedError("Index with whole numbers and slices together", hint="Slice[:, 1:2, 2:3] keeps axes")
        bounds = zip(*((key.start, key.stop, 1 if key.step is None else key.step) for key in named), strict=True)
        return (operation(nn.slice(*map(tuple, bounds)) if named else nn.identity()),)

    return triple(Single("Index", ops, (batch_axis, channel_axis)))


def _every_axis(keys: tuple[Any, ...], axes: int) -> tuple[Any, ...]:
    """One key for every axis. Raises ParameterError."""
    given = sum(key is not Ellipsis for key in keys)
    if given > axes or len(keys) - given > 1:
        raise ParameterError(f"Index: {len(keys)} indices of an array of {axes} axes")
    at = next((place for place, key in enumerate(keys) if key is Ellipsis), len(keys))
    found = (*keys[:at], *[slice(None)] * (axes - given), *keys[at + 1 :])
    if not all(isinstance(key, int | slice) and not isinstance(key, bool) for key in found):
        raise ParameterError(f"Index: indices should be whole numbers, slices or an ellipsis, got {keys!r:.60}")
    return found


def DotGeneral(  # noqa: N802
    *,
    lhs: Any = None,
    rhs: Any = None,
    dimension_numbers: Any = (((), ()), ((), ())),
    precision: Any = None,
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> Layer:
    """`lax.dot_general(x, rhs, dimension_numbers)`, or of `lhs` and x: a matrix along one spatial axis, or a number.

    See `ntc.ir.ops.Matrix`. Products are in full precision, whatever `precision` is. Raises UnsupportedError for batch
    dimensions, several contracted axes, axes of examples or channels, and constants that are neither.
    """
    if lhs is not None and rhs is not None:
        raise ParameterError("DotGeneral takes lhs or rhs, got both")
    constant = lhs if rhs is None else rhs
    axes = (batch_axis, channel_axis)
    if constant is None or np.ndim(constant) == 0:
        layer = nn.identity() if constant is None else nn.scale(float(constant))
        return single("DotGeneral", layer, axes)
    contracted, batch = dimension_numbers
    mine, own = contracted if rhs is not None else contracted[::-1]
    if len(mine) != 1 or len(own) != 1 or np.ndim(constant) != 2 or any(map(len, batch)):
        raise UnsupportedError("DotGeneral of anything but one axis with one axis of a matrix")
    matrix = np.asarray(constant, np.float64)
    values = tuple(map(tuple, (matrix if own[0] % 2 else matrix.T).tolist()))

    def ops(layout: Layout, spatial: Spatial) -> tuple[TensorOp, ...]:
        at = layout.position("DotGeneral", mine[0]) - 1
        if not 0 <= at < len(spatial):
            raise UnsupportedError("DotGeneral along the axis of examples or of channels")
        others = [axis for axis in range(len(spatial)) if axis != at]
        order = tuple([*others, at] if lhs is None else [at, *others])
        return operation(nn.matrix(values, at)), operation(nn.transpose(order))

    def result(layout: Layout, count: int) -> Layout:
        """The contracted axis leaves its place, and the other axis of the matrix comes first or last."""
        place, first = mine[0] % layout.axes, lhs is not None
        examples, channels = (axis - (axis > place) + first for axis in (layout.batch, layout.channel))
        return Layout(layout.axes, examples, channels)

    return triple(Single("DotGeneral", ops, axes, result))
