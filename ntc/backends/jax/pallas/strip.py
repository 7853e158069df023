"""The values of one strip of positions, from each other, from planes, and from what the kernel reads."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add, mul
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from ntc.backends.jax.emit.context import Brought, Context
from ntc.backends.jax.emit.distances import with_bias
from ntc.backends.jax.emit.lane_array import Block, Lanes, layout_of
from ntc.backends.jax.emit.rows import EMITTERS, scale_shift
from ntc.backends.jax.hyper import bound
from ntc.backends.jax.pallas.filters import FilterSums, Rows
from ntc.ir.graph import Node, kernel_op
from ntc.ir.hyper import hypers_of
from ntc.ir.op import covariance
from ntc.ir.types import CovarianceType
from ntc.plan.sweeps import Sweep

if TYPE_CHECKING:
    from ntc.backends.jax.pallas.body import Body


@dataclass(frozen=True)
class Strip:
    """The entries of a strip of positions, for the emitters of ops on entries.

    Attributes:
      context: what is the same for all values.
      columns: number of second examples.
      taken: what the integral at hand takes of the marginals.
      marked: which entries of a type are of an example and position with themselves.
      brought: which have p' = p.
    """

    context: Context
    columns: int
    taken: tuple[jax.Array, jax.Array] | None
    marked: Any
    brought: Brought

    def marginals(self, node: Node) -> tuple[jax.Array, jax.Array]:
        """What an integral takes of the marginals at p and at p'."""
        assert self.taken is not None
        return self.taken

    def same(self, type_: CovarianceType) -> Any:
        """Which entries are of an example and position with themselves; None if none are."""
        return self.marked

    def lanes(self, type_: CovarianceType) -> Lanes:
        """All lanes: ops that ask which of them an entry is in are not computed here."""
        return Lanes(type_)


class StripValues:
    """The values of one strip."""

    def __init__(
        self,
        body: Body,
        sweep: Sweep,
        number: Any,
        block: Any,
        filters: Mapping[str, FilterSums],
        rows: dict[str, Rows],
    ) -> None:
        """`rows` are handed from strip to strip; those for the next one when all is computed."""
        self._body, self._sweep, self._number, self._block = body, sweep, number, block
        self._filters, self.rows = filters, rows
        self._known: dict[Hashable, Any] = {}
        self._count = body.fused.strip(sweep.spatial)
        self._start = number * self._count
        self._strips: dict[str, jax.Array] = {}

    def value(self, name: str) -> jax.Array:
        """A value at these positions: of this sweep, from its plane, or of another stage."""
        if name not in self._strips:
            self._strips[name] = self._body.still(name, self._block, self._start, self._sweep.spatial)
        return self._strips[name]

    def compute(self, node: Node) -> None:
        """Computes a value, and puts it wherever it is read later."""
        node, body = self._bound(node), self._body
        op = kernel_op(node)
        with jax.named_scope(f"ntc.{node.name}"):
            if op.reading is not None:
                value = self._gram(node)
            elif op.filters:
                value = self._window(node)
            else:
                value = self._entries(node)
        self._strips[node.name] = value
        for key in body.fused.memory.places:
            if key[0] == node.name:
                body.put(key, self._block, self._start, value, (0,) * len(key[1]))
        if node.name in body.results:
            body.results[node.name].write(body.refs["result", node.name], body.at, value, self._start, self._count)

    def _bound(self, node: Node) -> Node:
        """The node with numbers in the place of hyperparameters, those of the block at hand."""
        tables = self._body.tables
        places = {x.name: tables.numbered.get((node.name, x.name), ("hyper", x.name)) for x in hypers_of(node.op)}
        if not places:
            return node
        numbered = tables.numbered.values()
        values = {name: self._once(key, self._block if key in numbered else 0) for name, key in places.items()}
        return replace(node, op=bound(node.op, values))

    def weighted(self, node: Node) -> jax.Array:
        """What a readout sums: entries inside the image, or those with p' = p."""
        op: Any = node.op
        type_ = self._body.graph.covariance_of(node.operands[0])
        value = self.value(node.operands[0])
        if op.reduction == "trace":
            own = self._mark("own", type_)
            return value if own is None else jnp.where(own > 0, value, 0)
        live = [("live", axis, layout_of(type_)) for axis in range(len(type_.spatial))]
        masks = [self._body.mask(key, axis, 0, type_, self._number) for axis, key in enumerate(live)]
        return reduce(mul, [mask for mask in masks if mask is not None], value)

    def _mark(self, kind: str, type_: CovarianceType) -> Any:
        """One for entries that are marked, else zero; None if the kernel has no such marks."""
        key = kind, layout_of(type_), type_.spatial
        return None if self._body.operand(key) is None else self._once(key)

    def _second(self, key: Hashable, lead: Sequence[Any], type_: CovarianceType) -> jax.Array:
        """What belongs to second examples, at p' of the strip."""
        start = self._start + self._once(("starts", layout_of(type_)))
        found: jax.Array = self._once(key, *lead, start, self._count)
        return found

    def _once(self, key: Hashable, *where: Any) -> Any:
        """What is read of an operand, once: from what is read twice, a compiler computes everything twice."""
        known = key, *(x if isinstance(x, int) else None for x in where)
        if known not in self._known:
            self._known[known] = self._body.read(key, *where)
        return self._known[known]

    def _taken(self, node: Node, type_: CovarianceType) -> tuple[jax.Array, jax.Array]:
        """What an integral takes of the marginals."""
        first, second = self._body.tables.integrals[node.name]
        lead = (self._block,) if len(first) > 1 else ()
        own = self._once(("first", first), *lead, self._start, self._count)
        return own, self._second(("second", second, layout_of(type_)), lead, type_)

    def _gram(self, node: Node) -> jax.Array:
        """Means over channels of products, or of half of squared differences."""
        op, type_, body = kernel_op(node), covariance(node.type), self._body
        channels, second = body.tables.channels[op.reading], ("x2", op.reading, layout_of(type_))
        firsts = [body.read(("x1", op.reading), c, self._start, self._count) for c in range(channels)]
        pairs = [(first, self._second(second, (c,), type_)) for c, first in enumerate(firsts)]
        products: jax.Array = reduce(add, [a * b for a, b in pairs]) * (1 / channels)
        if type_.form == "covariance":
            return products
        distances: jax.Array = reduce(add, [(a - b) ** 2 for a, b in pairs]) * (1 / (2 * channels))
        own = self._mark("own", type_)
        return distances if own is None else jnp.where(own > 0, distances, -products)

    def _entries(self, node: Node) -> jax.Array:
        """An op on entries, by its emitter."""
        op, type_, scope = kernel_op(node), covariance(node.type), self._body.tables.scope
        taken = self._taken(node, type_) if op.integral else None
        names = node.operands[:1] if op.integral else node.operands
        own, same = self._mark("own", type_), self._mark("same", type_)
        brought = Brought(own={} if own is None else {layout_of(type_): own})
        strip = Strip(scope.context, scope.columns, taken, None if same is None else same > 0, brought)

        def emitted(*values: jax.Array) -> jax.Array:
            types = [self._body.graph.covariance_of(x) for x in names]
            blocks = [Block(x, Lanes(t), scope.columns) for x, t in zip(values, types, strict=True)]
            emitter: Any = EMITTERS[type(op)]
            found: jax.Array = emitter(strip, node, type_, blocks)
            return found

        found: jax.Array = self._body.chip.legal(emitted)(*map(self.value, names))
        return found

    def _window(self, node: Node) -> jax.Array:
        """A filter of what lies in a plane."""
        op, type_ = node.op, covariance(node.type)
        total, rows = self._filters[node.name].sums(self._number, self.rows.get(node.name, ()))
        if node.name in self.rows:
            self.rows[node.name] = rows
        own = self._mark("own", type_)
        brought = Brought(own={} if own is None else {layout_of(type_): own})
        scope: Any = Strip(self._body.tables.scope.context, 0, None, None, brought)
        weights: Any = op
        scaled = scale_shift(total, weights.w_std**2 / weights.taps, 0)
        found: jax.Array = with_bias(scope, type_, scaled, weights.b_std)
        return found
