"""Convolutions."""

from __future__ import annotations

from math import prod
from typing import Any

from ntc.importing.graph import Array, Node
from ntc.importing.layout import Layout, whole
from ntc.importing.problems import NotRecognisedError
from ntc.importing.recogniser import Recogniser
from ntc.importing.values import Data, Draft, Source
from ntc.ir.ops import Conv, DepthwiseConv, GroupedConv, Pad
from ntc.ir.schema import Padding
from ntc.ir.sliding import Sliding
from ntc.ir.types import Spatial


def conv(recogniser: Recogniser, node: Node) -> Data:
    """`conv_general_dilated` of a value of the network with a filter of weights."""
    x, w = node.operands
    options, numbers = node.options, node.options["dimension_numbers"]
    if not w.known or x.known:
        raise NotRecognisedError("a filter that is computed", "it is no random weight", "weights")
    if set(options["lhs_dilation"]) != {1} or options["batch_group_count"] != 1:
        raise NotRecognisedError(
            "a transposed convolution",
            "its positions are read differently here",
            "a convolution and a resize, or `conv_transpose` of ntc.nn",
        )
    data = recogniser.settled(x)
    axes = spatial_axes(data, numbers.lhs_spec)
    kernel = tuple(w.shape[a] for a in numbers.rhs_spec[2:])
    by_axis = {axis: i for i, axis in enumerate(axes)}
    places = [by_axis[i] for i in range(len(axes))]

    def sorted_(values: Any) -> Spatial:
        return tuple(values[i] for i in places)

    window, stride, dilation = sorted_(kernel), sorted_(options["window_strides"]), sorted_(options["rhs_dilation"])
    pads = tuple(options["padding"][i] for i in places)
    data, padding = padded(recogniser, node, data, window, stride, dilation, pads)
    groups = options["feature_group_count"]
    channels = w.shape[numbers.rhs_spec[0]]
    op = _op(groups, data.channels, channels, (one_number(window), one_number(stride), padding, one_number(dilation)))
    order = (*(numbers.rhs_spec[2 + i] for i in places), numbers.rhs_spec[1], numbers.rhs_spec[0])
    source = Source(w, lambda array: _transposed(array, order))
    spatial = tuple(node.shape[numbers.out_spec[2 + i]] for i in places)
    layout: list[Any] = [()] * len(node.shape)
    layout[numbers.out_spec[0]] = whole("examples", recogniser.writer.examples)
    layout[numbers.out_spec[1]] = whole("channels", channels)
    for axis, i in enumerate(places):
        layout[numbers.out_spec[2 + i]] = whole(axis, spatial[axis])
    draft = Draft(op, (data.value,), {"w": source}, node.place, "weights")  # type: ignore[arg-type]
    return Data(tuple(layout), spatial, channels, None, draft)


def _transposed(array: Array, order: tuple[int, ...]) -> Array:
    return array.transpose(order)


def one_number(sizes: Spatial) -> Any:
    """One number if all are the same, as people write it."""
    return sizes[0] if len(set(sizes)) == 1 else sizes


def _op(groups: int, inputs: int, outputs: int, geometry: tuple[Any, ...]) -> Any:
    kernel, stride, padding, dilation = geometry
    if groups == 1:
        return Conv(outputs, kernel, stride, padding, dilation)
    if groups == inputs:
        return DepthwiseConv(kernel, outputs // inputs, stride, padding, dilation)
    return GroupedConv(outputs, groups, kernel, stride, padding, dilation)


def spatial_axes(data: Data, spec: tuple[int, ...]) -> list[int]:
    """The spatial axis of the tensor for every axis that a window slides along. Raises NotRecognisedError."""
    layout: Layout = data.layout
    axes: list[int] = []
    units = [i for i, size in enumerate(data.spatial) if size == 1]
    for place in spec[2:]:
        atoms = layout[place]
        axis = atoms[0].axis if atoms else (units.pop(0) if units else None)
        if not isinstance(axis, int) or (atoms and atoms != whole(axis, data.spatial[axis])):
            raise _other_axes()
        axes.append(axis)
    if layout[spec[1]] != whole("channels", data.channels) or sorted(axes) != list(range(len(data.spatial))):
        raise _other_axes()
    return axes


def _other_axes() -> NotRecognisedError:
    return NotRecognisedError(
        "a window over other axes than those of the network",
        "it slides along examples, channels or parts of an axis, or not along all spatial axes",
        "windows over the spatial axes; tell which axis of x has the channels with channel_axis",
    )


def padded(
    recogniser: Recogniser,
    node: Node,
    data: Data,
    window: Spatial,
    stride: Spatial,
    dilation: Spatial,
    pads: tuple[tuple[int, int], ...],
    usual: Padding = "same",
) -> tuple[Data, Padding]:
    """The input of a window and its padding, with zeros written around the input if these are neither of ours."""
    axes = list(zip(data.spatial, window, stride, dilation, strict=True))
    given = tuple(map(tuple, pads))
    for padding in dict.fromkeys((usual, "same", "valid")):
        sliding = [Sliding(n, w, s, d, padding) for n, w, s, d in axes]
        sizes = [(n + sum(p) - x.span) // x.stride + 1 for n, p, x in zip(data.spatial, pads, sliding, strict=True)]
        if tuple(x.pads for x in sliding) == given and [x.outputs for x in sliding] == sizes:
            return data, padding
    if min(x for pair in pads for x in pair) < 0:
        raise NotRecognisedError("a padding that cuts", "a window begins inside the image", "a slice before it")
    low, high = tuple(a for a, _ in pads), tuple(b for _, b in pads)
    op = Pad(one_number(low), one_number(high)) if prod(low) or prod(high) or any(low) or any(high) else Pad()
    return recogniser.writer.append(op, (data.value,), node.place), "valid"  # type: ignore[arg-type]
