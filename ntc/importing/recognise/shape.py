"""Parts of an image, and zeros around it."""

from __future__ import annotations

from ntc.importing.graph import Node
from ntc.importing.layout import Atom, whole
from ntc.importing.problems import NotRecognisedError
from ntc.importing.recognise.refused import reason
from ntc.importing.recogniser import MOVES, Recogniser
from ntc.importing.values import Data
from ntc.ir.ops import Index, Pad, Slice
from ntc.ir.sliding import compact


def rearranged(recogniser: Recogniser, node: Node) -> Data | None:
    """The axes of a soft value in another order, or of other sizes."""
    if node.name not in MOVES:
        return None
    (x,) = node.operands
    data = recogniser.read(x)
    return data.with_layout(recogniser.layouts[node])


def slice_(recogniser: Recogniser, node: Node) -> Data:
    """`slice` along spatial axes."""
    (x,) = node.operands
    options = node.options
    data = recogniser.settled(x)
    steps = options["strides"] or (1,) * len(x.shape)
    cut = [i for i in range(len(x.shape)) if node.shape[i] != x.shape[i] or steps[i] != 1]
    start: list[int | None] = [None] * len(data.spatial)
    stop: list[int | None] = [None] * len(data.spatial)
    step = [1] * len(data.spatial)
    for i in cut:
        axis = _axis(data.layout[i], data)
        start[axis], stop[axis], step[axis] = options["start_indices"][i], options["limit_indices"][i], steps[i]
    layout = list(data.layout)
    if cut and all(node.shape[i] == 1 for i in cut) and len(cut) == len(data.spatial):
        position = tuple(s or 0 for s in start)
        made = recogniser.writer.append(Index(position), (data.value,), node.place)  # type: ignore[arg-type]
    else:
        op = Slice(tuple(start), tuple(stop), compact(tuple(step)))
        made = recogniser.writer.append(op, (data.value,), node.place) if cut else data  # type: ignore[arg-type]
    for i in cut:
        layout[i] = whole(_axis(data.layout[i], data), node.shape[i])
    return made.with_layout(tuple(layout))


def split(recogniser: Recogniser, node: Node) -> Data:
    """One part of a value that is cut along a spatial axis."""
    (x,) = node.operands
    data = recogniser.settled(x)
    place, sizes, part = node.options["axis"], node.options["sizes"], node.step[1]
    axis = _axis(data.layout[place], data)
    first = sum(sizes[:part])
    start, stop = [None] * len(data.spatial), [None] * len(data.spatial)
    start[axis], stop[axis] = first, first + sizes[part]
    op = Slice(tuple(start), tuple(stop))
    made = recogniser.writer.append(op, (data.value,), node.place)  # type: ignore[arg-type]
    layout = list(data.layout)
    layout[place] = whole(axis, sizes[part])
    return made.with_layout(tuple(layout))


def stopped(recogniser: Recogniser, node: Node) -> Data | None:
    """Raises NotRecognisedError for a gradient that is stopped."""
    if node.name == "stop_gradient":
        raise reason(node)
    return None


def _axis(atoms: tuple[Atom, ...], data: Data) -> int:
    """The spatial axis that an axis of the array is. Raises NotRecognisedError."""
    axis = atoms[0].axis if len(atoms) == 1 else None
    if axis == "channels":
        raise NotRecognisedError(
            "a part of the channels",
            "channels of one layer are alike, and parts of them are dependent where they meet again",
            "a dense layer for each part",
        )
    if not isinstance(axis, int) or atoms != whole(axis, data.spatial[axis]):
        raise NotRecognisedError("a part of the examples", "a kernel is of two examples", "the whole batch")
    return axis


def pad(recogniser: Recogniser, node: Node) -> Data:
    """`pad` with zeros along spatial axes."""
    x, value = node.operands
    data = recogniser.settled(x)
    low, high = [0] * len(data.spatial), [0] * len(data.spatial)
    layout = list(data.layout)
    if value.number != 0:
        raise NotRecognisedError("a padding with other numbers than zero", "it has no layer", "zeros")
    for i, (before, after, between) in enumerate(node.options["padding_config"]):
        if before or after or between:
            axis = _axis(data.layout[i], data)
            if min(before, after) < 0 or between:
                raise NotRecognisedError("a padding within or that cuts", "it has no layer", "a slice, or zeros around")
            low[axis], high[axis], layout[i] = before, after, whole(axis, node.shape[i])
    made = recogniser.writer.append(Pad(tuple(low), tuple(high)), (data.value,), node.place)  # type: ignore[arg-type]
    return made.with_layout(tuple(layout))
