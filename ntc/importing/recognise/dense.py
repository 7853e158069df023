"""Products with weights: dense layers, those over patches, and those over whole images."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ntc.importing.graph import Array, Node
from ntc.importing.layout import Atom, Atoms, Layout, joined, order, whole
from ntc.importing.problems import NotRecognisedError
from ntc.importing.recognise.attention import Heads, attended, product, refused
from ntc.importing.recognise.conv import one_number
from ntc.importing.recogniser import Recogniser
from ntc.importing.values import Data, Draft, Source, plain
from ntc.ir.ops import Conv, Dense, Flatten


def dot(recogniser: Recogniser, node: Node) -> Data:
    """`dot_general` of a value of the network and weights."""
    unknown = [i for i, x in enumerate(node.operands) if not x.known]
    if len(unknown) > 1:
        return product(recogniser, node)
    side = unknown[0]
    contracting, batch = node.options["dimension_numbers"]
    x, w = node.operands[side], node.operands[1 - side]
    if batch[side]:
        raise NotRecognisedError(
            "weights that differ along an axis of the value",
            "every position, or every part of the channels, has weights of its own",
            "one matrix for all positions, or a convolution with weights of its own at every position (conv_local)",
        )
    heads = recogniser.data.get(x)
    if isinstance(heads, Heads):
        return _attended(recogniser, node, heads, side)
    data = recogniser.settled(x)
    summed, kept = tuple(contracting[side]), [a for a in range(len(x.shape)) if a not in contracting[side]]
    free = [a for a in range(len(w.shape)) if a not in contracting[1 - side]]
    if prod(x.shape[a] for a in summed) != prod(atom.size for a in summed for atom in data.layout[a]):
        raise NotRecognisedError("a product over copies", "a value that is repeated is summed", "the value once")
    atoms = tuple(data.layout[a] for a in summed)
    made = _product(recogniser, node, data, atoms, Source(w, _arranged(atoms, tuple(contracting[1 - side]), free)))
    rows: Layout = tuple(_left(data.layout[a], atoms, data) for a in kept)
    along = made.draft.op.axis if made.draft is not None and isinstance(made.draft.op, Dense) else None
    if along is not None and len(free) == 1:
        columns: Layout = (whole(along, w.shape[free[0]]),)
    else:
        columns = _channels([w.shape[a] for a in free])
    layout = (*rows, *columns) if side == 0 else (*columns, *rows)
    return made.with_layout(layout)


def _attended(recogniser: Recogniser, node: Node, data: Heads, side: int) -> Data:
    """The product of what heads of attention put out and weights."""
    contracting, _ = node.options["dimension_numbers"]
    w = node.operands[1 - side]
    summed = tuple(contracting[side])
    atoms = [x.axis for a in summed for x in data.layout[a]]
    names = [x for x in ("heads", "values") if x in atoms]
    if atoms != names or prod(x.size for a in summed for x in data.layout[a]) != data.channels:
        raise refused()
    free = [a for a in range(len(w.shape)) if a not in contracting[1 - side]]
    features = prod(w.shape[a] for a in free)

    def arranged(values: Array) -> Array:
        return values.transpose(*contracting[1 - side], *free).reshape(-1, features)

    made = attended(recogniser, node, data, Source(w, arranged), features)
    rows: Layout = tuple(data.layout[a] for a in range(len(data.layout)) if a not in summed)
    columns = _channels([w.shape[a] for a in free])
    return made.with_layout((*rows, *columns) if side == 0 else (*columns, *rows))


def _arranged(atoms: Layout, summed: tuple[int, ...], free: list[int]) -> Any:
    """The function that brings weights into the order (spatial axes, channels, outputs) of what they sum."""
    pieces = tuple(atom for axis in atoms for atom in axis)

    def arranged(w: Array) -> Array:
        outputs = prod(w.shape[a] for a in free)
        apart = w.transpose(*summed, *free).reshape(*(atom.size for atom in pieces), outputs)
        return apart.transpose(*order(pieces), len(pieces))

    return arranged


def _product(recogniser: Recogniser, node: Node, data: Data, atoms: Layout, source: Source) -> Data:
    """The layer that sums over these atoms; its array is in standard order."""
    pieces = tuple(atom for axis in atoms for atom in axis)
    summed = {axis: joined(tuple(x for x in _sorted(pieces) if x.axis == axis)) for axis in {x.axis for x in pieces}}
    if "examples" in summed:
        raise NotRecognisedError("a product over examples", "a kernel is of two examples", "none")
    features = int(np.prod(source.values.shape)) // max(1, prod(x.size for x in pieces))
    spatial = {axis for axis in summed if axis != "channels"}
    if data.channels > 1 and summed.get("channels") != whole("channels", data.channels):
        from ntc.importing.recognise.positions import along_positions

        return along_positions(recogniser, node, data, summed, source)
    complete = all(summed.get(i) == whole(i, n) or n == 1 for i, n in enumerate(data.spatial))
    if not spatial and not (complete and data.spatial):
        op: Any = Dense(features)
        weights = Source(source.node, lambda w: source.arranged(w).reshape(-1, features))
        return _draft(data, op, (data.value,), weights, node, data.spatial, features)
    if complete:
        below = recogniser.writer.append(Flatten(), (data.value,), node.place)  # type: ignore[arg-type]
        weights = Source(source.node, lambda w: source.arranged(w).reshape(-1, features))
        return _draft(data, Dense(features), (below.value,), weights, node, (), features)
    kernel = tuple(prod(x.size for x in summed.get(i, ())) for i in range(len(data.spatial)))
    for i, size in enumerate(kernel):
        if size > 1 and summed[i] != (Atom(i, size, 1),):
            raise NotRecognisedError(
                "a product over every so-manieth position", "the parts of a patch are not neighbours", "patches"
            )
    op = Conv(features, one_number(kernel), one_number(kernel), "valid")
    weights = Source(source.node, lambda w: source.arranged(w).reshape(*kernel, data.channels, features))
    left = tuple(n // k for n, k in zip(data.spatial, kernel, strict=True))
    return _draft(data, op, (data.value,), weights, node, left, features)


def _draft(
    data: Data, op: Any, operands: Any, weights: Source, node: Node, spatial: tuple[int, ...], features: int
) -> Data:
    examples = next((x.size for axis in data.layout for x in axis if x.axis == "examples"), 1)
    made = plain("", examples, spatial, features)
    draft = Draft(op, operands, {"w": weights}, node.place, "weights")
    return Data(made.layout, spatial, features, None, draft)


def _sorted(pieces: Atoms) -> Atoms:
    return tuple(pieces[i] for i in order(pieces))


def _left(atoms: Atoms, summed: Layout, data: Data) -> Atoms:
    """The atoms of an axis that is kept, in the tensor of the result: patches have become positions."""
    inner = {atom.axis: prod(x.size for axis in summed for x in axis if x.axis == atom.axis) for atom in atoms}
    return tuple(Atom(x.axis, x.size, max(1, x.stride // inner[x.axis])) for x in atoms)


def _channels(sizes: list[int]) -> Layout:
    """The new channels over several axes."""
    found, stride = [], prod(sizes)
    for size in sizes:
        stride //= size
        found.append((Atom("channels", size, stride),) if size > 1 else ())
    return tuple(found)
