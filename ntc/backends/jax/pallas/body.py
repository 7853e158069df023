"""The kernel of a whole stage: its sweeps over positions, on strips of values and planes in fast memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from math import prod
from operator import add, mul
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from ntc.backends.jax.emit.context import Brought, Context
from ntc.backends.jax.emit.distances import with_bias
from ntc.backends.jax.emit.lane_array import Block, Lanes, layout_of
from ntc.backends.jax.emit.rows import EMITTERS, scale_shift
from ntc.backends.jax.pallas.chip import At, Chip, Operand, Result
from ntc.backends.jax.pallas.tables import Tables
from ntc.ir.graph import Graph, Node, kernel_op
from ntc.ir.op import covariance
from ntc.ir.sliding import Sliding
from ntc.ir.types import CovarianceType, Spatial
from ntc.plan import Fused, Stage
from ntc.plan.planes import Key, Plane
from ntc.plan.sweeps import Repeated, Sweep


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


@dataclass
class Body:
    """One kernel, traced for one block of entries."""

    graph: Graph
    stage: Stage
    fused: Fused
    chip: Chip
    tables: Tables
    results: Mapping[str, Result]
    refs: dict[Hashable, Any] = field(default_factory=dict)
    planes: Sequence[Any] = ()

    def __call__(self, *refs: Any) -> None:
        """The kernel on references: operands, results, planes."""
        keys: list[Hashable] = [*self.tables.operands, *(("result", name) for name in self.results)]
        self.refs = dict(zip(keys, refs, strict=False))
        self.planes = refs[len(keys) :]
        self.at = At(*map(pl.program_id, range(3)))
        self._clear()
        for key in self.fused.memory.loaded:
            self._load(key)
        for number, part in enumerate(self.fused.parts):
            if isinstance(part, Sweep):
                self._sweep(part, 0)
                continue
            for source, target in self.fused.memory.copied.get(number, ()):
                self._copy(source, target)
            self._repeat(part)
        for name in self.stage.stored:
            if not any(isinstance(part, Sweep) and name in part.names for part in self.fused.parts):
                self._write_out(name)

    def _repeat(self, part: Repeated) -> None:
        def block(number: Any, nothing: int) -> int:
            for sweep in part.sweeps:
                self._sweep(sweep, number)
            return nothing

        lax.fori_loop(0, len(part.run.blocks), block, 0)

    def _sweep(self, sweep: Sweep, block: Any) -> None:
        """One loop over strips, with sums over all of them for what reads positions out."""
        read_out = [node for node in sweep.nodes if kernel_op(node).lanes == "removed"]

        def strip(number: Any, sums: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            values = _Values(self, sweep, number, block)
            for node in sweep.nodes:
                if node not in read_out:
                    values.compute(node)
            return tuple(total + values.weighted(node) for total, node in zip(sums, read_out, strict=True))

        zeros = tuple(self.chip.zeros(self.chip.strip_shape(sweep.spatial)) for _ in read_out)
        sums = lax.fori_loop(0, sweep.spatial[0] // self.fused.strip(sweep.spatial), strip, zeros)
        for node, total in zip(read_out, sums, strict=True):
            self.results[node.name].write(self.refs["result", node.name], self.at, total)

    def read(self, key: Hashable, *where: Any) -> Any:
        """A strip or a number of an operand."""
        return self.tables.operands[key].read(self.refs[key], self.at, *where)

    def operand(self, key: Hashable) -> Operand | None:
        """The operand of this kind, if the kernel has one."""
        return self.tables.operands.get(key)

    # Planes

    def _plane(self, key: Key, block: Any) -> tuple[Plane, Any, Any]:
        """The plane of a value, the reference of its pool, and which of it."""
        place = self.fused.memory.places[key]
        even, *odd = place.slots
        slot = even + (block % 2) * (odd[0] - even) if odd else even
        return self.fused.memory.pools[place.pool][0], self.planes[place.pool], slot

    def holds(self, key: Key) -> bool:
        """Whether a value lies in a plane."""
        return key in self.fused.memory.places

    def tap(self, key: Key, block: Any, start: Any, sizes: Sequence[int], offsets: Sequence[int]) -> jax.Array:
        """Positions stride * (start + i) + offset of a value, for `sizes` i along every axis, and start zero along all
        but the first. An offset may be outside the image by the margins of the plane."""
        plane, ref, slot = self._plane(key, block)
        where: list[Any] = [slot]
        axes = zip(sizes, offsets, plane.origin, plane.strides, strict=True)
        for axis, (size, offset, origin, stride) in enumerate(axes):
            first, residue = divmod(origin + offset, stride)
            where += [pl.ds(start + first if axis == 0 else first, size), residue]
        found: jax.Array = ref[tuple(where)]
        return found

    def put(self, key: Key, block: Any, start: Any, value: jax.Array, residues: Sequence[int]) -> None:
        """Writes positions stride * (start + i) + residue of a value."""
        plane, ref, slot = self._plane(key, block)
        where: list[Any] = [slot]
        for axis, (residue, origin, stride) in enumerate(zip(residues, plane.origin, plane.strides, strict=True)):
            first = origin // stride
            where += [pl.ds(start + first if axis == 0 else first, value.shape[axis]), residue]
        ref[tuple(where)] = value

    def _clear(self) -> None:
        """Zeros in all planes, of which margins stay so."""
        for (plane, count), ref in zip(self.fused.memory.pools, self.planes, strict=True):
            sizes = tuple(n // s for n, s in zip(plane.extents, plane.strides, strict=True))
            parts = tuple(-(-n // s) for n, s in zip(plane.spatial, plane.strides, strict=True))
            strip = (self.fused.strip(parts), *parts[1:])
            zeros = jnp.zeros((*strip, *self.chip.tail), jnp.float32)
            for slot in range(count):
                for residues in _all(plane.strides):
                    for others in _all([-(-n // m) for n, m in zip(sizes[1:], strip[1:], strict=True)]):
                        ends = zip(others, strip[1:], sizes[1:], residues[1:], strict=True)
                        inner = [x for i, m, n, r in ends for x in (pl.ds(min(i * m, n - m), m), r)]
                        self._clear_rows(ref, slot, strip[0], sizes[0], residues[0], inner, zeros)

    def _clear_rows(
        self, ref: Any, slot: int, strip: int, rows: int, residue: int, inner: list[Any], zeros: jax.Array
    ) -> None:
        def row(number: Any, nothing: int) -> int:
            start = jnp.minimum(number * strip, rows - strip)
            ref[(slot, pl.ds(start, strip), residue, *inner)] = zeros
            return nothing

        lax.fori_loop(0, -(-rows // strip), row, 0)

    def _load(self, key: Key) -> None:
        """A value of another stage into its plane."""
        plane, _, _ = self._plane(key, 0)
        parts = tuple(-(-n // s) for n, s in zip(plane.spatial, plane.strides, strict=True))
        count = self.fused.strip(parts)
        for residues in _all(plane.strides):

            def strip(number: Any, nothing: int, residues: tuple[int, ...] = residues) -> int:
                start = number * count
                self.put(key, 0, start, self.read(("value", *key), residues, start, count), residues)
                return nothing

            lax.fori_loop(0, parts[0] // count, strip, 0)

    def _copy(self, source: str, target: Key) -> None:
        """What the first block of a run reads, from where it was computed."""
        self._strips(source, lambda start, value: self.put(target, 0, start, value, (0,) * len(target[1])))

    def _write_out(self, name: str) -> None:
        """A value that only the last of repeated blocks computes."""
        result, ref = self.results[name], self.refs["result", name]
        self._strips(name, lambda start, value: result.write(ref, self.at, value, start, value.shape[0]))

    def _strips(self, name: str, use: Callable[[Any, jax.Array], None]) -> None:
        spatial = self.graph.covariance_of(name).spatial
        count = self.fused.strip(spatial)

        def strip(number: Any, nothing: int) -> int:
            use(number * count, self.still(name, 0, number * count, spatial))
            return nothing

        lax.fori_loop(0, spatial[0] // count, strip, 0)

    def still(self, name: str, block: Any, start: Any, spatial: Spatial) -> jax.Array:
        """A strip of a value from its plane, or from another stage."""
        count, ones = self.fused.strip(spatial), (1,) * len(spatial)
        if self.holds((name, ones)):
            return self.tap((name, ones), block, start, (count, *spatial[1:]), (0,) * len(spatial))
        found: jax.Array = self.read(("value", name, ones), (0,) * len(spatial), start, count)
        return found


class _Values:
    """The values of one strip."""

    def __init__(self, body: Body, sweep: Sweep, number: Any, block: Any) -> None:
        self._body, self._sweep, self._number, self._block = body, sweep, number, block
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
        op, body = kernel_op(node), self._body
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

    def weighted(self, node: Node) -> jax.Array:
        """What a readout sums: entries inside the image, or those with p' = p."""
        op: Any = node.op
        type_ = self._body.graph.covariance_of(node.operands[0])
        value = self.value(node.operands[0])
        if op.reduction == "trace":
            own = self._mark("own", type_)
            return value if own is None else value * own
        masks = [self._mask(("live", axis, layout_of(type_)), axis, 0, type_) for axis in range(len(type_.spatial))]
        return reduce(mul, [mask for mask in masks if mask is not None], value)

    def _mask(self, key: Hashable, axis: int, number: int, type_: CovarianceType) -> Any:
        """A mask of one axis: a number, or a strip."""
        if self._body.operand(key) is None:
            return None
        if len(type_.spatial) == 1:
            return self._body.read(key, number, self._start, self._count)
        return self._body.read(key, number, self._number) if axis == 0 else self._body.read(key, number)

    def _mark(self, kind: str, type_: CovarianceType) -> Any:
        """One for entries that are marked, else zero; None if the kernel has no such marks."""
        key = kind, layout_of(type_), type_.spatial
        return None if self._body.operand(key) is None else self._body.read(key)

    def _second(self, key: Hashable, lead: Sequence[Any], type_: CovarianceType) -> jax.Array:
        """What belongs to second examples, at p' of the strip."""
        start = self._start + self._body.read(("starts", layout_of(type_)))
        found: jax.Array = self._body.read(key, *lead, start, self._count)
        return found

    def _taken(self, node: Node, type_: CovarianceType) -> tuple[jax.Array, jax.Array]:
        """What an integral takes of the marginals."""
        first, second = self._body.tables.integrals[node.name]
        lead = (self._block,) if len(first) > 1 else ()
        own = self._body.read(("first", first), *lead, self._start, self._count)
        return own, self._second(("second", second, layout_of(type_)), lead, type_)

    def _gram(self, node: Node) -> jax.Array:
        """Means over channels of products, or of half of squared differences."""
        op, type_, body = kernel_op(node), covariance(node.type), self._body
        channels = body.operand(("x1", op.reading)).array.shape[self._channel_axis()]  # type: ignore[union-attr]
        pairs = [
            (
                body.read(("x1", op.reading), c, self._start, self._count),
                self._second(("x2", op.reading, layout_of(type_)), (c,), type_),
            )
            for c in range(channels)
        ]
        products: jax.Array = reduce(add, [a * b for a, b in pairs]) * (1 / channels)
        if type_.form == "covariance":
            return products
        distances: jax.Array = reduce(add, [(a - b) ** 2 for a, b in pairs]) * (1 / (2 * channels))
        own = self._mark("own", type_)
        return distances if own is None else jnp.where(own > 0, distances, -products)

    def _channel_axis(self) -> int:
        return 0 if self._body.chip.slices else 1

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
        """Sums over the taps of a filter."""
        op: Any = node.op
        type_, below = covariance(node.type), self._body.graph.covariance_of(node.operands[0])
        geometry = op.axes(below)
        key = node.operands[0], tuple(axis.stride for axis in geometry)
        sizes = (self._count, *type_.spatial[1:])
        apart = self._body.chip.slices and len(geometry) > 1 and geometry[-1].stride == 1
        total = (self._by_slices if apart else self._by_taps)(key, geometry, sizes, type_)
        own = self._mark("own", type_)
        brought = Brought(own={} if own is None else {layout_of(type_): own})
        scope: Any = Strip(self._body.tables.scope.context, 0, None, None, brought)
        found: jax.Array = with_bias(scope, type_, scale_shift(total, op.w_std**2 / op.taps, 0), op.b_std)
        return found

    def _masks(self, geometry: tuple[Sliding, ...], axis: int, tap: int, type_: CovarianceType) -> Any:
        """Where a tap along an axis reads inside both images, of those that may not; None if all do."""
        places = self._body.tables.masked.get((geometry, layout_of(type_), axis), ())
        if tap not in places:
            return None
        return self._mask(("mask", axis, geometry, layout_of(type_)), axis, places.index(tap), type_)

    def _by_taps(
        self, key: Key, geometry: tuple[Sliding, ...], sizes: tuple[int, ...], type_: CovarianceType
    ) -> jax.Array:
        """Every tap read from the plane."""
        terms = []
        for taps in _all([axis.window for axis in geometry]):
            offsets = [tap * axis.dilation - axis.pads[0] for tap, axis in zip(taps, geometry, strict=True)]
            term = self._body.tap(key, self._block, self._start, sizes, offsets)
            masks = [self._masks(geometry, axis, tap, type_) for axis, tap in enumerate(taps)]
            terms.append(reduce(mul, [mask for mask in masks if mask is not None], term))
        return reduce(add, terms)

    def _by_slices(
        self, key: Key, geometry: tuple[Sliding, ...], sizes: tuple[int, ...], type_: CovarianceType
    ) -> jax.Array:
        """Taps along the first axis from the plane, their sum with its margins; those along the last as parts of it."""
        outer, inner = geometry
        wide = (inner.outputs - 1) + inner.span
        rows = []
        for tap in range(outer.window):
            offsets = tap * outer.dilation - outer.pads[0], -inner.pads[0]
            row = self._body.tap(key, self._block, self._start, (sizes[0], wide), offsets)
            mask = self._masks(geometry, 0, tap, type_)
            rows.append(row if mask is None else row * mask)
        total = reduce(add, rows)
        terms = []
        for tap in range(inner.window):
            term = total[:, tap * inner.dilation : tap * inner.dilation + inner.outputs]
            mask = self._masks(geometry, 1, tap, type_)
            terms.append(term if mask is None else term * mask)
        return reduce(add, terms)


def _all(sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """All indices of an array of these sizes."""
    return [tuple((i // prod(sizes[k + 1 :])) % sizes[k] for k in range(len(sizes))) for i in range(prod(sizes))]
