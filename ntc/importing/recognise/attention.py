"""Self-attention with scores divided by the number of key channels: products of values of the network."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ntc.importing.graph import Array, Node
from ntc.importing.layout import Atom, Atoms, Layout
from ntc.importing.problems import NotRecognisedError
from ntc.importing.recognise.norm import computed
from ntc.importing.recogniser import Recogniser
from ntc.importing.values import Data, Draft, Source
from ntc.ir.ops import Dense, SelfAttention
from ntc.ir.schema import Parameterization

CLOSE = 1e-6


@dataclass(frozen=True, eq=False)
class Scores(Data):
    """Products of queries and keys: axes of heads, of positions of queries, and of keys."""

    keys: Source | None = None
    below: Data | None = None
    row: Atoms = ()


@dataclass(frozen=True, eq=False)
class Heads(Data):
    """Means of values over positions, of every head."""

    scores: Scores | None = None
    values: Source | None = None
    factor: float = 1.0


def refused() -> NotRecognisedError:
    """Products of values that are no attention with a limit."""
    return NotRecognisedError(
        "a product of two values of the network",
        "of such products only self-attention is read, whose scores are those of keys with themselves, divided by the "
        "number of key channels, behind a softmax, with no biases for keys and values (Hron et al. 2020)",
        "queries that share the weights of keys; or Monte Carlo",
    )


def product(recogniser: Recogniser, node: Node) -> Data:
    """A product of two values: scores, or means of values by them."""
    for i, x in enumerate(node.operands):
        anchor = recogniser.data.get(recogniser.anchors[x])
        if isinstance(anchor, Scores):
            return _means(recogniser, node, anchor, i)
    first, second = (_projected(recogniser, x) for x in node.operands)
    if first.node is not second.node and not np.array_equal(first.values, second.values):
        raise refused()
    x = node.operands[0]
    layout = recogniser.layouts[x]
    summed, batch = node.options["dimension_numbers"]
    (axis,), heads = summed[0], [a for a in batch[0] if not _is(layout[a], "examples")]
    row = [a for a in range(len(layout)) if a not in (*batch[0], axis)]
    if len(heads) > 1 or len(row) != 1 or any(not isinstance(atom.axis, int) for atom in layout[row[0]]):
        raise refused()
    count, positions = prod(x.shape[a] for a in heads), x.shape[row[0]]
    found = tuple(layout[a] if _is(layout[a], "examples") else _one("heads", count) for a in batch[0])
    made = (*found, _one("queries", positions), _one("keys", positions))
    below = _below(recogniser, recogniser.data[_open(recogniser, x)])
    keys = Source(first.node, lambda w: first.arranged(w).reshape(below.channels, count, -1).transpose(1, 0, 2))
    return Scores(made, (count, positions), positions, keys=keys, below=below, row=layout[row[0]])


def _is(atoms: Atoms, axis: str) -> bool:
    return bool(atoms) and atoms[0].axis == axis


def _one(axis: str, size: int) -> Atoms:
    return (Atom(axis, size),) if size > 1 else ()  # type: ignore[arg-type]  # an axis of no tensor


def _open(recogniser: Recogniser, node: Node) -> Node:
    """The layer that a value is, which is not written yet. Raises NotRecognisedError."""
    data = recogniser.data.get(node)
    if data is None or data.draft is None or data.steps or not isinstance(data.draft.op, Dense):
        raise refused()
    return node


def _projected(recogniser: Recogniser, node: Node) -> Source:
    """The weights of the dense layer, without a bias, that a value is."""
    draft = recogniser.data[_open(recogniser, node)].draft
    assert draft is not None
    return draft.weights["w"]


def _below(recogniser: Recogniser, data: Data) -> Data:
    """What a dense layer reads."""
    assert isinstance(data.draft, Draft)
    type_ = recogniser.writer.builder.tensor_of(data.draft.operands[0])
    return Data(data.layout, type_.spatial, type_.channels, data.draft.operands[0])


def _means(recogniser: Recogniser, node: Node, scores: Scores, side: int) -> Heads:
    """A product of weights that are a softmax of scores, with values."""
    soft, v = node.operands[side], node.operands[1 - side]
    factor = _softmax(recogniser, soft)
    source = _projected(recogniser, v)
    below = _below(recogniser, recogniser.data[_open(recogniser, v)])
    assert scores.below is not None
    if below.value != scores.below.value:
        raise refused()
    summed, batch = node.options["dimension_numbers"]
    weights, values = recogniser.layouts[soft], recogniser.layouts[v]
    (keys,), (positions,) = summed[side], summed[1 - side]
    if not _is(weights[keys], "keys") or values[positions] != scores.row:
        raise refused()
    free = [a for a in range(len(values)) if a not in (*batch[1 - side], positions)]
    width = prod(v.shape[a] for a in free)
    left = [a for a in range(len(weights)) if a not in (*batch[side], keys)]
    own: Layout = tuple(scores.row if _is(weights[a], "queries") else weights[a] for a in left)
    rest: Layout = tuple(_one("values", width) for _ in free)
    layout = (*(weights[a] for a in batch[side]), *((*own, *rest) if side == 0 else (*rest, *own)))
    heads = scores.spatial[0]
    arranged = Source(source.node, lambda w: source.arranged(w).reshape(below.channels, heads, -1).transpose(1, 0, 2))
    return Heads(layout, below.spatial, heads * width, scores=scores, values=arranged, factor=factor)


def _softmax(recogniser: Recogniser, node: Node) -> float:
    """The number c of softmax(c scores), if that is what a value computes. Raises NotRecognisedError."""
    anchor = recogniser.anchors[node]
    axis = next((i for i, atoms in enumerate(recogniser.layouts[node]) if _is(atoms, "keys")), None)
    if axis is None or node.shape != anchor.shape:
        raise refused()
    x = np.random.default_rng(0).normal(size=anchor.shape)
    found = np.log(np.maximum(computed(node, anchor, x), 1e-300))
    slopes = np.diff(found, axis=axis) / np.diff(x, axis=axis)
    if not np.allclose(slopes, slopes.flat[0], CLOSE, CLOSE):
        raise refused()
    if not np.allclose(np.exp(found).sum(axis), 1, CLOSE, CLOSE):
        raise refused()
    return float(slopes.flat[0])


def attended(recogniser: Recogniser, node: Node, data: Heads, weights: Source, features: int) -> Data:
    """The output of attention: what all heads put out times weights (heads, values, features)."""
    scores = data.scores
    assert scores is not None
    assert scores.keys is not None
    assert scores.below is not None
    assert data.values is not None
    parameterization: Parameterization = recogniser.writer.parameterization
    if parameterization != "ntk":
        raise NotRecognisedError(
            "self-attention in the standard parameterization",
            "its NTK has a rule in the ntk parameterization alone",
            'parameterization="ntk"',
        )
    heads, width = scores.spatial[0], data.channels // scores.spatial[0]
    size = scores.keys.values.shape[-1]
    n, writer = scores.below.channels, recogniser.writer
    key, value = (writer.scale_of(x, n, heads * size) for x in (scores.keys, data.values))
    out = writer.scale_of(weights, heads * width, features)
    query = float(f"{data.factor * size * key.value:.12g}")
    op = SelfAttention(
        features,
        size,
        width,
        heads,
        w_key_std=key.value,
        w_query_std=query,
        w_value_std=value.value,
        w_out_std=out.value,
    )
    keys = scores.keys

    def unit(w: Array) -> Array:
        return keys.arranged(w) * (1 / key.value)

    arrays = {"key": Source(keys.node, unit), "value": data.values, "out": weights}
    return writer.attention(op, str(scores.below.value), arrays, {"key": key, "value": value, "out": out}, node.place)
