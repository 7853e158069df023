"""Layers that rearrange positions, or map them linearly, with the names and defaults of Neural Tangents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from ntc import nn
from ntc.errors import ParameterError, UnsupportedError
from ntc.ir.op import TensorOp
from ntc.ir.types import Spatial
from ntc.stax.combinators import Layer, constructor, triple
from ntc.stax.enums import AggregateImplementation
from ntc.stax.layout import Layout
from ntc.stax.part import Single, operation
from ntc.stax.patterns import Patterns
from ntc.stax.words import word

_METHODS = {"bilinear": "linear", "trilinear": "linear", "triangle": "linear", "bicubic": "cubic", "tricubic": "cubic"}


@constructor
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


@constructor
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


@constructor
def ImageResize(  # noqa: N802
    shape: Sequence[int],
    method: Any,
    antialias: bool = True,
    precision: lax.Precision = lax.Precision.HIGHEST,
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> Layer:
    """Positions resized to those of `shape`, of which -1 keeps a size. See `ntc.ir.ops.Resize`.

    `method` is one of `jax.image.resize`; products are in full precision, whatever `precision` is. Raises
    UnsupportedError for other numbers of examples or of channels.
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
        if wanted == spatial:
            return (operation(nn.identity()),)
        return (operation(nn.resize(wanted, name, antialias)),)  # type: ignore[arg-type]  # it checks the method

    return triple(Single("ImageResize", ops, (batch_axis, channel_axis)))


class _Slice:
    """`Slice[:, 1:3]` is the index of `Index`."""

    def __getitem__(self, index: Any) -> Any:
        return index


Slice = _Slice()


@constructor
def Index(idx: Any, batch_axis: int = 0, channel_axis: int = -1) -> Layer:  # noqa: N802
    """x[idx], of whole numbers, slices and an ellipsis: some positions, which a whole number takes the axis of, and a
    slice of the examples. See `ntc.ir.ops.Index`, `ntc.ir.ops.Slice`.

    Raises UnsupportedError for one example, and for channels.
    """
    keys = idx if isinstance(idx, tuple) else (idx,)

    def ops(layout: Layout, spatial: Spatial) -> tuple[TensorOp, ...]:
        examples, *named, channels = layout.standard(_every_axis(keys, layout.axes))
        if isinstance(examples, int) or channels != slice(None):
            raise UnsupportedError("Index of one example, or of channels", hint="Index(Slice[1:2]) keeps the axis")
        if named and all(isinstance(key, int) for key in named):
            return (operation(nn.index(tuple(named))),)
        return _sliced(named, spatial) or (operation(nn.identity()),)

    def result(layout: Layout, count: int) -> Layout:
        named = layout.standard(_every_axis(keys, layout.axes))[1:-1]
        gone = [axis for axis, key in enumerate(named) if isinstance(key, int)]
        return layout.without(gone) if layout.axes - len(gone) == count + 2 else layout

    def examples(layout: Layout) -> slice | None:
        key = layout.standard(_every_axis(keys, layout.axes))[0]
        return key if isinstance(key, slice) and key != slice(None) else None

    return triple(Single("Index", ops, (batch_axis, channel_axis), result, examples=examples))


def _sliced(keys: list[Any], spatial: Spatial) -> tuple[TensorOp, ...]:
    """The ops of an index of positions: slices forwards, then axes turned round, then those of one position removed."""
    slices = [slice(key, None if key == -1 else key + 1) if isinstance(key, int) else key for key in keys]
    ranges = [range(size)[key] for key, size in zip(slices, spatial, strict=True)]
    found: list[TensorOp] = []
    if any(len(own) < size for own, size in zip(ranges, spatial, strict=True)):
        forwards = [own if own.step > 0 else own[::-1] for own in ranges]
        bounds = [(own.start, own.stop, own.step) for own in forwards]
        found.append(operation(nn.slice(*map(tuple, zip(*bounds, strict=True)))))
    for axis, own in enumerate(ranges):
        if own.step < 0 and len(own) > 1:
            turned = tuple(tuple(float(p + q == len(own) - 1) for q in range(len(own))) for p in range(len(own)))
            found.append(operation(nn.matrix(turned, axis)))
    gone = tuple(axis for axis, key in enumerate(keys) if isinstance(key, int))
    return (*found, operation(nn.mix(gone, (), ((1.0,),)))) if gone else tuple(found)


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
