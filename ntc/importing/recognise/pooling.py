"""Means, sums and maxima: over windows, over positions, and those that have no limit."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from ntc.importing.graph import Node
from ntc.importing.layout import Atoms, Layout, flat, whole
from ntc.importing.problems import NotRecognisedError
from ntc.importing.recognise.conv import one_number, padded, spatial_axes
from ntc.importing.recogniser import Recogniser
from ntc.importing.values import Data, Draft
from ntc.ir.ops import GlobalSumPool, Mix, SumPool


def max_pooling() -> NotRecognisedError:
    """Max pooling, over a window or an image."""
    return NotRecognisedError(
        "max pooling",
        "the largest of several correlated Gaussians has an integral in as many dimensions as a window has entries",
        "average pooling, or a convolution with a stride",
    )


def window_sum(recogniser: Recogniser, node: Node) -> Data:
    """`reduce_window_sum`: sum pooling, or average pooling if it is divided by the size of the window."""
    options = node.options
    if set(options["base_dilation"]) != {1} or set(options["window_dilation"]) != {1}:
        raise NotRecognisedError("a dilated pooling", "there is no such layer", "a pooling without dilation")
    (x,) = node.operands
    data = recogniser.settled(x)
    window = options["window_dimensions"]
    slid = [i for i, atoms in enumerate(data.layout) if (atoms and isinstance(atoms[0].axis, int)) or window[i] > 1]
    examples = [i for i, atoms in enumerate(data.layout) if atoms and atoms[0].axis == "examples"]
    channels = [i for i, atoms in enumerate(data.layout) if atoms and atoms[0].axis == "channels"]
    units = [i for i in range(len(window)) if i not in (*slid, *examples, *channels)]
    channel = channels[0] if channels else units.pop()
    spec = (examples[0] if examples else -1, channel, *slid)
    axes = spatial_axes(data, spec)
    places = [slid[axes.index(axis)] for axis in range(len(axes))]
    sizes, strides = (tuple(options[k][i] for i in places) for k in ("window_dimensions", "window_strides"))
    pads = tuple(tuple(options["padding"][i]) for i in places)
    ones = (1,) * len(sizes)
    data, padding = padded(recogniser, node, data, sizes, strides, ones, pads, "valid")
    op = SumPool(one_number(sizes), None if strides == sizes else one_number(strides), padding)
    spatial = tuple(node.shape[i] for i in places)
    layout = list(recogniser.layouts[x])
    for axis, i in enumerate(places):
        layout[i] = whole(axis, spatial[axis])
    draft = Draft(op, (data.value,), {}, node.place, "sum")  # type: ignore[arg-type]
    return Data(tuple(layout), spatial, data.channels, None, draft)


def window_max(recogniser: Recogniser, node: Node) -> Data:
    """`reduce_window_max`."""
    raise max_pooling()


def reduction(recogniser: Recogniser, node: Node) -> Data | None:
    """A sum over positions; None for what is not a reduction."""
    if node.name not in ("reduce_sum", "reduce_max", "reduce_min"):
        return None
    (x,) = node.operands
    if all(x.shape[axis] == 1 for axis in node.options["axes"]):
        return recogniser.read(x).with_layout(recogniser.layouts[node])
    data = recogniser.settled(x)
    summed = flat(tuple(recogniser.layouts[x][axis] for axis in node.options["axes"]))
    kinds = {atom.axis for atom in summed}
    if not kinds:
        raise NotRecognisedError("a sum of copies", "it is a factor", "the factor")
    if "examples" in kinds:
        raise NotRecognisedError(
            "a statistic of the batch, as of batch norm in training mode",
            "a kernel of two examples would depend on all others of the batch",
            "inference mode, with kept statistics, or layer norm",
        )
    if "channels" in kinds:
        raise NotRecognisedError(
            "a sum or maximum over channels",
            "it is one random number where the next layer needs infinitely many channels",
            "a dense layer",
        )
    if node.name != "reduce_sum":
        raise max_pooling()
    layout = tuple(a for i, a in enumerate(recogniser.layouts[x]) if i not in node.options["axes"])
    axes = [int(atom.axis) for atom in summed]
    if len(axes) == len(data.spatial) and all(
        (x,) == whole(i, data.spatial[i]) for i, x in zip(axes, summed, strict=True)
    ):
        draft = Draft(GlobalSumPool(), (data.value,), {}, node.place, "sum")  # type: ignore[arg-type]
        return Data(layout, (), data.channels, None, draft)
    return _partial(recogniser, node, data, layout, axes)


def _partial(recogniser: Recogniser, node: Node, data: Data, layout: Layout, axes: list[int]) -> Data:
    """A sum over some of the spatial axes."""
    if any(whole(i, data.spatial[i]) not in recogniser.layouts[node.operands[0]] for i in axes):
        raise NotRecognisedError("a sum over parts of an axis", "there is no such layer", "a pooling over windows")
    positions = prod(data.spatial[i] for i in axes)
    op = Mix(tuple(sorted(axes)), (), ((1.0,) * positions,))
    made = recogniser.writer.append(op, (data.value,), node.place)  # type: ignore[arg-type]
    left = [i for i in range(len(data.spatial)) if i not in axes]
    renamed = {old: new for new, old in enumerate(left)}

    def moved(atoms: Atoms) -> Atoms:
        return tuple(replace(a, axis=renamed[a.axis]) if isinstance(a.axis, int) else a for a in atoms)

    return made.with_layout(tuple(moved(atoms) for atoms in layout))
