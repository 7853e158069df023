"""Values of the traced function that are values of a network: what is written of them, and what may still join it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod
from typing import Literal

from ntc.importing.graph import Array, Node, Place
from ntc.importing.layout import Layout, is_full, standard
from ntc.ir.op import TensorOp
from ntc.ir.types import Spatial


@dataclass(frozen=True, eq=False)
class Source:
    """An array of a layer: a known value of the traced function, brought into the order of the layer."""

    node: Node
    arranged: Callable[[Array], Array]

    @property
    def values(self) -> Array:
        """The array."""
        return self.arranged(self.node.values)

    @property
    def trained(self) -> bool:
        """Whether it depends on parameters."""
        return bool(self.node.parameters)


@dataclass(frozen=True, eq=False)
class Shift:
    """A number added to every channel."""

    source: Source
    sign: float
    place: Place


@dataclass(frozen=True, eq=False)
class Stretch:
    """A number that every channel is multiplied by."""

    source: Source
    inverse: bool
    place: Place


@dataclass(frozen=True, eq=False)
class Draft:
    """An op that is not written yet, as what follows may be a part of it: a bias, the number of a mean."""

    op: TensorOp
    operands: tuple[str, ...]
    weights: dict[str, Source]
    place: Place
    what: Literal["weights", "sum", "scale"]


@dataclass(frozen=True, eq=False)
class Data:
    """A value of the network.

    Attributes:
      layout: how the array of the traced function lies to the tensor.
      spatial, channels: of the tensor.
      value: its name in the graph, or that of what `draft` reads.
      draft: the op that is to be written before `steps`.
      steps: what is to be done to every channel.
    """

    layout: Layout
    spatial: Spatial
    channels: int
    value: str | None = None
    draft: Draft | None = None
    steps: tuple[Shift | Stretch, ...] = field(default=())

    def full(self, examples: int) -> bool:
        """Whether the array holds every entry."""
        return is_full(self.layout, examples, self.spatial, self.channels)

    def with_layout(self, layout: Layout) -> Data:
        """The same value in another array."""
        return replace(self, layout=layout)

    def tokens(self) -> int:
        """Number of positions."""
        return prod(self.spatial)


def plain(value: str, examples: int, spatial: Spatial, channels: int) -> Data:
    """A value of the graph in the order (examples, *spatial, channels)."""
    return Data(standard(examples, spatial, channels), spatial, channels, value)
