"""What emitters of kernel ops know beside the operands: of the whole trace, and of the lanes and examples at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax

from ntc.backends.jax.emit.fusion_barrier import Boundary
from ntc.backends.jax.emit.lane_array import Lanes
from ntc.backends.jax.emit.windows import Masks
from ntc.ir.graph import Node
from ntc.ir.types import CovarianceType


@dataclass(frozen=True)
class Context:
    """What is the same for all values of a program.

    Attributes:
      types: of the values of the graph.
      boundary: makes XLA store values.
      equal: whether x1 and x2 are the same examples, where that is known only when the program runs.
      hyper: values of hyperparameters, where they are not those of the graph.
      given: covariances that the caller gives, by key.
      series_alone: whether entries are NaN of which a series is not enough.
    """

    types: Mapping[str, Any]
    boundary: Boundary
    equal: jax.Array | None = None
    hyper: Mapping[str, jax.Array] | None = None
    given: Mapping[str, jax.Array] = field(default_factory=dict)
    series_alone: bool = False


@dataclass(frozen=True)
class AtHand:
    """Lanes at hand: `count` of them from `start` on, or of rows of lanes; all, if there is no start."""

    start: jax.Array | None = None
    count: int = 0
    by_row: bool = False

    def of(self, type_: CovarianceType) -> Lanes:
        """Those of a value."""
        if self.start is None or not type_.spatial:
            return Lanes(type_)
        unit = type_.row_lanes if self.by_row else 1
        return Lanes(type_, self.start * unit, self.count * unit)


@dataclass(frozen=True)
class Brought:
    """What is made once for the lanes at hand, by what it depends on.

    Attributes:
      shifted: what belongs to second examples, at p' of the entries at hand.
      masks: of filters.
      own: which of the lanes, repeated for all columns, have p' = p: 1 or 0.
      tables: from which `shifted` is sliced.
    """

    shifted: dict[Any, jax.Array] = field(default_factory=dict)
    masks: dict[Any, Masks] = field(default_factory=dict)
    own: dict[Any, jax.Array] = field(default_factory=dict)
    tables: Mapping[Any, jax.Array] = field(default_factory=dict)


class Entries(Protocol):
    """The entries between some examples, in some lanes, of which an emitter computes those of a value."""

    @property
    def context(self) -> Context:
        """What is the same for all values."""

    @property
    def brought(self) -> Brought:
        """What is made once for the lanes at hand."""

    @property
    def x1(self) -> jax.Array:
        """The first examples at hand, (rows, *spatial, channels)."""

    @property
    def x2(self) -> jax.Array:
        """The second examples, (columns, *spatial, channels)."""

    @property
    def rows(self) -> Any:
        """Number of first examples."""

    @property
    def columns(self) -> Any:
        """Number of second examples."""

    def lanes(self, type_: CovarianceType) -> Lanes:
        """The lanes at hand of a value."""

    def marginals(self, node: Node) -> tuple[jax.Array, jax.Array]:
        """What an integral takes of the marginals at p and at p', to broadcast against its entries."""

    def same(self, type_: CovarianceType) -> Any:
        """Mask of the entries (n, n, p, p) of an input with itself or with an equal one; None if there are none, True
        if there are no others."""
