"""Positions of tokens: weights along them, embeddings, class tokens, and images as one row of positions."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from ntc.importing.graph import Array, Node
from ntc.importing.layout import Atoms, order, whole
from ntc.importing.problems import NotRecognisedError
from ntc.importing.recogniser import Recogniser
from ntc.importing.values import Data, Draft, Source
from ntc.ir.ops import Dense, Mix


def along_positions(recogniser: Recogniser, node: Node, data: Data, summed: dict[Any, Atoms], source: Source) -> Data:
    """A product along one spatial axis, or over all positions in a row, that leaves the channels as they are."""
    every = [whole(i, n) for i, n in enumerate(data.spatial)]
    if len(data.spatial) > 1 and "channels" not in summed and sorted(summed) == list(range(len(data.spatial))):
        data = in_a_row(recogniser, node, data)
        summed = {0: whole(0, data.spatial[0])}
        every = [whole(0, data.spatial[0])]
    axes = list(summed)
    if len(axes) != 1 or not isinstance(axes[0], int) or summed[axes[0]] != every[axes[0]]:
        raise NotRecognisedError(
            "a product over a part of the channels, or over several axes of positions",
            "it has no layer",
            "a dense layer over channels or along one axis, or a convolution",
        )
    (axis,) = axes
    features = int(np.prod(source.values.shape)) // data.spatial[axis]
    weights = Source(source.node, lambda w: source.arranged(w).reshape(-1, features))
    spatial = (*data.spatial[:axis], features, *data.spatial[axis + 1 :])
    draft = Draft(Dense(features, axis=axis), (str(data.value),), {"w": weights}, node.place, "weights")
    return Data(data.layout, spatial, data.channels, None, draft)


def in_a_row(recogniser: Recogniser, node: Node, data: Data) -> Data:
    """The positions of an image as those of one axis, where the array has them so. Raises NotRecognisedError."""
    row = tuple(x for i, n in enumerate(data.spatial) for x in whole(i, n))
    if len(data.spatial) < 2:
        return data
    if row not in data.layout:
        raise NotRecognisedError("positions in another order", "they are rows of an image", "rows one after another")
    count = prod(data.spatial)
    same = tuple(tuple(float(i == j) for j in range(count)) for i in range(count))
    op = Mix(tuple(range(len(data.spatial))), (count,), same)
    made = recogniser.writer.append(op, (str(data.value),), node.place)
    return made.with_layout(tuple(whole(0, count) if axis == row else axis for axis in data.layout))


def embedding(recogniser: Recogniser, node: Node, data: Data, array: Node) -> Data:
    """A learnt array that is added to every position and channel."""
    data = replace(recogniser.writer.settled(data), layout=data.layout)
    lead = len(node.shape) - len(array.shape)
    own = [i for i, atoms in enumerate(data.layout) if atoms and atoms[0].axis != "examples"]
    pieces = tuple(x for i in own for x in data.layout[i])

    def arranged(values: Array) -> Array:
        full = np.reshape(values, (1,) * lead + values.shape)
        kept = full[tuple(slice(None) if i in own else 0 for i in range(full.ndim))]
        apart = np.broadcast_to(kept, tuple(node.shape[i] for i in own)).reshape(*(x.size for x in pieces))
        return apart.transpose(order(pieces))

    source = Source(array, arranged)
    return recogniser.writer.learnt_positions(data, source, node.place).with_layout(data.layout)


def token(recogniser: Recogniser, node: Node, array: Node, data: Data, axis: int, last: bool) -> Data:
    """One more position that is learnt, before the others or behind."""
    data = in_a_row(recogniser, node, data)
    if array.shape[axis] != 1 or data.layout[axis] != whole(0, data.spatial[0]) or not array.parameters:
        raise NotRecognisedError(
            "a constant beside values of the network", "only one learnt position has a layer", "a class token"
        )
    channel = next(i for i, atoms in enumerate(data.layout) if atoms == whole("channels", data.channels))

    def arranged(values: Array) -> Array:
        index = tuple(slice(None) if i == channel else 0 for i in range(values.ndim))
        return values[index].reshape(1, -1)

    made = recogniser.writer.class_token(data, Source(array, arranged), last, node.place)
    layout = list(data.layout)
    layout[axis] = whole(0, made.spatial[0])
    return made.with_layout(tuple(layout))
