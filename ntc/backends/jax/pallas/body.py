"""The kernel of a whole stage: its sweeps over positions, on strips of values and planes in fast memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from ntc.backends.jax.pallas.chip import At, Chip, Operand, Result
from ntc.backends.jax.pallas.filters import FilterSums
from ntc.backends.jax.pallas.strip import StripValues
from ntc.backends.jax.pallas.tables import Tables
from ntc.ir.graph import Graph, kernel_op
from ntc.ir.types import CovarianceType, Spatial
from ntc.plan import Fused, Stage
from ntc.plan.planes import Key, Plane
from ntc.plan.sweeps import Repeated, Sweep


@dataclass(eq=False)  # JAX keeps what it traces by the hash of the function
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
        filters = {x.name: FilterSums(self, x, block) for x in sweep.nodes if kernel_op(x).filters}

        def strip(number: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
            sums, rows = carry
            values = StripValues(self, sweep, number, block, filters, dict(rows))
            for node in sweep.nodes:
                if node not in read_out:
                    values.compute(node)
            return [total + values.weighted(x) for total, x in zip(sums, read_out, strict=True)], values.rows

        zeros = [self.chip.zeros(self.chip.strip_shape(sweep.spatial)) for _ in read_out]
        rows = {name: sums.first_rows() for name, sums in filters.items() if sums.rolls}
        count = sweep.spatial[0] // self.fused.strip(sweep.spatial)
        sums, _ = lax.fori_loop(0, count, strip, (zeros, rows))
        for node, total in zip(read_out, sums, strict=True):
            self.results[node.name].write(self.refs["result", node.name], self.at, total)

    def read(self, key: Hashable, *where: Any) -> Any:
        """A strip or a number of an operand."""
        return self.tables.operands[key].read(self.refs[key], self.at, *where)

    def operand(self, key: Hashable) -> Operand | None:
        """The operand of this kind, if the kernel has one."""
        return self.tables.operands.get(key)

    def mask(self, key: Hashable, axis: int, lead: int, type_: CovarianceType, number: Any) -> Any:
        """A mask of one axis for a strip: a number, or a strip; None if the kernel has no such mask."""
        if key not in self.tables.operands:
            return None
        if len(type_.spatial) == 1:
            count = self.fused.strip(type_.spatial)
            return self.read(key, lead, number * count, count)
        return self.read(key, lead, number) if axis == 0 else self.read(key, lead)

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
            strip = (self.fused.strip(plane.parts), *plane.parts[1:])
            zeros = jnp.zeros((*strip, *self.chip.tail), jnp.float32)
            for slot in range(count):
                for residues in product(*map(range, plane.strides)):
                    covering = [range(-(-n // m)) for n, m in zip(sizes[1:], strip[1:], strict=True)]
                    for others in product(*covering):
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
        count = self.fused.strip(plane.parts)
        for residues in product(*map(range, plane.strides)):

            def strip(number: Any, nothing: int, residues: tuple[int, ...] = residues) -> int:
                start = number * count
                self.put(key, 0, start, self.read(("value", *key), residues, start, count), residues)
                return nothing

            lax.fori_loop(0, plane.parts[0] // count, strip, 0)

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
