"""Graphs from their text; the inverse of `show`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

from lark import Lark, Token, Transformer, UnexpectedInput, v_args
from lark.exceptions import VisitError

from ntc.errors import LimitError, Location, NtcError, ParseError, Source
from ntc.ir.activation import Activation
from ntc.ir.construct import construct
from ntc.ir.graph import MAX_OPS, Graph, Input, Node, Output
from ntc.ir.hyper import Hyper
from ntc.ir.kernel import KERNEL_OPS
from ntc.ir.names import did_you_mean
from ntc.ir.op import Op
from ntc.ir.ops import TENSOR_OPS
from ntc.ir.typetext import parse_type

_NONLINEARITIES = {name: op for name, op in TENSOR_OPS.items() if issubclass(op, Activation)}
"""The only ops that are parameters of other ops."""

MAX_BYTES = 64 * 2**20
"""Longest IR text that is read."""


def parse_graph(text: str, name: str = "<text>") -> Graph:
    """The graph that prints as `text`; not verified. Raises ParseError or LimitError with a location."""
    return cast(Graph, _read(text, name, "start"))


def parse_passes(text: str, name: str = "<passes>") -> list[tuple[str, dict[str, Any]]]:
    """Names and options of a pipeline such as `translate{between=self}, cse`. Raises ParseError."""
    return cast(list[tuple[str, dict[str, Any]]], _read(text, name, "passes"))


def _read(text: str, name: str, start: str) -> Any:
    if len(text) > MAX_BYTES:
        raise LimitError(f"{name} is longer than {MAX_BYTES} characters")
    source = Source(name, text)
    try:
        return _Graphs(source).transform(_grammar().parse(text, start))
    except UnexpectedInput as error:
        raise _syntax_error(source, error) from None
    except VisitError as error:
        if isinstance(error.orig_exc, NtcError):
            raise error.orig_exc from None
        if isinstance(error.orig_exc, RecursionError):
            raise LimitError(f"{name} nests too deeply") from None
        raise
    except RecursionError:
        raise LimitError(f"{name} nests too deeply") from None


@lru_cache
def _grammar() -> Lark:
    path = Path(__file__).with_name("text.lark")
    return Lark(path.read_text(), parser="lalr", maybe_placeholders=True, start=["start", "passes"])


_WORDS = {
    "KIND": "`tensor`, `kernel`",
    "NAME": "a name",
    "VALUE": "a value such as %x",
    "TYPE": "a type",
    "NUMBER": "a number",
    "STRING": "an expression in quotes",
    "$END": "the end",
}


def _spelling(terminal: str) -> str:
    return next(f"`{t.pattern.value}`" for t in _grammar().terminals if t.name == terminal)


def _syntax_error(source: Source, error: UnexpectedInput) -> ParseError:
    token = getattr(error, "token", None)
    length = len(token) if isinstance(token, Token) and token else 1
    location = Location(source, max(error.line, 1), max(error.column, 1), length)
    found = repr(str(token)) if isinstance(token, Token) and token else "this character"
    terminals = getattr(error, "accepts", None) or getattr(error, "expected", None) or ()
    expected = sorted(_WORDS.get(name) or _spelling(name) for name in terminals)
    hint = f"expected one of {', '.join(expected)}" if expected else None
    return ParseError(f"{found} is not expected here", location, hint=hint)


@v_args(inline=True)
class _Graphs(Transformer[Token, Any]):
    """Lark tree to graph, bottom up."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source

    def _at(self, token: Token) -> Location:
        return Location(self._source, token.line or 1, token.column or 1, len(token))

    def start(self, kind: Token, name: Token, inputs: Any, outputs: Any, *nodes: Any) -> Graph:
        if len(nodes) > MAX_OPS:
            raise LimitError(f"{self._source.name} has more than {MAX_OPS} values")
        table = TENSOR_OPS if kind == "tensor" else KERNEL_OPS
        built = tuple(self._node(table, *parts) for parts in nodes)
        return Graph(cast(Literal["tensor", "kernel"], str(kind)), str(name), inputs or (), built, outputs)

    def _node(self, table: Any, name: Token, op: Token, operands: Any, given: Any, type_: Token) -> Node:
        location = self._at(op)
        made = _op(table, str(op), self._once(given, op), location)
        return Node(str(name)[1:], made, operands, self._type(type_), location)

    def _once(self, given: Any, owner: Token) -> dict[str, Any]:
        values = dict(given or ())
        if len(values) < len(given or ()):
            raise ParseError(f"{owner}: a parameter is given twice", self._at(owner))
        return values

    def _type(self, token: Token) -> Any:
        try:
            return parse_type(str(token))
        except ParseError as error:
            error.location = self._at(token)
            raise

    def passes(self, *items: Any) -> list[Any]:
        return [item for item in items if item is not None]

    def pass_(self, name: Token, given: Any) -> tuple[str, dict[str, Any]]:
        return str(name), self._once(given, name)

    def inputs(self, *items: Input) -> tuple[Input, ...]:
        return items

    def input(self, name: Token, type_: Token) -> Input:
        return Input(str(name)[1:], self._type(type_))

    def outputs(self, *items: Output) -> tuple[Output, ...]:
        return items

    def output(self, label: Token, value: Token) -> Output:
        return Output(str(label), str(value)[1:])

    def node(self, *parts: Any) -> tuple[Any, ...]:
        return parts

    def operands(self, *names: Token | None) -> tuple[str, ...]:
        return tuple(str(name)[1:] for name in names if name is not None)

    def attributes(self, *items: Any) -> tuple[Any, ...]:
        return items

    def attribute(self, name: Token, value: Any) -> tuple[str, Any]:
        return str(name), value

    def number(self, token: Token) -> int | float:
        text = str(token)
        if len(text) > 40:
            raise ParseError("a number has at most 40 digits", self._at(token))
        return int(text) if text.lstrip("+-").isdigit() else float(text)

    def hyper(self, value: Token, name: Token) -> Hyper:
        try:
            return Hyper(float(self.number(value)), str(name))
        except NtcError as error:
            error.location = error.location or self._at(value)
            raise

    def string(self, token: Token) -> str:
        return str(token)[1:-1]

    def word(self, token: Token, *given: Any) -> Any:
        items = [item for item in given if item is not None]
        constants: dict[str, Any] = {"true": True, "false": False, "none": None}
        if not items and token in constants:
            return constants[token]
        if items or token in _NONLINEARITIES:
            return _op(_NONLINEARITIES, str(token), dict(items), self._at(token))
        return str(token)

    def tuple(self, *items: Any) -> Any:
        return items


def _op(table: Mapping[str, type[Op]], name: str, given: dict[str, Any], location: Location) -> Op:
    if name not in table:
        raise ParseError(f"unknown op `{name}`", location, hint=did_you_mean(name, list(table)))
    try:
        return construct(table[name], (), given)
    except NtcError as error:
        error.location = location
        raise
