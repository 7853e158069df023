"""Layers as values: what both front ends compose, and how a composition becomes a graph."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

from ntc.errors import LimitError, Location, NtcError, ParameterError
from ntc.frontend.shown import shown_layer, shown_network
from ntc.ir.build import TensorGraphBuilder
from ntc.ir.graph import MAX_OPS, Graph
from ntc.ir.op import TensorOp
from ntc.ir.types import MAX_SPATIAL_AXES, Spatial

MAX_BRANCHES = 100
"""Most branches of one join: every pair of them is checked for independence."""

_SHOWN_CALLS = 5
_FLAT = 64
"""Most layers that a network holds side by side; more are wrapped, so that growing it layer by layer is linear."""


@dataclass(frozen=True, repr=False)
class Layer:
    """A function from one value of a network to another. `a >> b` applies a, then b.

    Attributes:
      size: number of ops after every repetition is written out; what has none counts as one, so that the
        work of writing a layer out is bounded by its size.
      location: where it was written, for error messages.
    """

    size: int = field(init=False, default=1, compare=False)
    location: Location | None = field(init=False, default=None, compare=False, repr=False)

    def __rshift__(self, after: Layer) -> Layer:
        if not isinstance(after, Layer):
            return NotImplemented
        return Serial((self, after))

    def __repr__(self) -> str:
        return shown_layer(self)

    def _set(self, size: int, location: Location | None) -> None:
        if size > MAX_OPS:
            raise LimitError(
                f"the network would have {size} ops; at most {MAX_OPS} are supported",
                location,
                hint="use fewer repetitions",
            )
        object.__setattr__(self, "size", max(1, size))
        object.__setattr__(self, "location", location)


@dataclass(frozen=True, repr=False)
class Apply(Layer):
    """One op. `places` locates its parameters; `calls` are the calls around it, innermost first."""

    op: TensorOp
    at: Location | None = field(default=None, compare=False, repr=False)
    places: Mapping[str | None, Location] = field(default_factory=dict, compare=False, repr=False)
    calls: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        self._set(1, self.at)


@dataclass(frozen=True, repr=False)
class Serial(Layer):
    """The parts one after another."""

    parts: tuple[Layer, ...]

    def __post_init__(self) -> None:
        first = self.parts[0].location if self.parts else None
        self._set(sum(part.size for part in self.parts), first)


@dataclass(frozen=True, repr=False)
class Repeat(Layer):
    """`count` copies of the body one after another, each with weights of its own."""

    count: int
    body: Layer
    at: Location | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 0:
            raise ParameterError(f"repeat: the count should be a whole number from 0, got {self.count}", self.at)
        self._set(self.count * max(1, self.body.size), self.at)


@dataclass(frozen=True, repr=False)
class Named(Layer):
    """Gives a name to the value before it, which the program then returns as well."""

    name: str
    at: Location | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        _check_name("output", self.name, self.at)
        self._set(1, self.at)


@dataclass(frozen=True, repr=False)
class Fan(Layer):
    """Every branch applied to the same value, and `op` to their results; or branches that are whole networks."""

    op: TensorOp
    branches: tuple[Layer | Network, ...]
    at: Location | None = field(default=None, compare=False, repr=False)
    calls: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.branches:
            raise ParameterError(f"{self.op.name} needs one or more branches", self.at)
        if len(self.branches) > MAX_BRANCHES:
            raise LimitError(f"{self.op.name} takes at most {MAX_BRANCHES} branches", self.at)
        if len({isinstance(branch, Network) for branch in self.branches}) > 1:
            hint = "begin every branch with input, or none"
            raise ParameterError(f"{self.op.name}: some of its branches begin with input", self.at, hint)
        self._set(1 + sum(branch.size for branch in self.branches), self.at)

    @property
    def closed(self) -> bool:
        """Whether the branches are networks, so that there is no value to apply them to."""
        return isinstance(self.branches[0], Network)


@dataclass(frozen=True)
class Source:
    """An input of a network. Two of one name are one input."""

    spatial: Spatial
    channels: int
    name: str = "x"
    location: Location | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        _check_name("input", self.name, self.location)
        sizes = (*self.spatial, self.channels)
        if not all(isinstance(n, int) and not isinstance(n, bool) and 0 < n < 2**31 for n in sizes):
            raise ParameterError(f"input: sizes should be positive whole numbers, got {sizes}", self.location)
        if len(self.spatial) > MAX_SPATIAL_AXES:
            raise LimitError(
                f"input has {len(self.spatial)} spatial axes; at most {MAX_SPATIAL_AXES} are supported",
                self.location,
            )


@dataclass(frozen=True, repr=False)
class Network:
    """An input, or a join of networks, and the layers applied to it. `network >> layer` adds a layer.

    Attributes:
      size: number of ops after every repetition is written out.
    """

    root: Source | Fan
    layers: tuple[Layer, ...] = ()
    size: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        root = self.root.size if isinstance(self.root, Fan) else 1
        object.__setattr__(self, "size", root + sum(layer.size for layer in self.layers))

    def __rshift__(self, after: Layer) -> Network:
        if not isinstance(after, Layer):
            return NotImplemented
        layers = self.layers if len(self.layers) < _FLAT else (Serial(self.layers),)
        return Network(self.root, (*layers, after))

    def __repr__(self) -> str:
        return shown_network(self)

    def graph(self, name: str = "network") -> Graph:
        """The tensor graph. Raises the errors of `TensorGraphBuilder.append`."""
        first = self.first
        builder = TensorGraphBuilder(first.spatial, first.channels, first.location, first.name)
        return builder.finish(name, _instantiate(builder, self))

    @property
    def first(self) -> Source:
        """The input that comes first in the order of the text."""
        network = self
        while isinstance(network.root, Fan):
            (network, *_) = network.root.branches  # type: ignore[assignment]  # a closed fan holds networks
        return network.root


Branch = TypeVar("Branch", Layer, Network)


def join(
    op: TensorOp, branches: tuple[Branch, ...], location: Location | None = None, calls: tuple[str, ...] = ()
) -> Branch:
    """The branches joined by `op`: a layer of layers, or a network of networks. Raises ParameterError, LimitError."""
    fan = Fan(op, branches, location, calls)
    return cast(Branch, Network(fan) if fan.closed else fan)


def _check_name(what: str, name: object, location: Location | None) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        hint = f'{what}(..., name = "left")' if what == "input" else f'{what}("features")'
        raise ParameterError(f"{what}: a name has letters, digits and underscores, got {name!r:.60}", location, hint)


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_Task = Layer | Network | tuple[Fan, int]


def _instantiate(builder: TensorGraphBuilder, network: Network) -> str:
    """Writes the layers to the graph, with a stack of its own: layers nest as deep as a user likes.

    Tasks: a network puts its result on top of `values`; a layer turns the value on top into its result; (fan, i) keeps
    the result of branch i - 1 and begins branch i; past the last branch it joins them.
    """
    tasks: list[_Task] = [network]
    values: list[str] = []
    while tasks:
        match tasks.pop():
            case Network(Source() as source, layers):
                values.append(builder.add_input(source.spatial, source.channels, source.location, source.name))
                tasks += reversed(layers)
            case Network(Fan() as fan, layers):
                tasks += [*reversed(layers), fan]
            case Named() as layer:
                builder.name_output(layer.name, values[-1], layer.at)
            case Apply() as layer:
                values.append(_append(builder, layer, [values.pop()], layer.places))
            case Serial(parts):
                tasks += reversed(parts)
            case Repeat(count, body):
                tasks += [body] * count
            case Fan() as fan:
                tasks.append((fan, 0))
            case (Fan() as fan, index):
                _fan_step(builder, fan, index, values, tasks)
    return values.pop()


def _fan_step(builder: TensorGraphBuilder, fan: Fan, index: int, values: list[str], tasks: list[_Task]) -> None:
    """`values` holds the input of the fan, unless it is closed, under the results of the branches that are done."""
    done = index
    if done < len(fan.branches):
        if not fan.closed:
            values.append(values[-1 - done])
        tasks += [(fan, index + 1), fan.branches[index]]
        return
    operands = values[len(values) - done :]
    del values[len(values) - done - (not fan.closed) :]
    values.append(_append(builder, fan, operands, {}))


def _append(
    builder: TensorGraphBuilder, layer: Apply | Fan, operands: list[str], places: Mapping[str | None, Location]
) -> str:
    try:
        return builder.append(layer.op, operands, layer.at)
    except NtcError as error:
        if error.parameter and error.parameter in places:
            error.location = places[error.parameter]
        error.notes += shown_calls(layer.calls)
        raise


def shown_calls(calls: tuple[str, ...]) -> tuple[str, ...]:
    """The innermost calls, as notes of an error."""
    more = len(calls) - _SHOWN_CALLS
    return (*calls[:_SHOWN_CALLS], f"... and {more} more") if more > 0 else calls
