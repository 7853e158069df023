"""Graphs as JSON documents, for other programs."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from ntc.errors import NtcError, ParseError, UnsupportedError
from ntc.ir.construct import attributes, construct
from ntc.ir.given_function import GivenFunction
from ntc.ir.graph import MAX_OPS, Graph, Input, Node, Output
from ntc.ir.hyper import Hyper
from ntc.ir.kernel import KERNEL_OPS
from ntc.ir.op import Op
from ntc.ir.ops import TENSOR_OPS
from ntc.ir.typetext import parse_type

FORMAT = 1
"""Version of the documents; raised when an older reader would misread a newer document."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Value(_Strict):
    name: str
    type: str


class _Node(_Value):
    op: str
    operands: list[str]
    attributes: dict[str, JsonValue]


class _Output(_Strict):
    label: str
    value: str


class _Document(_Strict):
    format: Literal[1]
    kind: Literal["tensor", "kernel"]
    name: str
    inputs: list[_Value]
    nodes: list[_Node]
    outputs: list[_Output]


def to_json(graph: Graph, indent: int | None = None) -> str:
    """A JSON document that `from_json` turns back into an equal graph. Raises UnsupportedError for what is no data."""
    document = {
        "format": FORMAT,
        "kind": graph.kind,
        "name": graph.name,
        "inputs": [{"name": x.name, "type": str(x.type)} for x in graph.inputs],
        "nodes": [
            {
                "name": node.name,
                "op": node.op.name,
                "operands": list(node.operands),
                "attributes": {k: _encode(v) for k, v in attributes(node.op).items()},
                "type": str(node.type),
            }
            for node in graph.nodes
        ],
        "outputs": [{"label": x.label, "value": x.value} for x in graph.outputs],
    }
    return json.dumps(document, indent=indent, allow_nan=False)


def from_json(text: str) -> Graph:
    """The graph of a document; not verified. Raises ParseError."""
    try:
        document = _Document.model_validate_json(text)
        if len(document.nodes) > MAX_OPS:
            raise ParseError(f"the graph has more than {MAX_OPS} values")
        table: dict[str, Any] = dict(TENSOR_OPS if document.kind == "tensor" else KERNEL_OPS)
        return Graph(
            document.kind,
            document.name,
            tuple(Input(x.name, parse_type(x.type)) for x in document.inputs),
            tuple(_node(table, node) for node in document.nodes),
            tuple(Output(x.label, x.value) for x in document.outputs),
        )
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"])) or "document"
        raise ParseError(f"not a graph: {where}: {problem['msg']}") from None


def _node(table: dict[str, type[Op]], node: _Node) -> Node:
    given = {k: _decode(v) for k, v in node.attributes.items()}
    try:
        return Node(node.name, _make(table, node.op, given), tuple(node.operands), parse_type(node.type))
    except NtcError as error:
        error.notes += (f"at %{node.name}",)
        raise


def _make(table: dict[str, type[Op]], name: str, given: dict[str, object]) -> Op:
    if name not in table:
        raise ParseError(f"unknown op `{name}`")
    return construct(table[name], (), given)


def _encode(value: object) -> Any:
    if isinstance(value, Op):
        return {"op": value.name, "attributes": {k: _encode(v) for k, v in attributes(value).items()}}
    if isinstance(value, Hyper):
        return {"hyper": value.name, "value": value.value}
    if isinstance(value, GivenFunction):
        raise UnsupportedError(
            f"{value.name} is a function, and no data: the graph cannot be saved",
            hint="activation(formula) has integrals that can",
        )
    return [_encode(item) for item in value] if isinstance(value, tuple) else value


def _decode(value: Any) -> object:
    if isinstance(value, dict) and "hyper" in value:
        return _hyper(value)
    if isinstance(value, dict):
        if not isinstance(value.get("op"), str) or not isinstance(value.get("attributes"), dict):
            raise ParseError("a nested op has the members `op` and `attributes`")
        given = {k: _decode(v) for k, v in value["attributes"].items()}
        return _make(dict(TENSOR_OPS), value["op"], given)
    return tuple(map(_decode, value)) if isinstance(value, list) else value


def _hyper(members: dict[str, Any]) -> Hyper:
    if set(members) != {"hyper", "value"} or not isinstance(members["hyper"], str) or not members["hyper"]:
        raise ParseError("a hyperparameter has the members `hyper`, its name, and `value`")
    return Hyper(members["value"], members["hyper"])
