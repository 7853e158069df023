"""Expressions to values. The evaluator keeps a stack of its own, so that nesting is limited by rule, not by Python."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ntc.errors import ElaborationError, LimitError, Location, NtcError
from ntc.frontend import arithmetic, ast, builtins, formula
from ntc.frontend.builtins import BUILTINS, Given, Site
from ntc.frontend.layers import Layer, Network, Serial, shown_calls
from ntc.frontend.parse import MAX_DEPTH
from ntc.frontend.values import CONSTANTS, Builtin, Function, Value, describe, layer, number, suggestion, truth
from ntc.ir.expression import show
from ntc.ir.hyper import Hyper

MAX_STEPS = 1_000_000
"""Most expressions evaluated for one model."""


@dataclass(frozen=True)
class Scope:
    """What names mean inside one definition: parameters by name, and the calls that led here, innermost first."""

    values: Mapping[str, Value] = field(default_factory=dict)
    calls: tuple[str, ...] = ()


Request = tuple[ast.Expression, Scope]
Steps = Generator[Request, Value, Value]
"""Asks for the values of expressions in scopes, and returns a value."""


class Evaluator:
    """The values of expressions, given the definitions of a file."""

    def __init__(self, definitions: Mapping[str, ast.Definition]) -> None:
        self._definitions = definitions
        self._known: dict[str, Value] = {}
        self._steps = 0

    def evaluate(self, expression: ast.Expression) -> Value:
        """The value of an expression in which only the language itself has names. Raises NtcError, located."""
        return self._run(expression, Scope())

    def call(self, definition: ast.Definition, arguments: Mapping[str, Value]) -> Value:
        """The value of a definition, given some of its parameters. Raises NtcError, located."""
        values: dict[str, Value] = {}
        for parameter in definition.parameters or ():
            if parameter.name in arguments:
                values[parameter.name] = _called(parameter.name, arguments[parameter.name])
            else:
                assert parameter.default is not None
                values[parameter.name] = _called(parameter.name, self._run(parameter.default, Scope(values)))
        return self._run(definition.body, Scope(values))

    def _run(self, expression: ast.Expression, scope: Scope) -> Value:
        stack: list[tuple[Steps, Request]] = [(self._visit(expression, scope), (expression, scope))]
        value: Value = None
        while stack:
            steps, (expression, scope) = stack[-1]
            try:
                request = steps.send(value)
            except StopIteration as finished:
                stack.pop()
                value = finished.value
            except NtcError as error:
                error.location = error.location or expression.at
                error.notes += shown_calls(scope.calls)
                raise
            else:
                value = None
                self._count(request[0])
                stack.append((self._visit(*request), request))
        return value

    def _visit(self, expression: ast.Expression, scope: Scope) -> Steps:
        return _VISITORS[type(expression)](self, expression, scope)

    def _count(self, expression: ast.Expression) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise LimitError(f"the model takes more than {MAX_STEPS} steps to evaluate", expression.at)

    def _number(self, expression: ast.Number, scope: Scope) -> Steps:
        yield from ()
        return expression.value

    def _text(self, expression: ast.Text, scope: Scope) -> Steps:
        yield from ()
        return expression.value

    def _tuple(self, expression: ast.Tuple, scope: Scope) -> Steps:
        items = []
        for item in expression.items:
            value = yield item, scope
            if isinstance(value, Layer | Network) or _nests(value):
                raise ElaborationError(f"a tuple holds numbers or rows of numbers, got {describe(value)}", item.at)
            items.append(value)
        return tuple(items)

    def _pipe(self, expression: ast.Pipe, scope: Scope) -> Steps:
        first = yield expression.parts[0], scope
        if not isinstance(first, Network):
            layer(first, "`|>`")
        layers = []
        for part in expression.parts[1:]:
            value = yield part, scope
            layers.append(_right(value, part.at))
        rest = Serial(tuple(layers))
        return first >> rest  # type: ignore[operator]  # a network or a layer

    def _conditional(self, expression: ast.Conditional, scope: Scope) -> Steps:
        condition = yield expression.condition, scope
        return (yield (expression.yes if truth(condition, "`if`") else expression.no), scope)

    def _chain(self, expression: ast.Chain, scope: Scope) -> Steps:
        value = yield expression.first, scope
        for operation in expression.rest:
            if operation.operator in ("and", "or"):
                if truth(value, f"`{operation.operator}`") == (operation.operator == "or"):
                    continue
                value = truth((yield operation.operand, scope), f"`{operation.operator}`")
            else:
                operand = yield operation.operand, scope
                value = _operate(operation, value, operand)
        return value

    def _unary(self, expression: ast.Unary, scope: Scope) -> Steps:
        value = yield expression.operand, scope
        return not truth(value, "`not`") if expression.operator == "not" else -number(value, "`-`")

    def _name(self, expression: ast.Name, scope: Scope) -> Steps:
        target = yield from self._look_up(expression.name, scope)
        if isinstance(target, Function | Builtin):
            return (yield from self._apply(target, (), Site(expression.at, scope.calls)))
        return target

    def _call(self, expression: ast.Call, scope: Scope) -> Steps:
        target = yield from self._look_up(expression.name, scope)
        if isinstance(target, str) and target == expression.name:
            target = BUILTINS.get(target, target)  # a word that names a layer as well
        if not isinstance(target, Function | Builtin):
            if not expression.arguments and expression.name in self._definitions:
                return target
            hint = suggestion(expression.name, BUILTINS)
            raise ElaborationError(f"`{expression.name}` takes no arguments: it is {describe(target)}", hint=hint)
        if expression.name == formula.NAME:
            return (yield from self._formula(expression, scope))
        given: list[Given] = []
        for argument in expression.arguments:
            if argument.name is None and given and given[-1].name is not None:
                raise ElaborationError("an argument without a name follows one with a name", argument.at)
            given.append(Given(argument.name, (yield argument.value, scope), argument.value.at, argument.at))
        return (yield from self._apply(target, tuple(given), Site(expression.at, scope.calls)))

    def _formula(self, expression: ast.Call, scope: Scope) -> Steps:
        """A layer `activation`, whose argument is not evaluated but kept as arithmetic of x."""
        given: list[Given] = []
        for argument in expression.arguments:
            steps, value = formula.translate(argument.value), None
            while True:
                try:
                    name = steps.send(value)
                except StopIteration as finished:
                    text = show(finished.value)
                    break
                value = yield name, scope
            given.append(Given(argument.name, text, argument.value.at, argument.at))
        return builtins.call(BUILTINS[formula.NAME], given, Site(expression.at, scope.calls))

    def _look_up(self, name: str, scope: Scope) -> Steps:
        if name in scope.values:
            return scope.values[name]
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name in BUILTINS:
            return BUILTINS[name]
        definition = self._definitions[name]
        if definition.parameters is not None:
            return Function(definition)
        if name not in self._known:
            self._known[name] = _called(name, (yield definition.body, Scope()))
        return self._known[name]

    def _apply(self, target: Function | Builtin, given: tuple[Given, ...], site: Site) -> Steps:
        if isinstance(target, Builtin):
            return builtins.call(target, given, site)
        definition = target.definition
        if len(site.calls) >= MAX_DEPTH:
            raise LimitError(f"calls are nested more than {MAX_DEPTH} deep", site.at)
        arguments = bind(definition, given, site.at)
        values: dict[str, Value] = {}  # grows in order, so that a default sees the parameters before it
        scope = Scope(values, (f"in `{definition.name}`, called at {site.at}", *site.calls))
        for parameter in definition.parameters or ():
            if parameter.name in arguments:
                values[parameter.name] = _called(parameter.name, arguments[parameter.name])
            else:
                assert parameter.default is not None
                values[parameter.name] = _called(parameter.name, (yield parameter.default, scope))
        return (yield definition.body, scope)


_VISITORS: Mapping[type[ast.Expression], Callable[[Evaluator, Any, Scope], Steps]] = {
    ast.Number: Evaluator._number,
    ast.Text: Evaluator._text,
    ast.Tuple: Evaluator._tuple,
    ast.Pipe: Evaluator._pipe,
    ast.Conditional: Evaluator._conditional,
    ast.Chain: Evaluator._chain,
    ast.Unary: Evaluator._unary,
    ast.Name: Evaluator._name,
    ast.Call: Evaluator._call,
}


def _right(value: Value, at: Location) -> Layer:
    """What stands right of `|>`, which must be a layer."""
    try:
        return layer(value, "`|>`", at)
    except ElaborationError:
        raise ElaborationError(f"`|>` needs a layer on its right, got {describe(value)}", at) from None


def _called(name: str, value: Value) -> Value:
    """A value that a name is given to; of a hyperparameter without one, it is the name."""
    return value.named(name) if isinstance(value, Hyper) else value


def _nests(value: Value) -> bool:
    """Whether a tuple holds tuples. One level of rows is enough; more could grow without bound."""
    return isinstance(value, tuple) and any(isinstance(item, tuple) for item in value)


def _operate(operation: ast.Operation, left: Value, right: Value) -> Value:
    try:
        return arithmetic.apply(operation.operator, left, right)
    except NtcError as error:
        error.location = operation.at
        raise


def bind(definition: ast.Definition, given: Sequence[Given], at: Location) -> dict[str, Value]:
    """Arguments by parameter name. Raises ElaborationError where they do not fit."""
    names = [p.name for p in definition.parameters or ()]
    known = frozenset(names)
    values: dict[str, Value] = {}
    for index, x in enumerate(given):
        if x.name is None and index >= len(names):
            raise ElaborationError(
                f"`{definition.name}` takes at most {len(names)}: one argument too many",
                x.at,
                hint=signature(definition),
            )
        name = names[index] if x.name is None else x.name
        if name not in known:
            hint = suggestion(name, names) or signature(definition)
            raise ElaborationError(f"`{definition.name}` has no parameter `{name}`", x.name_at, hint=hint)
        if name in values:
            raise ElaborationError(f"argument `{name}` is given twice", x.name_at, hint=signature(definition))
        values[name] = x.value
    for parameter in definition.parameters or ():
        if parameter.name not in values and parameter.default is None:
            hint = signature(definition)
            raise ElaborationError(f"`{definition.name}` needs `{parameter.name}`", at, hint=hint)
    return values


def signature(definition: ast.Definition) -> str:
    """`group(n, c, stride = 1)`; a default that is not a literal or a name is `...`."""
    shown = []
    for parameter in definition.parameters or ():
        match parameter.default:
            case None:
                shown.append(parameter.name)
            case ast.Number(value=value):
                shown.append(f"{parameter.name} = {value}")
            case ast.Name(name=name):
                shown.append(f"{parameter.name} = {name}")
            case _:
                shown.append(f"{parameter.name} = ...")
    return f"{definition.name}({', '.join(shown)})"
