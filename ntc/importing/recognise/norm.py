"""Normalisations and softmax, recognised by their values: there is no end of ways to write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ntc.importing.equations import evaluate
from ntc.importing.graph import Array, Node, above
from ntc.importing.layout import Atoms, flat, whole
from ntc.importing.problems import NotRecognisedError
from ntc.importing.recognise.steps import stretched
from ntc.importing.recogniser import Recogniser
from ntc.importing.values import Data
from ntc.ir.ops import LayerNorm

CLOSE = 1e-6
"""Relative to the largest entry: what is compared is computed in float64, of numbers that may have been float32."""


def norm(recogniser: Recogniser, node: Node) -> Data | None:
    """A layer normalisation, times a scale; None where there is no statistic of channels."""
    anchor = recogniser.anchors[node]
    region = [x for x in above(node, [anchor]) if not x.known]
    reductions = [x for x in region if x.name in ("reduce_sum", "reduce_max")]
    if not reductions or node.name not in ("mul", "div", "sub", "add"):
        return None
    factors = list(_factors(node))
    arrays = [x for x, _ in factors if x.known and x.number is None]
    for root in reversed(recogniser.between(node)):
        layout = recogniser.layouts[root]
        if len(layout) != len(node.shape) or root.shape != node.shape:
            continue
        op = _layer_norm(recogniser, root, factors, reductions)
        if op is not None:
            data = recogniser.settled(root)
            made = recogniser.writer.append(op, (data.value,), node.place)  # type: ignore[arg-type]
            made = made.with_layout(data.layout)
            for array, inverse in [f for f in factors if f[0] in arrays]:
                made = stretched(made, node, array, inverse)
            return made
    return None


def _factors(node: Node, inverse: bool = False) -> Iterator[tuple[Node, bool]]:
    """What a product is a product of, and whether it is divided by."""
    if node.name == "mul" and not node.known:
        for x in node.operands:
            yield from _factors(x, inverse)
    elif node.name == "div" and not node.known:
        yield from _factors(node.operands[0], inverse)
        yield from _factors(node.operands[1], not inverse)
    else:
        yield node, inverse


def computed(node: Node, root: Node, array: Array) -> Array:
    """The value of a node where that of `root` is this array."""
    known: dict[Node, Any] = {root: array}
    for x in above(node, [root]):
        if x.known:
            known[x] = x.array
        else:
            equation, index = x.step
            known[x] = evaluate(equation, [known[y] for y in x.operands])[index]
    return np.asarray(known[node], np.float64)


def _layer_norm(
    recogniser: Recogniser, root: Node, factors: list[tuple[Node, bool]], reductions: list[Node]
) -> LayerNorm | None:
    """The op that the product of the factors that are no arrays is, as a function of a value."""
    atoms = _summed(recogniser, reductions)
    data = recogniser.data[recogniser.anchors[root]]
    axes = tuple(i for i, own in enumerate(recogniser.layouts[root]) if own and set(own) <= set(atoms))
    if {x for i in axes for x in recogniser.layouts[root][i]} != set(atoms):
        return None

    def values(array: Array) -> Array:
        product = np.ones(())
        for x, inverse in factors:
            if not (x.known and x.number is None):
                own = computed(x, root, array)
                product = product / own if inverse else product * own
        return product

    eps = _found_eps(values, root.shape, axes)
    if eps is None:
        return None
    _check_statistics(atoms, data)
    spatial = tuple(sorted(int(x.axis) for x in atoms if x.axis != "channels"))
    every = len(spatial) == len(data.spatial) > 0
    return LayerNorm("all" if every else spatial or None, eps)


def _found_eps(values: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> float | None:
    """eps of (x - mean) / sqrt(variance + eps), if that is what a function computes."""
    generator = np.random.default_rng(0)

    def centred(x: Array) -> Array:
        return np.asarray(x - x.mean(axes, keepdims=True))

    try:
        with np.errstate(all="ignore"):
            small = 1e-9 * generator.normal(size=shape)
            eps = float(np.median((centred(small) / values(small)) ** 2 - small.var(axes, keepdims=True)))
            x = 0.5 + 2 * generator.normal(size=shape)
            if not np.isfinite(eps) or eps < 0:
                return None
            eps = float(f"{eps:.6g}")
            wanted = centred(x) / np.sqrt(x.var(axes, keepdims=True) + eps)
            found = values(x)
    except (ValueError, TypeError):
        return None
    return eps if found.shape == wanted.shape and np.allclose(found, wanted, CLOSE, CLOSE) else None


def _summed(recogniser: Recogniser, reductions: list[Node]) -> Atoms:
    """The atoms over which statistics are taken."""
    found: list[Any] = []
    for x in reductions:
        found += flat(tuple(recogniser.layouts[x.operands[0]][a] for a in x.options["axes"]))
    return tuple(dict.fromkeys(found))


def _check_statistics(atoms: Atoms, data: Data) -> None:
    """Raises NotRecognisedError unless statistics are those of all channels of an example, at positions or over all."""
    kinds = {x.axis for x in atoms}
    if "examples" in kinds:
        raise NotRecognisedError(
            "batch norm in training mode",
            "a kernel of two examples would depend on all others of the batch",
            "inference mode, with kept statistics, or layer norm",
        )
    if not set(whole("channels", data.channels)) <= set(atoms):
        raise NotRecognisedError(
            "a normalisation of single channels or of groups of them",
            "its statistics are random numbers where infinitely many channels would have a limit",
            "layer norm, which is group norm with one group",
        )


def softmax(recogniser: Recogniser, node: Node) -> Data | None:
    """Raises NotRecognisedError for a softmax, or its logarithm, over channels."""
    anchor = recogniser.anchors[node]
    region = [x for x in above(node, [anchor]) if not x.known]
    exponentials = [x for x in region if x.name in ("exp", "exp2")]
    reductions = [x for x in region if x.name == "reduce_sum"]
    if not exponentials or not reductions or node.shape != anchor.shape:
        return None
    axes = tuple(reductions[-1].options["axes"])
    x = np.random.default_rng(0).normal(size=node.shape)
    plain = np.exp(x) / np.exp(x).sum(axes, keepdims=True)
    found = computed(node, anchor, x)
    if any(np.allclose(found, y, CLOSE, CLOSE) for y in (plain, np.log(plain))):
        raise NotRecognisedError(
            "softmax outputs" if np.allclose(found, plain, CLOSE, CLOSE) else "log-softmax outputs",
            "it mixes as many channels as there are outputs, not infinitely many",
            "the logits: kernels regress them, and predictions become probabilities of the posterior",
        )
    return None


def total(recogniser: Recogniser, node: Node) -> Data | None:
    """A sum or a product of two functions of one value."""
    from ntc.importing.recognise.join import join

    values = [x for x in node.operands if not x.known]
    if node.name not in ("add", "add_any", "sub", "mul") or len(values) != 2:
        return None
    return join(recogniser, node)
