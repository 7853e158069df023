"""What is added to channels or multiplied with them: biases, scales, statistics that are kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ntc.importing.graph import Array, Node
from ntc.importing.known import varying
from ntc.importing.layout import order
from ntc.importing.problems import NotRecognisedError
from ntc.importing.recognise.positions import embedding
from ntc.importing.recogniser import Recogniser
from ntc.importing.values import Data, Shift, Source, Stretch


def step(recogniser: Recogniser, node: Node) -> Data:
    """Arithmetic of a value of the network and a known array."""
    values = [x for x in node.operands if not x.known]
    arrays = [x for x in node.operands if x.known and x.number is None]
    if node.name not in ("add", "add_any", "sub", "mul", "div") or len(values) != 1 or len(arrays) != 1:
        raise NotRecognisedError(
            f"{node.name} with an array",
            "every channel or position has a function of its own",
            "one nonlinearity for all, whose numbers are no parameters",
        )
    (x,), (array,) = values, arrays
    if node.name == "div" and array is node.operands[0]:
        raise NotRecognisedError("a division by a value", "its moments need not exist", "a nonlinearity without a pole")
    data = recogniser.read(x)
    data = replace(data, layout=recogniser.layouts[x])
    if node.name == "add" and _is_embedding(data, node, array):
        return embedding(recogniser, node, data, array)
    source = Source(array, _per_channel(data, node, array))
    if node.name in ("mul", "div"):
        return stretched(data, node, array, node.name == "div")
    if node.name == "sub" and array is node.operands[0]:
        minus = Source(_one(array), lambda x: np.full(data.channels, -1.0))
        data = replace(data, steps=(*data.steps, Stretch(minus, False, node.place)))
    sign = -1.0 if node.name == "sub" and array is node.operands[1] else 1.0
    return replace(data, steps=(*data.steps, Shift(source, sign, node.place)))


def stretched(data: Data, node: Node, array: Node, inverse: bool) -> Data:
    """The value with its channels multiplied by a known array, or divided: by its factors that are no parameters first,
    as the derivative is that of the parameter."""
    factors = sorted(_factors(array, inverse), key=lambda x: bool(x[0].parameters))
    for factor, below in factors:
        source = Source(factor, _per_channel(data, node, factor))
        data = replace(data, steps=(*data.steps, Stretch(source, below, node.place)))
    return data


def _factors(array: Node, inverse: bool) -> list[tuple[Node, bool]]:
    """What a known array is a product of, where parameters are among it."""
    if array.name in ("mul", "div") and array.parameters and array.role == "operation":
        first, second = array.operands
        return [*_factors(first, inverse), *_factors(second, inverse != (array.name == "div"))]
    return [(array, inverse)]


def _one(array: Node) -> Node:
    return Node("constant", (), "constant", array.shape, array.place, array=np.ones(array.shape))


def _is_embedding(data: Data, node: Node, array: Node) -> bool:
    """Whether an array has a number for every position and channel, or for every position of several."""
    lead = len(node.shape) - len(array.shape)
    kinds = {x.axis for axis in varying(array) for x in data.layout[lead + axis]}
    return bool(kinds) and "examples" not in kinds and "channels" in kinds and len(kinds) == 1 + len(data.spatial) > 1


def _per_channel(data: Data, node: Node, array: Node):  # type: ignore[no-untyped-def]
    """The function that takes one number for every channel from an array. Raises NotRecognisedError."""
    lead = len(node.shape) - len(array.shape)
    axes = {lead + axis for axis in varying(array)}
    along = getattr(data.draft.op, "axis", None) if data.draft is not None and not data.steps else None
    kind = "channels" if along is None else along  # weights along positions have biases there
    own = {i for i, atoms in enumerate(data.layout) if any(x.axis == kind for x in atoms)}
    if not axes <= own or any(x.axis != kind for i in axes for x in data.layout[i]):
        differs = "examples" if any(x.axis == "examples" for i in axes for x in data.layout[i]) else "positions"
        raise NotRecognisedError(
            f"an array that differs between {differs}",
            "learnt embeddings and masks of positions are constants of which the law is not known"
            if differs == "positions"
            else "a kernel is of two examples, whatever their places in a batch",
            "embeddings that are a part of self_attention in ntc.nn, or none",
        )
    pieces = tuple(x for i in sorted(own) for x in data.layout[i])

    def arranged(values: Array) -> Array:
        full = np.reshape(values, (1,) * lead + values.shape)
        kept = full[tuple(slice(None) if i in own else 0 for i in range(full.ndim))]
        sizes = tuple(node.shape[i] for i in sorted(own))
        apart = np.broadcast_to(kept, sizes).reshape(*(x.size for x in pieces))
        return apart.transpose(order(pieces)).reshape(-1)

    return arranged
