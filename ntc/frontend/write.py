"""Networks as text of the language that reads as if somebody had written it: what occurs again has a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import sqrt
from typing import Any

from ntc.errors import UnsupportedError
from ntc.frontend.builtins import BUILTINS
from ntc.frontend.elaborate import read_graph
from ntc.frontend.terms import (
    REQUIRED,
    Call,
    Definition,
    Series,
    Variable,
    abstracted,
    calls,
    is_pipe,
    mapped,
    rows,
    skeleton,
    with_row,
)
from ntc.frontend.unbuild import Branches, Item, One, canonical, repeated, series
from ntc.frontend.values import CONSTANTS
from ntc.ir.construct import literal, parameters, required
from ntc.ir.graph import Graph
from ntc.ir.ops import TENSOR_OPS, AffineLayer
from ntc.ir.types import TensorType

WIDTH = 110
"""Columns of a line."""

LEAST = 3
"""Layers with weights of one kind from which on what they share is written once."""


def model_text(graph: Graph, name: str | None = None, comment: str = "") -> str:
    """A model file of a network of one input and one output, which reads back to the same network.

    Raises UnsupportedError for what the language cannot say: branches that are not nested, functions of Python.
    """
    if graph.holds_functions:
        raise UnsupportedError("a nonlinearity that is given as a function of Python is not written as text")
    layers, definitions = _named(_terms(series(graph)))
    type_ = graph.inputs[0].type
    assert isinstance(type_, TensorType)
    source = Call("input", tuple(("", size) for size in (*type_.spatial, type_.channels)))
    writer = _Writer({x.name: x.parameters for x in definitions})
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    lines += [text for x in definitions for text in ("", writer.definition(x))]
    lines += ["", f"model {name or graph.name} =", "  " + writer.pipe([source, *_repeated(layers)], 2, True)]
    text = "\n".join(lines).lstrip("\n") + "\n"
    if canonical(read_graph(text)) != canonical(graph):
        raise UnsupportedError("the network that is read back is another: the language cannot say what is in it")
    return text


def _terms(items: Sequence[Item]) -> Series:
    """The calls of layers, with all their parameters."""
    found = []
    for item in items:
        if isinstance(item, One):
            found.append(
                Call(item.op.name, tuple((p.name, getattr(item.op, p.name)) for p in parameters(type(item.op))))
            )
        elif isinstance(item, Branches):
            own = tuple((p.name, getattr(item.op, p.name)) for p in parameters(type(item.op)))
            found.append(Call(item.op.name, (*(("", _terms(x)) for x in item.branches), *own)))
        else:
            found.append(Call("repeat", (("", item.count), ("", _terms(item.body)))))
    return Series(found)


def _named(layers: Series) -> tuple[Series, list[Definition]]:
    """The layers with names for what occurs again, and the definitions of these: layers with weights, then branches."""
    definitions: list[Definition] = []
    layers = _with_normalisation(layers, definitions)
    kinds = [name for name, op in TENSOR_OPS.items() if issubclass(op, AffineLayer)]
    layers = _with_names(layers, kinds, LEAST, definitions)
    joins = [name for name, op in TENSOR_OPS.items() if op.arity is None]
    return _with_names(layers, joins, 2, definitions), definitions


def _with_normalisation(layers: Series, definitions: list[Definition]) -> Series:
    """The same with the layers in a row that begin with a normalisation, and that occur most, as one."""
    counts: Counter[Series] = Counter()
    for row in rows(layers):
        for i, call in enumerate(row):
            if call.name in ("layer_norm", "batch_norm"):
                end = next((j for j in range(i, len(row)) if not _is_plain(row[j])), len(row))
                counts.update(Series(row[i:j]) for j in range(i + 2, end + 1))
    if not counts:
        return layers
    row = max(counts, key=lambda x: ((counts[x] - 1) * (len(x) - 1), len(x)))
    if counts[row] < LEAST:
        return layers
    definitions.append(Definition("normalized", {}, row))
    return with_row(layers, row, "normalized")


def _is_plain(call: Call) -> bool:
    """Whether a layer has no weights and no branches."""
    op = TENSOR_OPS.get(call.name)
    return op is not None and op.arity == 1 and not issubclass(op, AffineLayer)


def _with_names(layers: Series, kinds: Sequence[str], least: int, definitions: list[Definition]) -> Series:
    groups: dict[Any, list[Call]] = {}
    for call in calls(layers):
        if call.name in kinds:
            groups.setdefault(skeleton(call), []).append(call)
    for alike in groups.values():
        distinct = list(dict.fromkeys(alike))
        if len(alike) < least or (len(distinct) < 2 and len(alike) < least):
            continue
        own = {p.name: p.default for op in TENSOR_OPS.values() for p in parameters(op) if not required(p)}
        defaults = {k: own[k] for k in ("stride", "padding", "dilation", "bias")}
        defaults["with_bias"] = own["bias"]  # as `bias` is a layer
        name = _fresh(alike[0], definitions)
        definition, replaced = abstracted(name, distinct, defaults, {*BUILTINS, *CONSTANTS})
        definitions.append(definition)
        layers = mapped(layers, lambda call, replaced=replaced: replaced.get(call, call))  # type: ignore[misc]
    return layers


def _fresh(call: Call, definitions: Sequence[Definition]) -> str:
    """A name for a definition: what a person would call the block."""
    empty = any(is_pipe(value) and not value for _, value in call.arguments)
    branches = sum(is_pipe(value) for _, value in call.arguments)
    wanted = {"dense": "layer", "conv": "convolution", "sum": "residual" if empty else "projected"}.get(call.name)
    wanted = wanted or (f"{call.name}_block" if branches else f"{call.name}_layer")
    taken = {x.name for x in definitions}
    return next(x for x in (wanted, *(f"{wanted}{i}" for i in range(2, 1000))) if x not in taken)


def _repeated(layers: Series) -> Series:
    """What occurs several times in a row, once."""

    def inside(call: Call) -> Call:
        return Call(call.name, tuple((n, _repeated(v) if is_pipe(v) else v) for n, v in call.arguments))

    done: Any = tuple(inside(call) for call in layers)
    found: Any = repeated(done)  # which asks of items only whether they are equal
    return Series(x if isinstance(x, Call) else Call("repeat", (("", x.count), ("", Series(x.body)))) for x in found)


class _Writer:
    """Text of calls, of functions with these parameters."""

    def __init__(self, defined: Mapping[str, Mapping[str, Any]]) -> None:
        self._defaults = {
            name: {p.name: REQUIRED if required(p) else p.default for p in parameters(op)}
            for name, op in TENSOR_OPS.items()
        } | {name: dict(given) for name, given in defined.items()}

    def definition(self, definition: Definition) -> str:
        """`let name(a, b = 1) = body`, on two lines if it is long."""
        given = [x if value is REQUIRED else f"{x} = {_value(x, value)}" for x, value in definition.parameters.items()]
        head = f"let {definition.name}({', '.join(given)})" if given else f"let {definition.name}"
        body = definition.body if isinstance(definition.body, Series) else Series([definition.body])
        line = f"{head} = {self.pipe(body)}"
        return line if len(line) <= WIDTH else f"{head} =\n  {self.pipe(body, 2)}"

    def pipe(self, layers: Sequence[Call], indent: int = 0, broken: bool = False) -> str:
        """Layers in series, on a line each if they are long."""
        if not layers:
            return "identity"
        text = " |> ".join(map(self.call, layers))
        if not broken and len(text) + indent <= WIDTH:
            return text
        deeper = [self.call(x, indent + 3 if i else indent) for i, x in enumerate(layers)]
        return f"\n{' ' * indent}|> ".join(deeper)

    def call(self, call: Call, indent: int = 0) -> str:
        """One call, over several lines if it is long."""
        text = self._call(call, None)
        if len(text) + indent <= WIDTH or not any(is_pipe(value) for _, value in call.arguments):
            return text
        return self._call(call, indent + len(call.name) + 1)

    def _call(self, call: Call, indent: int | None) -> str:
        defaults, given, open_ = self._defaults.get(call.name, {}), [], True
        for name, value in call.arguments:
            if name and name in defaults and defaults[name] is not REQUIRED and defaults[name] == value:
                open_ = False
                continue
            if is_pipe(value):
                shown = self.pipe(value, indent or 0) if indent is not None else " |> ".join(map(self.call, value))
                given.append(shown or "identity")
            else:
                open_ = open_ and (not name or defaults.get(name, REQUIRED) is REQUIRED)
                given.append(_value(name, value) if open_ else f"{name} = {_value(name, value)}")
        separator = ", " if indent is None else ",\n" + " " * indent
        return f"{call.name}({separator.join(given)})" if given else call.name


def _value(name: str, value: Any) -> str:
    """A number, word, tuple or formula as text."""
    if isinstance(value, Variable):
        return value.name
    if name == "expression":  # of `activation`
        return str(value)
    if isinstance(value, float) and len(repr(value)) > 8:
        square = Fraction(value**2).limit_denominator(1000)
        if (
            0 < square.denominator * square.numerator < 10**5
            and value > 0
            and sqrt(square.numerator / square.denominator) == value
        ):
            return f"sqrt({square})".replace("/", " / ")
    return literal(value)
