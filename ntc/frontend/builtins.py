"""Functions that are part of the language: every layer of `ntc.ir.ops`, and a few more."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ntc.errors import ElaborationError, Location, NtcError
from ntc.frontend.layers import Apply, Layer, Named, Network, Repeat, Source, join
from ntc.frontend.values import Builtin, Function, Value, bounded, branch, describe, layer, number, text
from ntc.ir.construct import construct, parameters, signature
from ntc.ir.hyper import Hyper
from ntc.ir.op import TensorOp
from ntc.ir.ops import TENSOR_OPS


@dataclass(frozen=True)
class Given:
    """An argument of a call, evaluated. `at` is its value, `name_at` its name, if it has one."""

    name: str | None
    value: Value
    at: Location
    name_at: Location


@dataclass(frozen=True)
class Site:
    """Where a call is written, and the calls around it, for error messages."""

    at: Location
    calls: tuple[str, ...] = ()


def call(builtin: Builtin, given: Sequence[Given], site: Site) -> Value:
    """The value of a call. Raises NtcError at the argument to blame, or at the call."""
    if builtin.op is None:
        return FUNCTIONS[builtin.name].call(given, site)
    if builtin.op.arity is None:
        return _fan(builtin.op, given, site)
    return Apply(_op(builtin.op, given), site.at, _places(builtin.op, given), site.calls)


def _fan(op: type[TensorOp], given: Sequence[Given], site: Site) -> Layer | Network:
    """A join of branches, which are its positional arguments: layers, or networks."""
    branches = tuple(blamed(x, partial(branch, where=op.name, at=x.at)) for x in given if x.name is None)
    joined: Layer | Network = join(_op(op, [x for x in given if x.name]), branches, site.at, site.calls)
    return joined


def _op(op: type[TensorOp], given: Sequence[Given]) -> TensorOp:
    for x in given:
        if isinstance(x.value, Layer | Network | Function | Builtin):
            what = f"parameter `{x.name}`" if x.name else "a parameter"
            hint = signature(op) if not isinstance(x.value, Layer) else f"layers are joined by |>; {signature(op)}"
            raise ElaborationError(f"{op.name}: {what} is {describe(x.value)}", x.at, hint=hint)
    positional = [x.value for x in given if x.name is None]
    try:
        return construct(op, positional, {x.name: x.value for x in given if x.name is not None})
    except NtcError as error:
        misnamed = {x.name: x.name_at for x in given if x.name}
        error.location = (misnamed | _places(op, given)).get(error.parameter)
        raise


def _places(op: type[TensorOp], given: Sequence[Given]) -> dict[str | None, Location]:
    """Where the value of every parameter is written."""
    by_position = dict(zip(_names(op), (x.at for x in given if x.name is None), strict=False))
    return by_position | {x.name: x.at for x in given if x.name in _names(op)}


def _names(op: type[TensorOp]) -> list[str | None]:
    return [p.name for p in parameters(op)]


def blamed(given: Given, convert: Callable[[Value], Any]) -> Any:
    """The converted argument; errors point at it."""
    try:
        return convert(given.value)
    except NtcError as error:
        error.location = error.location or given.at
        raise


@dataclass(frozen=True)
class BuiltinFunction:
    """A function that is not a layer: from how many arguments to how many, what it does, and names of parameters."""

    usage: str
    least: int
    most: int
    apply: Callable[[Sequence[Given], Site], Value]
    named: tuple[str, ...] = ()

    def call(self, given: Sequence[Given], site: Site) -> Value:
        """Raises ElaborationError for unknown names and too few or too many arguments."""
        unknown = [x for x in given if x.name not in (None, *self.named)]
        if unknown:
            raise ElaborationError(f"`{unknown[0].name}` is not a parameter", unknown[0].name_at, hint=self.usage)
        if not self.least <= len(given) <= self.most:
            wanted = f"{self.least}" if self.least == self.most else f"{self.least} or more"
            raise ElaborationError(f"got {len(given)} arguments, expected {wanted}", site.at, hint=self.usage)
        return self.apply(given, site)


def _input(given: Sequence[Given], site: Site) -> Network:
    names = [blamed(x, lambda value: text(value, "input")) for x in given if x.name]
    sizes = [blamed(x, lambda value: number(value, "input")) for x in given if not x.name]
    if len(names) > 1 or not sizes:
        raise ElaborationError("input needs the number of channels, and at most one name", hint=_INPUT)
    name = names[0] if names else "x"
    return Network(Source(tuple(sizes[:-1]), sizes[-1], name, site.at))


def _output(given: Sequence[Given], site: Site) -> Layer:
    return Named(blamed(given[0], lambda value: text(value, "output")), site.at)


def _hyper(given: Sequence[Given], site: Site) -> Hyper:
    values = [
        blamed(x, lambda value: number(value, "hyper")) for x in given if not (x.name or isinstance(x.value, str))
    ]
    names = [blamed(x, lambda value: text(value, "hyper")) for x in given if x.name or isinstance(x.value, str)]
    if len(values) != 1 or len(names) > 1:
        raise ElaborationError("hyper needs one number, and at most one name", hint=_HYPER)
    return Hyper(float(values[0]), *names)


_HYPER = 'hyper(1.5), or hyper(1.5, "depth_scale"): a value, then a name'
_INPUT = 'input(32, 32, 3), or input(784, name = "left"): sizes, then channels'


def _repeat(given: Sequence[Given], site: Site) -> Layer:
    count = blamed(given[0], lambda value: number(value, "repeat"))
    body = blamed(given[1], partial(layer, where="repeat", at=given[1].at))
    return Repeat(count, body, given[0].at)


def _numeric(name: str, function: Callable[..., Any]) -> Callable[[Sequence[Given], Site], Value]:
    def apply(given: Sequence[Given], site: Site) -> Value:
        values = [blamed(x, lambda value: number(value, name)) for x in given]
        try:
            return bounded(function(*values))
        except ValueError:
            raise ElaborationError(f"{name}({', '.join(map(str, values))}) is not a real number", site.at) from None

    return apply


_MANY = 1_000_000
FUNCTIONS: Mapping[str, BuiltinFunction] = {
    "input": BuiltinFunction(_INPUT, 1, _MANY, _input, ("name",)),
    "output": BuiltinFunction('output("features")', 1, 1, _output),
    "hyper": BuiltinFunction(_HYPER, 1, 2, _hyper, ("name",)),
    "repeat": BuiltinFunction("repeat(count, layer)", 2, 2, _repeat),
    "sqrt": BuiltinFunction("sqrt(x)", 1, 1, _numeric("sqrt", math.sqrt)),
    "min": BuiltinFunction("min(x, y, ...)", 1, _MANY, _numeric("min", lambda *values: min(values))),
    "max": BuiltinFunction("max(x, y, ...)", 1, _MANY, _numeric("max", lambda *values: max(values))),
}

BUILTINS: Mapping[str, Builtin] = {name: Builtin(name) for name in FUNCTIONS} | {
    name: Builtin(name, op) for name, op in TENSOR_OPS.items()
}
