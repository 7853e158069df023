"""What a layer of `ntc.stax` is made of: a part of a network, which writes itself to a tensor graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ntc.errors import ParameterError
from ntc.frontend.layers import Apply
from ntc.frontend.layers import Layer as GraphLayer
from ntc.ir.build import TensorGraphBuilder
from ntc.ir.op import TensorOp

Value = Any
"""The name of a value of the graph, or a tuple of values: what FanOut returns and FanInSum takes."""


class Part(ABC):
    """A function from values of a tensor graph to values of it."""

    @abstractmethod
    def write(self, builder: TensorGraphBuilder, value: Value) -> Value:
        """Appends the part to the graph. Raises the errors of `TensorGraphBuilder.append`."""


def operation(layer: GraphLayer) -> TensorOp:
    """The op of a layer of `ntc.nn` that is one op."""
    assert isinstance(layer, Apply)
    return layer.op


@dataclass(frozen=True)
class Single(Part):
    """One op on one value. `make` gives it from the number of axes of its input, with those of batch and channels."""

    make: Callable[[int], TensorOp]

    def write(self, builder: TensorGraphBuilder, value: Value) -> Value:
        if not isinstance(value, str):
            raise ParameterError(
                f"a layer takes one array, got {len(value)}", hint="join them by FanInSum, FanInProd or FanInConcat"
            )
        return builder.append(self.make(len(builder.tensor_of(value).spatial) + 2), [value])


@dataclass(frozen=True)
class Join(Part):
    """One op on all values of a tuple."""

    make: Callable[[int], TensorOp]

    def write(self, builder: TensorGraphBuilder, value: Value) -> Value:
        values = _several("FanIn", value)
        if not all(isinstance(operand, str) for operand in values):
            raise ParameterError("FanIn layers take a tuple of arrays, got a nested one")
        return builder.append(self.make(len(builder.tensor_of(values[0]).spatial) + 2), list(values))


@dataclass(frozen=True)
class FanOut(Part):
    """The value `count` times."""

    count: int

    def write(self, builder: TensorGraphBuilder, value: Value) -> Value:
        return (value,) * self.count


@dataclass(frozen=True)
class Chain(Part):
    """The parts one after another."""

    parts: tuple[Part, ...]

    def write(self, builder: TensorGraphBuilder, value: Value) -> Value:
        for part in self.parts:
            value = part.write(builder, value)
        return value


@dataclass(frozen=True)
class Parallel(Part):
    """Each part on a value of its own."""

    parts: tuple[Part, ...]

    def write(self, builder: TensorGraphBuilder, value: Value) -> Value:
        values = _several("parallel", value)
        if len(values) != len(self.parts):
            raise ParameterError(f"parallel has {len(self.parts)} layers, and {len(values)} inputs")
        return tuple(part.write(builder, operand) for part, operand in zip(self.parts, values, strict=True))


def _several(name: str, value: Value) -> tuple[Value, ...]:
    if not isinstance(value, tuple) or not value:
        raise ParameterError(f"{name} takes a tuple of inputs, got one", hint="FanOut(n) makes n of one")
    return value
