"""What a kernel of a whole stage reads: of marginals and inputs at p and at p', of other stages, and masks."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from ntc.backends.jax.emit.lane_array import Block, Lanes, layout_of
from ntc.backends.jax.emit.marginal_terms import Keys, root_keys
from ntc.backends.jax.emit.scope import Scope, is_cross_integral
from ntc.backends.jax.emit.windows import Masks
from ntc.backends.jax.hyper import number_of
from ntc.backends.jax.inputs import read
from ntc.backends.jax.pallas.chip import Chip, Operand
from ntc.ir.graph import Graph, Node, kernel_op
from ntc.ir.hyper import hypers_of
from ntc.ir.lanes import axes_of, residue_table
from ntc.ir.op import covariance
from ntc.ir.sliding import Sliding
from ntc.ir.types import CovarianceType
from ntc.plan import Fused, Item, Run, Stage, is_cross


@dataclass
class Tables:
    """The operands of one kernel, by what they are.

    Attributes:
      graph, stage: what is computed.
      chip: where operands lie.
      scope: all examples, in all lanes, with the values of other stages.
      operands: by kind and what they depend on.
      integrals: by integral, what it takes of the marginals: for one node, or for the same node of all blocks of a run.
      masked: by filter and axis, the taps that need masks.
      numbered: by node of a run and hyperparameter, the operand that has its number in every block.
      channels: of the inputs, by how they are read.
      filters: of which masks have been made.
    """

    graph: Graph
    stage: Stage
    chip: Chip
    scope: Scope
    operands: dict[Hashable, Operand] = field(default_factory=dict)
    integrals: dict[str, tuple[Keys, Keys]] = field(default_factory=dict)
    masked: dict[Hashable, tuple[int, ...]] = field(default_factory=dict)
    numbered: dict[tuple[str, str], Hashable] = field(default_factory=dict)
    channels: dict[Hashable, int] = field(default_factory=dict)
    filters: set[Hashable] = field(default_factory=set)

    def fill(self, fused: Fused) -> None:
        """Makes all operands."""
        for item in self.stage.items:
            self._scalars(item)
        for nodes in _alike(self.stage):
            self._of_node(nodes)
        for name in self.stage.outside:
            if name in self.graph.definitions and is_cross(self.graph.definitions[name]):
                self._value(name, (1,) * len(self.graph.covariance_of(name).spatial))
        for name, strides in fused.memory.loaded:
            self._value(name, strides)

    def _scalars(self, item: Item) -> None:
        """Hyperparameters, and numbers in which blocks differ."""
        numbers = self.scope.numbers(item) if isinstance(item, Run) else {}
        for node in item.block if isinstance(item, Run) else (item,):
            for hyper in hypers_of(node.op):
                key: Hashable = "hyper", hyper.name
                value = jnp.asarray(number_of(hyper, self.scope.context.hyper), jnp.float32)[None]
                if hyper.name in numbers:
                    key, value = ("number", node.name, hyper.name), numbers[hyper.name]
                    self.numbered[node.name, hyper.name] = key
                self._add(key, self.chip.scalars, value)

    def _of_node(self, nodes: tuple[Node, ...]) -> None:
        node, op = nodes[-1], kernel_op(nodes[-1])
        type_ = covariance(node.type)
        if is_cross_integral(node):
            pairs = [root_keys(x) for x in nodes]
            keys = tuple(a for a, _ in pairs), tuple(b for _, b in pairs)
            self.integrals |= dict.fromkeys((x.name for x in nodes), keys)
            self._marginals(*keys, type_)
        elif op.reading is not None:
            self._features(op.reading, type_)
        elif op.filters:
            self._masks(op.slides(self.graph.covariance_of(node.operands[0]).spatial), type_)
        elif op.lanes == "removed":
            self._readout(self.graph.covariance_of(node.operands[0]))
        if type_.spatial:
            self._marks(type_)

    def _add(self, key: Hashable, make: Any, *arguments: Any) -> None:
        if key not in self.operands:
            self.operands[key] = make(*arguments)

    def _marginals(self, first: Keys, second: Keys, type_: CovarianceType) -> None:
        roots: Any = self.scope.roots2
        stacked = int(len(first) > 1)
        self._add(("first", first), lambda: self.chip.first(roots(first), stacked))
        self._second(("second", second, layout_of(type_)), lambda: roots(second), stacked, type_)

    def _second(self, key: Hashable, values: Any, lead: int, type_: CovarianceType) -> None:
        """What is read at p': values (*lead, *positions, columns)."""
        self._add(("starts", layout_of(type_)), lambda: self.chip.numbers(self._starts(type_)))
        self._add(key, lambda: self.chip.second(self._reached(values(), lead, type_), lead))

    def _starts(self, type_: CovarianceType) -> jax.Array:
        """The residue along the first axis of every row of lanes; zero for a single axis, along which lanes differ."""
        first = residue_table(type_)[0].reshape(self.stage.rows, -1)[:, 0]
        return jnp.asarray(first if len(type_.spatial) > 1 else 0 * first, jnp.int32)

    def _reached(self, values: jax.Array, lead: int, type_: CovarianceType) -> jax.Array:
        """(*lead, reached, *others, lanes of a row * columns)."""
        table = Lanes(type_).table
        for _ in range(lead):
            table = jax.vmap(table)
        found = table(values)
        return found.reshape(*found.shape[:-2], -1)

    def _features(self, reading: Any, type_: CovarianceType) -> None:
        """Channels of the inputs, (channels, *positions, examples)."""

        def channels(x: jax.Array) -> jax.Array:
            return jnp.moveaxis(jnp.moveaxis(read(reading, x), -1, 0), 1, -1)

        first = channels(self.scope.x1)
        self.channels[reading] = first.shape[0]
        self._add(("x1", reading), self.chip.first, first, 1)
        self._second(("x2", reading, layout_of(type_)), lambda: channels(self.scope.x2), 1, type_)

    def _masks(self, slides: Any, type_: CovarianceType) -> None:
        geometry: tuple[Sliding, ...] = tuple(slides)
        known = geometry, layout_of(type_)
        if known in self.filters:
            return
        self.filters.add(known)
        masks = Masks.of(geometry, Lanes(type_), self.scope.columns, jnp.float32)
        for axis in range(len(geometry)):
            taps = [tap for tap in range(geometry[axis].window) if (axis, tap) in masks.places]
            if taps:
                self.masked[geometry, layout_of(type_), axis] = tuple(taps)
                places = [masks.places[axis, tap] for tap in taps]
                stack = jnp.stack([masks.stack[place, :size] for place, size in places])
                self._mask(("mask", axis, geometry, layout_of(type_)), axis, stack, type_)

    def _mask(self, key: Hashable, axis: int, stack: jax.Array, type_: CovarianceType) -> None:
        """Masks (masks, positions of one axis, lanes * columns)."""
        by_row = stack.reshape(*stack.shape[:2], self.stage.rows, -1)
        if len(type_.spatial) == 1:
            self._add(key, self.chip.second, by_row[:, :, 0], 1)
        elif axis == 0:
            self._add(key, self.chip.over_first_axis, by_row[..., 0].swapaxes(1, 2), type_.spatial)
        else:
            self._add(key, self.chip.over_other_axes, by_row[:, :, 0], type_.spatial)

    def _readout(self, type_: CovarianceType) -> None:
        """Which entries are inside the image."""
        lanes = Lanes(type_)
        for axis, layout in enumerate(axes_of(type_)):
            if layout.has_dead_entries:
                live = Block(jnp.zeros(0), lanes, self.scope.columns).masked(lanes.live(axis))
                self._mask(("live", axis, layout_of(type_)), axis, live.astype(jnp.float32)[None], type_)

    def _marks(self, type_: CovarianceType) -> None:
        """Which entries have p' = p, and which are of an example and position with themselves."""
        key = layout_of(type_), type_.spatial
        if type_.lanes > 1 and ("own", *key) not in self.operands:
            own = Block(jnp.zeros(0), Lanes(type_), self.scope.columns).masked(Lanes(type_).on_diagonal())
            shaped = jnp.asarray(own, jnp.float32).reshape(1, self.stage.rows, -1)
            self._add(("own", *key), self.chip.over_lanes, shaped, type_.spatial)
        same = None if ("same", *key) in self.operands else self.scope.same(type_)
        if same is not None:
            shaped = same.astype(jnp.float32).reshape(self.scope.rows, self.stage.rows, -1)
            self._add(("same", *key), self.chip.over_lanes, shaped, type_.spatial)

    def _value(self, name: str, strides: tuple[int, ...]) -> None:
        entries = self.scope.values[name].separate
        shaped = entries.reshape(*entries.shape[:-2], self.stage.rows, -1)
        self._add(("value", name, strides), self.chip.value, shaped, strides)


def _alike(stage: Stage) -> Iterator[tuple[Node, ...]]:
    """Every node, or those at one place of all blocks of a run."""
    for item in stage.items:
        yield from zip(*item.blocks, strict=True) if isinstance(item, Run) else [(item,)]
