"""Model files to networks: which model, with which parameters, and every name checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from ntc.errors import ElaborationError, Location, Source
from ntc.files import decode, name_of, read_bytes
from ntc.frontend import ast, formula
from ntc.frontend.builtins import BUILTINS
from ntc.frontend.evaluate import Evaluator, signature
from ntc.frontend.layers import Network
from ntc.frontend.parse import MAX_BYTES, parse_expression, parse_file
from ntc.frontend.values import CONSTANTS, Value, describe, suggestion, words_of
from ntc.ir.graph import Graph
from ntc.ir.ops import TENSOR_OPS


def load_graph(path: str | Path, model: str | None = None, parameters: Mapping[str, str] | None = None) -> Graph:
    """The tensor graph of a model file (UTF-8, at most 1 MiB); `-` is standard input. See `read_network`.

    Raises also InputError if the file is not text, OSError if it cannot be read.
    """
    text = decode(read_bytes(path, MAX_BYTES), path)
    return read_graph(text, name_of(path), model, parameters)


def read_graph(
    text: str, name: str = "<text>", model: str | None = None, parameters: Mapping[str, str] | None = None
) -> Graph:
    """The tensor graph of a model in the language. See `read_network`. Raises also what `Network.graph` raises."""
    definitions = _definitions(parse_file(Source(name, text)))
    chosen = _choose(definitions, name, model)
    return _network(definitions, chosen, parameters or {}).graph(chosen.name)


def read_network(
    text: str, name: str = "<text>", model: str | None = None, parameters: Mapping[str, str] | None = None
) -> Network:
    """The network of a model in the language.

    Args:
      text: a model file.
      name: what to call it in messages.
      model: which of its models; needed if there are several.
      parameters: values for the model's parameters, each as text of the language.

    Raises:
      ParseError, ElaborationError, ParameterError, LimitError: with the place in the text.
    """
    definitions = _definitions(parse_file(Source(name, text)))
    return _network(definitions, _choose(definitions, name, model), parameters or {})


def list_models(text: str, name: str = "<text>") -> list[str]:
    """The models of a file with their parameters: `wrn(n = 4, k = 1)`. Raises as `read_network`."""
    definitions = _definitions(parse_file(Source(name, text)))
    return [signature(x) for x in definitions.values() if x.kind == "model"]


def _network(
    definitions: Mapping[str, ast.Definition], chosen: ast.Definition, parameters: Mapping[str, str]
) -> Network:
    values = {name: _parameter(chosen, name, text) for name, text in parameters.items()}
    for parameter in chosen.parameters or ():
        if parameter.default is None and parameter.name not in values:
            hint = f"give it with -p {parameter.name}=..., or write a default"
            raise ElaborationError(f"model `{chosen.name}` needs `{parameter.name}`", parameter.at, hint=hint)
    network = Evaluator(definitions).call(chosen, values)
    if not isinstance(network, Network):
        raise ElaborationError(
            f"model `{chosen.name}` is {describe(network)}, not a network",
            chosen.body.at,
            hint="begin it with the input: input(32, 32, 3) |> ...",
        )
    return network


def _parameter(chosen: ast.Definition, name: str, text: str) -> Value:
    names = [p.name for p in chosen.parameters or ()]
    if name not in names:
        hint = suggestion(name, names) or f"its parameters: {', '.join(names) or 'none'}"
        raise ElaborationError(f"model `{chosen.name}` has no parameter `{name}`", chosen.at, hint=hint)
    expression = parse_expression(Source(f"-p {name}", text))
    _check_names(expression, set(), frozenset())
    return Evaluator({}).evaluate(expression)


def _choose(definitions: Mapping[str, ast.Definition], source: str, model: str | None) -> ast.Definition:
    models = {name: x for name, x in definitions.items() if x.kind == "model"}
    listed = ", ".join(models) or "none"
    if model is not None:
        if model not in models:
            hint = suggestion(model, models) or f"its models: {listed}"
            raise ElaborationError(f"{source} has no model `{model}`", hint=hint)
        return models[model]
    if not models:
        hint = "write one: model my_network = input(32, 32, 3) |> ..."
        raise ElaborationError(f"{source} has no model", hint=hint)
    if len(models) > 1:
        raise ElaborationError(f"{source} has several models", hint=f"choose with --model: {listed}")
    return next(iter(models.values()))


def _definitions(parsed: tuple[ast.Definition, ...]) -> dict[str, ast.Definition]:
    """By name, checked: names are unique and known, and nothing is defined by itself."""
    definitions: dict[str, ast.Definition] = {}
    for definition in parsed:
        _check_new(definition.name, definition.at, definitions)
        definitions[definition.name] = definition
    lets = frozenset(x.name for x in parsed if x.kind == "let")
    for definition in parsed:
        _check_definition(definition, lets)
    _check_cycles(definitions)
    return definitions


def _check_new(name: str, at: Location, definitions: Mapping[str, ast.Definition]) -> None:
    if name in CONSTANTS or name in BUILTINS:
        raise ElaborationError(f"`{name}` is a word of the language and cannot be defined", at)
    if name in definitions:
        before = f"first defined at {definitions[name].at}"
        raise ElaborationError(f"`{name}` is defined twice", at, notes=(before,))


def _check_definition(definition: ast.Definition, lets: frozenset[str]) -> None:
    """Parameters are visible in the body, and in the defaults after them."""
    visible: set[str] = set()
    for parameter in definition.parameters or ():
        if parameter.name in CONSTANTS or parameter.name in BUILTINS:
            raise ElaborationError(f"`{parameter.name}` is a word of the language", parameter.at)
        if parameter.name in visible:
            raise ElaborationError(f"parameter `{parameter.name}` occurs twice", parameter.at)
        if parameter.default is not None:
            _check_names(parameter.default, visible, lets)
        visible.add(parameter.name)
    _check_names(definition.body, visible, lets)


def _check_names(expression: ast.Expression, visible: set[str], lets: frozenset[str]) -> None:
    for name, at in _names(expression):
        if not any(name in known for known in (visible, lets, CONSTANTS, BUILTINS)):
            known = (*BUILTINS, *CONSTANTS, *sorted(visible), *sorted(lets))
            hint = _word_hint(expression, at) or suggestion(name, known)
            raise ElaborationError(f"unknown name `{name}`", at, hint=hint)


def _word_hint(expression: ast.Expression, at: Location) -> str | None:
    """The words that may stand at a place which is the argument of a layer that takes words, if it is."""
    pending = [expression]
    while pending:
        inner = pending.pop()
        pending += inner.children()
        if not isinstance(inner, ast.Call) or inner.name not in TENSOR_OPS:
            continue
        for argument in inner.arguments:
            words = words_of(TENSOR_OPS[inner.name], argument.name)
            if isinstance(argument.value, ast.Name) and argument.value.at == at and words:
                return suggestion(argument.value.name, words) or f"{argument.name} is one of {', '.join(words)}"
    return None


def _free_names(definition: ast.Definition) -> set[str]:
    """The names that a definition reads from outside: a default may read a `let` called as a later parameter."""
    visible: set[str] = set()
    free: set[str] = set()
    for parameter in definition.parameters or ():
        if parameter.default is not None:
            free |= {name for name, _ in _names(parameter.default)} - visible
        visible.add(parameter.name)
    return free | ({name for name, _ in _names(definition.body)} - visible)


def _names(expression: ast.Expression) -> Iterator[tuple[str, Location]]:
    """Every name that the expression reads, in the order of the text."""
    pending = [expression]
    while pending:
        inner = pending.pop()
        if isinstance(inner, ast.Name | ast.Call):
            yield inner.name, inner.at
        if isinstance(inner, ast.Call) and inner.name == formula.NAME:
            yield from ((constant.name, constant.at) for constant in formula.constants(inner))
            continue
        pending += reversed(list(inner.children()))


def _check_cycles(definitions: Mapping[str, ast.Definition]) -> None:
    reads = {name: _free_names(definition) & definitions.keys() for name, definition in definitions.items()}
    try:
        TopologicalSorter(reads).prepare()
    except CycleError as error:
        cycle = error.args[1][::-1]
        path = " -> ".join(cycle if len(cycle) <= 6 else [*cycle[:5], "..."])
        raise ElaborationError(
            f"`{cycle[0]}` is defined by itself ({path})",
            definitions[cycle[0]].at,
            hint="recursion is not part of the language; use repeat(n, layer)",
        ) from None
