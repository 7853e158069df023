"""Arithmetic of the entries of one value: scales, nonlinearities by name, formulas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ntc.backends.jax.formulas.scalar_program import ENTRYWISE, entry
from ntc.errors import NtcError
from ntc.importing.graph import Node
from ntc.importing.problems import NotRecognisedError
from ntc.importing.recogniser import Recogniser
from ntc.importing.values import Data, Source, Stretch
from ntc.ir.construct import construct
from ntc.ir.expression import Expression, X, number, show
from ntc.ir.op import TensorOp
from ntc.ir.ops import TENSOR_OPS, CustomActivation, Identity, Polynomial


def nonlinearity(recogniser: Recogniser, node: Node) -> Data | None:
    """A function of every entry of one value; None where there are several, or arrays."""
    if node.name not in ENTRYWISE:
        return None
    tried = (function_of(recogniser, node, stop) for stop in recogniser.between(node))
    found = next((x for x in tried if x is not None), None)
    if found is None:
        return None
    below, expression = found
    op = _named(expression)
    factor = _factor(op)
    shared = [x for x in recogniser.between(node) if x.uses > 1 and x is not below and x not in recogniser.data]
    if factor is not None and shared:  # what others read as well is written once
        recogniser.settled(shared[-1])
        return nonlinearity(recogniser, node)
    if factor is not None:
        data = recogniser.read(below)
        data = replace(data, layout=recogniser.layouts[below])
        return _stretched(data, factor, node)
    data = recogniser.settled(below)
    assert data.value is not None
    made = recogniser.writer.append(op, (data.value,), node.place)
    return made.with_layout(data.layout)


def function_of(recogniser: Recogniser, node: Node, stop: Node) -> tuple[Node, Expression] | None:
    """The node, `stop` or one above it, and the function of its entries, that a node is; None if there is none."""
    leaves: dict[Node, Expression] = {}
    known: dict[Node, Expression | float] = {}
    tasks = [(node, False)]
    while tasks:
        current, ready = tasks.pop()
        if current in known:
            continue
        if current.known:
            value = current.number
            if value is None:
                return None
            known[current] = value
        elif current is not node and (current is stop or current in recogniser.data):
            leaves[current] = known[current] = X
        elif current.name not in ENTRYWISE:
            return None
        elif ready:
            known[current] = _entry(current, [known[x] for x in current.operands])
        else:
            tasks.append((current, True))
            tasks += [(x, False) for x in current.operands]
        if len(leaves) > 1:
            return None
    result = known[node]
    (below,) = leaves
    return below, result if isinstance(result, Expression) else number(result)


def _entry(node: Node, operands: list[Expression | float]) -> Expression | float:
    try:
        found = entry(node.step[0], operands)
    except NtcError as error:
        raise NotRecognisedError(
            f"{node.name} of every entry", error.message.removeprefix("activation: "), error.hint or "a nonlinearity"
        ) from error
    return found.value if found.constant else found


def _named(expression: Expression) -> TensorOp:
    """The layer that a function is. Raises NotRecognisedError for what has no integrals."""
    if expression.constant:
        raise NotRecognisedError("a constant in place of a value", "no example changes it", "a function of x")
    if expression == X:
        return Identity()
    try:
        op = construct(CustomActivation, (show(expression),), {})
        form = op.form
    except NtcError as error:
        raise NotRecognisedError(
            f"activation({show(expression)[:60]})", error.message.removeprefix("activation: "), "another nonlinearity"
        ) from error
    return form if type(form) in TENSOR_OPS.values() else op


def _factor(op: TensorOp) -> float | None:
    """The number that a function multiplies by, if that is all."""
    if isinstance(op, Identity):
        return 1.0
    if isinstance(op, Polynomial) and len(op.coefficients) == 2 and op.coefficients[0] == 0:
        return op.coefficients[1]
    return None


def _stretched(data: Data, factor: float, node: Node) -> Data:
    if factor == 1:
        return data
    constant = Node("constant", (), "constant", (), node.place, array=np.float64(factor))
    source = Source(constant, lambda x: np.full(data.channels, float(x)))
    return replace(data, steps=(*data.steps, Stretch(source, False, node.place)))
