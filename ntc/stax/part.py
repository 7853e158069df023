"""What a layer of `ntc.stax` is made of: a part of a network, which writes itself to a tensor graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ntc.errors import ParameterError, UnsupportedError
from ntc.frontend.layers import Apply
from ntc.frontend.layers import Layer as GraphLayer
from ntc.ir.build import TensorGraphBuilder
from ntc.ir.op import TensorOp
from ntc.ir.types import Spatial
from ntc.stax.layout import LAST, Axes, Layout


@dataclass(frozen=True)
class Tensor:
    """A value of the graph, and where its axes are in the arrays that users see.

    `kept` are slices of the examples of the inputs, one of another: layers treat every example alone, so that the graph
    of those that are left is that of all.
    """

    name: str
    layout: Layout
    kept: tuple[slice, ...] = ()


Value = Any
"""A Tensor, or a tuple of Values: what FanOut returns and FanInSum takes."""

Placed = Axes | tuple[Any, ...] | None
"""Axes of an input of a part, None where it takes any; or a tuple of these for a part of several inputs."""


Recipe = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
"""A function that makes a layer, and the arguments of a call."""


def _made_again(make: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any]) -> Part:
    part: Part = make(*args, **keywords)[2].part
    return part


class Part(ABC):
    """A function from values of a tensor graph to values of it."""

    name: str
    moves_axes: ClassVar[bool] = False
    """Whether axes may be elsewhere behind the part, so that what follows says nothing of its inputs."""
    recipe: ClassVar[Recipe | None] = None
    """Of a part, how it is made again where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        """As a call of the function that made it, whose arguments are pickled."""
        if self.recipe is None:
            raise TypeError(f"{self.name} is a piece of a network, which is pickled as a whole")
        return _made_again, self.recipe

    def __deepcopy__(self, memo: dict[int, Any]) -> Part:
        """Itself, as nothing of it changes."""
        return self

    @property
    @abstractmethod
    def placed(self) -> Placed:
        """Where the part says the axes of its inputs are."""

    @abstractmethod
    def write(self, builder: TensorGraphBuilder, value: Value) -> Value:
        """Appends the part to the graph. Raises the errors of `TensorGraphBuilder.append`."""


def operation(layer: GraphLayer) -> TensorOp:
    """The op of a layer of `ntc.nn` that is one op."""
    assert isinstance(layer, Apply)
    return layer.op


@dataclass(frozen=True)
class Filters:
    """How the arrays of a layer lie in its parameters.

    Attributes:
      slots: names of the arrays of the op in the order of the parameters; what the op does not have is None there.
      order: axes of `w` as stored, of those of the op.
      bias: axes of `b` as stored, of those of the op.
      taps: of a `w` whose axis of inputs is channels times taps: for every axis of a filter its number of taps in the
        order of storage, and for every axis of the op which one of these it is.
    """

    slots: tuple[str, ...] = ("w", "b")
    order: tuple[int, ...] | None = None
    bias: tuple[int, ...] | None = None
    taps: tuple[tuple[int, int], ...] | None = None


def every_example(layout: Layout) -> None:
    """No choice of examples."""


@dataclass(frozen=True, eq=False)
class Single(Part):
    """Ops on one value, one after another; those with weights are alone.

    Attributes:
      name: of the layer.
      ops: gives them from the layout of the input and the sizes of its spatial axes.
      axes: where the layer says the axes of its input are; None if it does not matter.
      result: the layout of the output, from that of the input and the number of spatial axes of the output.
      filters: how weights lie in the parameters.
      forward: what the layer does at finite width to an array in standard order, where it is not what the ops do.
      dense: the adjacency of a pattern as the layer takes it, given the sizes of the axes of vertices.
      hyper: values of hyperparameters of the ops, by name: parameters that are traced.
      signs: of scales, by slot: minus one for negative ones.
      entrywise: whether entries are mapped one by one, so that inputs of finite networks may have any axes.
      examples: which examples of its input the layer keeps, given the layout of that; None for all.
    """

    name: str
    ops: Callable[[Layout, Spatial], tuple[TensorOp, ...]]
    axes: Axes | None = None
    result: Callable[[Layout, int], Layout] = Layout.resized
    filters: Filters = Filters()
    forward: Callable[[Layout, Any], Any] | None = None
    dense: Callable[[Any, tuple[int, ...]], Any] | None = None
    hyper: Mapping[str, Any] = field(default_factory=dict)
    signs: Mapping[str, float] = field(default_factory=dict)
    entrywise: bool = False
    examples: Callable[[Layout], slice | None] = every_example

    @property
    def placed(self) -> Placed:
        return self.axes

    def write(self, builder: TensorGraphBuilder, value: Value) -> Value:
        layout = self.check(value).layout
        name, kept = value.name, (*value.kept, *filter(None, [self.examples(layout)]))
        for op in self.ops(layout, builder.tensor_of(name).spatial):
            name = builder.append(op, [name])
        return Tensor(name, self.result(layout, len(builder.tensor_of(name).spatial)), kept)

    def check(self, value: Value) -> Any:
        """The value, which is one array. Raises ParameterError where it is not what the layer says."""
        if isinstance(value, tuple):
            raise ParameterError(
                f"{self.name} takes one array, got a tuple of {len(value)}",
                hint="join them by FanInSum, FanInProd or FanInConcat",
            )
        layout = value.layout
        if self.axes is not None:
            own = Layout.of(layout.axes, self.axes)
            if own.batch != layout.batch or (own != layout and self.axes[1] is not None):
                raise ParameterError(
                    f"{self.name} has batch_axis={self.axes[0]} and channel_axis={self.axes[1]}, "
                    f"but these axes of its input are {layout.batch} and {layout.channel}",
                    hint="give all layers the same axes",
                )
        return value


@dataclass(frozen=True, eq=False)
class Join(Part):
    """One op on all values of a tuple; `make` gives it from their layout."""

    name: str
    make: Callable[[Layout], TensorOp]

    @property
    def placed(self) -> Placed:
        return None

    def write(self, builder: TensorGraphBuilder, value: Value) -> Value:
        layout = self.check(value)
        return Tensor(builder.append(self.make(layout), [operand.name for operand in value]), layout, kept(value))

    def check(self, value: Value) -> Layout:
        """The layout that all values of a tuple have. Raises ParameterError."""
        values = several(self.name, value)
        if any(isinstance(operand, tuple) for operand in values):
            raise ParameterError(f"{self.name} takes a tuple of arrays, got a nested one")
        layouts = {operand.layout for operand in values}
        if len(layouts) > 1:
            raise ParameterError(f"{self.name}: its inputs differ in the number of axes, or in where channels are")
        layout: Layout = layouts.pop()
        return layout


@dataclass(frozen=True, eq=False)
class FanOut(Part):
    """The value `count` times."""

    name: str
    count: int

    @property
    def placed(self) -> Placed:
        return None

    def write(self, builder: TensorGraphBuilder, value: Value) -> Value:
        return (value,) * self.count


@dataclass(frozen=True, eq=False)
class Chain(Part):
    """The parts one after another."""

    name: str
    parts: tuple[Part, ...]

    @property
    def placed(self) -> Placed:
        """What the first part says that says something; behind FanOut, what one of its branches says."""
        fanned = False
        for part in self.parts:
            placed = part.placed
            if part.moves_axes:
                return placed
            if fanned and placed is not None and not _is_axes(placed):
                placed = next((axes for axes in placed if axes is not None), None)
            if placed is not None:
                return placed
            fanned = fanned or isinstance(part, FanOut)
        return None

    def write(self, builder: TensorGraphBuilder, value: Value) -> Value:
        for part in self.parts:
            value = part.write(builder, value)
        return value


@dataclass(frozen=True, eq=False)
class Repeat(Part):
    """Copies of one part one after another, whose parameters are stacked."""

    name: str
    part: Part
    count: int

    @property
    def placed(self) -> Placed:
        return self.part.placed

    def write(self, builder: TensorGraphBuilder, value: Value) -> Value:
        for _ in range(self.count):
            value = self.part.write(builder, value)
        return value


@dataclass(frozen=True, eq=False)
class Parallel(Part):
    """Each part on a value of its own."""

    name: str
    parts: tuple[Part, ...]

    @property
    def placed(self) -> Placed:
        found = tuple(part.placed for part in self.parts)
        return found if any(axes is not None for axes in found) else None

    def write(self, builder: TensorGraphBuilder, value: Value) -> Value:
        return tuple(part.write(builder, operand) for part, operand in self.pairs(value))

    def pairs(self, value: Value) -> list[tuple[Part, Value]]:
        """Every part with its value. Raises ParameterError."""
        values = several(self.name, value)
        if len(values) != len(self.parts):
            raise ParameterError(f"parallel has {len(self.parts)} layers, and {len(values)} inputs")
        return list(zip(self.parts, values, strict=True))


class OfPart:
    """A function of one part, which has the name of its layer. It is pickled with what the part is made of."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.__name__ = self.__qualname__ = part.name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.part.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.part,)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Itself, as nothing of it changes but what has been compiled."""
        return self


def singles(part: Part) -> Iterator[Single]:
    """All layers on one value in a part."""
    match part:
        case Single():
            yield part
        case Chain() | Parallel():
            for inner in part.parts:
                yield from singles(inner)
        case Repeat():
            yield from singles(part.part)


def chooses_examples(part: Part) -> bool:
    """Whether a layer of it keeps some of the examples of its input."""
    return any(single.examples is not every_example for single in singles(part))


def kept(value: Value) -> tuple[slice, ...]:
    """Which examples of the inputs a value has. Raises UnsupportedError where those of a tuple have different ones."""
    if isinstance(value, Tensor):
        return value.kept
    found = {repr(own): own for own in map(kept, value)}
    if len(found) > 1:
        raise UnsupportedError(f"branches that keep different examples: {', '.join(found)}")
    return found.popitem()[1]


def several(name: str, value: Value) -> tuple[Value, ...]:
    """The values of a tuple. Raises ParameterError for one that is none."""
    if not isinstance(value, list | tuple) or not value:
        raise ParameterError(f"{name} takes a tuple of inputs, got one", hint="FanOut(n) makes n of one")
    return tuple(value)


def layouts(given: Any, placed: Placed) -> Any:
    """The layout of an input, or a tuple of them, from its shape and where a part says its axes are."""
    if is_shape(given):
        return Layout.of(len(given), (placed[0], placed[1]) if placed and _is_axes(placed) else LAST)
    places = (placed,) * len(given) if placed is None or _is_axes(placed) else placed
    if len(places) != len(given):
        raise ParameterError(f"parallel has {len(places)} layers, and {len(given)} inputs")
    return tuple(layouts(*each) for each in zip(given, places, strict=True))


def is_shape(given: Any) -> bool:
    """Whether it is the shape of one array and not a tuple of shapes."""
    return all(isinstance(size, int) or size is None for size in given)


def _is_axes(placed: Any) -> bool:
    return isinstance(placed, tuple) and isinstance(placed[0], int)
