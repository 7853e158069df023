"""How all that belongs to one example lies in one array, so that tiles and programs take one array per example."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ntc.ir.graph import Graph
from ntc.ir.kernel import Gram
from ntc.ir.ops import Aggregate
from ntc.ir.types import ArrayType, DType, TensorType


@dataclass(frozen=True)
class Packing:
    """One input as it is, with the pattern of a graph in further channels; several inputs flat, one after another.

    Attributes:
      inputs: of the network, by name.
      pattern: channels that the pattern takes behind those of the input; 0 if no layer reads one.
    """

    inputs: dict[str, TensorType]
    pattern: int

    @classmethod
    def of(cls, network: Graph) -> Packing:
        """That of a tensor graph."""
        inputs = {x.name: network.tensor_of(x.name) for x in network.inputs}
        spatial = next(iter(inputs.values())).spatial
        sizes = (x.op.kernel_op(spatial).columns(spatial) for x in network.nodes if isinstance(x.op, Aggregate))
        return cls(inputs, next(sizes, 0))

    @property
    def single(self) -> bool:
        """Whether there is one input."""
        return len(self.inputs) == 1

    def array(self, dtype: DType, batch: str) -> ArrayType:
        """The type of the array of examples."""
        if not self.single:
            return ArrayType(dtype, batch, (), sum(map(_size, self.inputs.values())))
        (type_,) = self.inputs.values()
        return ArrayType(dtype, batch, type_.spatial, type_.channels + self.pattern)

    def gram(self, name: str) -> Gram:
        """The kernel op that reads one input."""
        type_ = self.inputs[name]
        if self.single:
            return Gram(channels=type_.channels if self.pattern else None)
        names = list(self.inputs)
        start = sum(_size(self.inputs[x]) for x in names[: names.index(name)])
        return Gram(shape=(*type_.spatial, type_.channels), start=start)


def _size(type_: TensorType) -> int:
    return prod((*type_.spatial, type_.channels))
