"""Several values of the network made one: sums, products, side by side."""

from __future__ import annotations

from ntc.importing.graph import Node
from ntc.importing.layout import whole
from ntc.importing.problems import NotRecognisedError
from ntc.importing.recognise.positions import in_a_row, token
from ntc.importing.recogniser import Recogniser
from ntc.importing.values import Data
from ntc.ir.op import TensorOp
from ntc.ir.ops import Concat, ConcatSpatial, Product, Scale, Sum


def join(recogniser: Recogniser, node: Node) -> Data:
    """Arithmetic of two values of the network that are functions of different layers."""
    values = [x for x in node.operands if not x.known]
    ranks = {len(recogniser.settled(x).spatial) for x in values}
    for x in values if min(ranks) == 1 < max(ranks) else ():  # one has its positions in a row
        recogniser.data[x] = in_a_row(recogniser, node, recogniser.data[x])
        recogniser.layouts[x] = recogniser.data[x].layout
    if len({recogniser.layouts[x] for x in values}) > 1:
        raise NotRecognisedError(
            "arithmetic of a value and a statistic of it, or of values that lie differently",
            "a number that is the same for all positions of a channel is random, as in instance norm or a gate",
            "layer norm; values of one shape",
            lost=True,
        )
    if node.name in ("add", "add_any"):
        return together(recogniser, Sum(), node, node.operands)
    if node.name == "sub" and not any(x.known for x in node.operands):
        first, second = node.operands
        minus = recogniser.writer.append(Scale(-1.0), (written(recogniser, second),), node.place)
        return _joined(recogniser, Sum(), node, (written(recogniser, first), minus.value), first)  # type: ignore[arg-type]
    if node.name == "mul":
        return together(recogniser, Product(), node, node.operands)
    raise NotRecognisedError(
        f"{node.name} of several values",
        "only sums and products of different layers have a rule",
        "a sum or a product",
    )


def written(recogniser: Recogniser, node: Node) -> str:
    """The name of the value of a node."""
    value = recogniser.settled(node).value
    assert value is not None
    return value


def together(recogniser: Recogniser, op: TensorOp, node: Node, operands: tuple[Node, ...]) -> Data:
    """The op on the values of some nodes."""
    values = tuple(written(recogniser, x) for x in operands)
    return _joined(recogniser, op, node, values, operands[0])


def _joined(recogniser: Recogniser, op: TensorOp, node: Node, values: tuple[str, ...], like: Node) -> Data:
    made = recogniser.writer.append(op, values, node.place)
    return made.with_layout(recogniser.layouts[like])


def concatenate(recogniser: Recogniser, node: Node) -> Data:
    """`concatenate` along channels or along a spatial axis."""
    axis = node.options["dimension"]
    known = [x for x in node.operands if x.known]
    if known and len(node.operands) == 2:
        (other,) = (x for x in node.operands if not x.known)
        return token(recogniser, node, known[0], recogniser.settled(other), axis, node.operands[1].known)
    if known:
        raise NotRecognisedError("constants beside values of the network", "they have no layer", "a class token")
    datas = [recogniser.settled(x) for x in node.operands]
    kinds = {atoms[0].axis for x in datas for atoms in [x.layout[axis]] if atoms}
    if len(kinds) != 1:
        raise NotRecognisedError("concatenate", "the values lie along different axes of the network", "one axis")
    (kind,) = kinds
    if kind == "examples":
        raise NotRecognisedError("concatenate along examples", "a kernel is of two examples", "one batch")
    op = Concat() if kind == "channels" else ConcatSpatial(int(kind))
    made = together(recogniser, op, node, node.operands)
    layout = list(datas[0].layout)
    size = made.channels if kind == "channels" else made.spatial[int(kind)]
    layout[axis] = whole(kind, size)
    if any(x.layout[:axis] != datas[0].layout[:axis] for x in datas):
        raise NotRecognisedError("concatenate", "the values lie along different axes", "one order of axes")
    return made.with_layout(tuple(layout))
