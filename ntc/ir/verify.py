"""The invariants of both graphs, checked after every pass in tests and under `--verify`."""

from __future__ import annotations

import re

from ntc.errors import NtcError, VerifyError
from ntc.ir.build import TensorGraphBuilder
from ntc.ir.graph import RESULT, Graph, Node, kernel_op, tensor_op
from ntc.ir.types import ArrayType, CovarianceType, TensorType

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VALUE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
"""What the IR text can name; `text.lark` reads no more."""


def verify(graph: Graph) -> Graph:
    """Returns `graph` if it is well formed, else raises VerifyError with the node at fault.

    Well formed: names are defined once and before use, ops belong to the graph's kind, every type is the
    one its op gives, and of a covariance every entry that a later op reads is tracked.
    """
    _check_names(graph)
    _check_hypers(graph)
    check = _check_tensor_graph if graph.kind == "tensor" else _check_kernel_graph
    check(graph)
    return graph


def _check_names(graph: Graph) -> None:
    defined: set[str] = set()
    labels = [output.label for output in graph.outputs]
    for name in (graph.name, *(label.replace(".", "", graph.kind == "kernel") for label in labels)):
        if not _NAME.fullmatch(name):
            raise VerifyError(f"`{name}` is not a name: letters, digits and underscores")
    for value in graph.values:
        if not _VALUE.fullmatch(value.name):
            raise VerifyError(f"`{value.name}` is not a name of a value: letters, digits, underscores and dots")
        for operand in value.operands if isinstance(value, Node) else ():
            if operand not in defined:
                raise VerifyError(f"%{value.name} reads %{operand}, which is not defined before it")
        if value.name in defined:
            raise VerifyError(f"%{value.name} is defined twice")
        defined.add(value.name)
    if not labels or len(set(labels)) != len(labels):
        raise VerifyError("a graph returns one or more values under different labels")
    for output in graph.outputs:
        if output.value not in defined:
            raise VerifyError(f"output {output.label} is %{output.value}, which is not defined")


def _check_hypers(graph: Graph) -> None:
    try:
        unnamed = "" in graph.hypers
    except NtcError as error:
        raise VerifyError(error.message, hint=error.hint) from error
    if unnamed:
        raise VerifyError("a hyperparameter has no name")


def _check_tensor_graph(graph: Graph) -> None:
    """Writes the graph again with the builder, which checks shapes, distributions and independence."""
    if not graph.inputs or not all(isinstance(x.type, TensorType) for x in graph.inputs):
        raise VerifyError("a tensor graph has one or more inputs, which are tensors")
    if graph.outputs[-1].label != RESULT:
        raise VerifyError(f"the last output of a tensor graph is its result, called {RESULT}")
    types = {x.name: graph.tensor_of(x.name) for x in graph.inputs}
    name, first = next(iter(types.items()))
    builder = TensorGraphBuilder(first.spatial, first.channels, name=name)
    names = {x: builder.add_input(type_.spatial, type_.channels, None, x) for x, type_ in types.items()}
    for node in graph.nodes:
        try:
            names[node.name] = builder.append(
                tensor_op(node), [names[x] for x in node.operands], node.location, node.name
            )
        except NtcError as error:
            raise VerifyError(f"%{node.name}: {error.message}", node.location, error.hint, error.notes) from error
    rebuilt = builder.finish(graph.name, names[graph.outputs[-1].value])
    for value, again in zip(graph.values, rebuilt.values, strict=True):
        if value.type != again.type:
            raise VerifyError(f"%{value.name} has type {value.type}, its op gives {again.type}")


def _check_kernel_graph(graph: Graph) -> None:
    batches = {x.type.batch for x in graph.inputs if isinstance(x.type, ArrayType)}
    if not 1 <= len(batches) == len(graph.inputs) <= 2:
        raise VerifyError("a kernel graph has one or two inputs, arrays of different batches")
    for node in graph.nodes:
        if not batches.issuperset(graph.covariance_of(node.name).batch):
            raise VerifyError(f"%{node.name}: {node.type} is of a batch that no input has", node.location)
        try:
            _check_kernel_node(graph, node)
        except NtcError as error:
            raise VerifyError(f"%{node.name}: {error.message}", node.location) from error
    for output in graph.outputs:
        type_ = graph.covariance_of(output.value)
        if type_.with_moduli(type_.spatial) != CovarianceType.dense(type_.dtype, type_.batch, type_.spatial):
            raise VerifyError(f"output %{output.value} does not track every entry: {type_}")


def _check_kernel_node(graph: Graph, node: Node) -> None:
    op = kernel_op(node)
    operand_types = [graph.type_of(x) for x in node.operands]
    type_ = graph.covariance_of(node.name)
    least, most = op.arity
    if not least <= len(operand_types) <= most:
        raise VerifyError(f"{op.name} takes {least} to {most} operands, got {len(operand_types)}")
    axes = len(type_.spatial)
    if not len(type_.offsets) == len(type_.moduli) == axes:
        raise VerifyError(f"its type has offsets for {len(type_.offsets)} of {axes} axes")
    if any(modulus < size for modulus, size in zip(type_.moduli, type_.spatial, strict=True)):
        raise VerifyError(f"{type_} has a modulus below its size")
    dense = op.result(*operand_types)
    same_rank = len(dense.spatial) == axes
    covariances = graph.covariances(node.operands)
    dense = dense.with_form(op.form(*covariances))
    _check_type(node, dense.with_offsets(type_.offsets).with_moduli(type_.moduli) if same_rank else dense)
    demands = op.demand(type_.offsets, *covariances)
    for operand, demand in zip(covariances, demands, strict=True):
        for tracked, needed in zip(operand.offsets, demand, strict=True):
            if not tracked.covers(needed):
                raise VerifyError(f"{op.name} reads offsets {needed} of {operand}, which does not track them")


def _check_type(node: Node, expected: object) -> None:
    if node.type != expected:
        raise VerifyError(f"%{node.name} has type {node.type}, its op gives {expected}")
