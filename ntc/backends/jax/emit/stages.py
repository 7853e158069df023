"""A kernel graph as a JAX function of all examples: marginals, then the stages of its plan in loops.

A parallel stage runs for some lanes and some rows at a time, from the inputs to what leaves the stage, on arrays
that stay in the cache of a core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.backends.jax.emit.context import AtHand, Brought, Context
from ntc.backends.jax.emit.fusion_barrier import Boundary
from ntc.backends.jax.emit.lane_array import Block, Lanes
from ntc.backends.jax.emit.marginal_terms import Keys, Roots, root_keys
from ntc.backends.jax.emit.relayout import to_dense
from ntc.backends.jax.emit.scope import Scope, Values, is_cross_integral
from ntc.ir.graph import Graph, Node
from ntc.ir.types import Target
from ntc.plan import Chunk, Fused, Item, Marginals, Plan, Run, Stage, StagePlan, plan

Outputs = dict[str, jax.Array]


StageKernel = Callable[[Graph, Stage, Fused, Scope], dict[str, Block]]
"""Computes the values of a stage that outlive it by one kernel, of all examples and lanes of a scope."""


def emit(
    graph: Graph, target: Target = "cpu", series_alone: bool = False, kernel: StageKernel | None = None
) -> Callable[..., Outputs]:
    """The function (x1, x2) -> outputs by label that computes a kernel graph, to be traced by `jax.jit`.

    Outputs are (n1, n2, H, H', W, W', ...), or (n, H, H', ...) of a marginal. `equal` is a scalar, which may be given
    for a graph between two inputs: whether they are the same examples in the same order. `hyper` are values of all
    hyperparameters of the graph (default: those written in it), `given` the covariances that it does not compute. With
    `series_alone`, entries are NaN of which a series is not enough. With `kernel`, stages are kernels of their own
    where the plan says so; the function has no derivative then.
    """

    def function(
        *arrays: jax.Array,
        equal: jax.Array | None = None,
        hyper: Mapping[str, jax.Array] | None = None,
        given: Mapping[str, jax.Array] | None = None,
    ) -> Outputs:
        with jax.numpy_rank_promotion("allow"):  # whatever callers ask of their own code
            planned = plan(graph, target, arrays[0].shape[0], arrays[-1].shape[0], "xla" if kernel is None else "auto")
            context = Context(graph.types, Boundary(target), equal, hyper, given or {}, series_alone)
            program = _Program.start(planned, context, arrays, kernel)
            for stage in planned.stages:
                program.run(stage)
            return {x.label: program.output(x.value) for x in graph.outputs}

    return function


@dataclass
class _Program:
    """The values computed so far.

    Attributes:
      plan: how it runs.
      context: what is the same for all values.
      x1, x2: all examples.
      roots: what integrals take of marginals.
      kernel: what computes stages that are one kernel.
      values: whole values by name.
    """

    plan: Plan
    context: Context
    x1: jax.Array
    x2: jax.Array
    roots: Roots
    kernel: StageKernel | None
    values: dict[str, Block] = field(default_factory=dict)

    @classmethod
    def start(cls, plan: Plan, context: Context, arrays: tuple[jax.Array, ...], kernel: StageKernel | None) -> _Program:
        """With the marginals of every input."""
        keys = [key for node in plan.graph.nodes if is_cross_integral(node) for key in root_keys(node)]
        program = cls(plan, context, arrays[0], arrays[-1], Roots(keys), kernel)
        for marginals, x in zip(plan.marginals, arrays, strict=False):
            program._marginals(marginals, jnp.concatenate(arrays) if marginals.paired else x)
        return program

    def _marginals(self, marginals: Marginals, x: jax.Array) -> None:
        """Values of single examples."""
        pairs, kept = marginals.paired, marginals.kept
        context = replace(self.context, equal=None, given=self._given_to(pairs))
        scope = Scope(context, x, x, marginals.margins, marginals.holdings)
        for item in marginals.items:
            block = item.block if isinstance(item, Run) else (item,)
            blocks = item.blocks if isinstance(item, Run) else (block,)
            found = [(i, f) for i, alike in enumerate(zip(*blocks, strict=True)) for f in self._functions(alike, pairs)]

            def results(scope: Scope, block: Any = block, found: Any = tuple(found)) -> list[jax.Array]:
                return [scope.root(block[i].name, function) for i, function in found]

            stacks = scope.emit(item, results)
            if not isinstance(item, Run):
                stacks = [x[None] for x in results(scope)]
            for (i, function), stack in zip(found, stacks, strict=True):
                self._add_roots([nodes[i].name for nodes in blocks], function, stack, pairs)
        self.values |= {name: scope.values[name] for name in kept if name in scope.values}
        for name in (x for x in pairs if not kept.isdisjoint({x, pairs[x]})):
            self._divide(name, pairs[name], scope.values[name])

    def _given_to(self, pairs: Mapping[str, str]) -> Mapping[str, jax.Array]:
        """What is given of single examples; of both inputs together if their marginals are."""
        given = self.context.given
        firsts = [key.removesuffix(".N") for key in given if key.endswith(".N")]
        return (
            {f"{key}.N": jnp.concatenate([given[f"{key}.N"], given[f"{key}.M"]]) for key in firsts} if pairs else given
        )

    def _divide(self, name: str, other: str, block: Block) -> None:
        """Keeps a marginal of both inputs as one of each."""
        entries, count = block.separate, self.x1.shape[0]
        for own, part in ((name, entries[..., :count]), (other, entries[..., count:])):
            self.values[own] = Block(part.reshape(*part.shape[:-2], -1), block.lanes, part.shape[-1])

    def _add_roots(self, names: list[str], function: Any, stack: jax.Array, pairs: Mapping[str, str]) -> None:
        first, second = (slice(self.x1.shape[0]), slice(self.x1.shape[0], None)) if pairs else (slice(None), None)
        self.roots.add(tuple((name, function) for name in names), stack, first)
        if second:
            self.roots.add(tuple((pairs[name], function) for name in names), stack, second)

    def _functions(self, nodes: tuple[Node, ...], pairs: Mapping[str, str]) -> list[Any]:
        """What integrals take of one of the nodes, or of its pair."""
        names = [name for node in nodes for name in (node.name, pairs.get(node.name, "")) if name]
        return list(dict.fromkeys(key[1] for name in names for key in self.roots.wanted(name)))

    def output(self, name: str) -> jax.Array:
        """An output as the caller sees it: every entry, batch axes first."""
        block = self.values[name]
        dense = to_dense(block)
        return dense if len(block.type.batch) == 2 else dense[0]

    def run(self, planned: StagePlan) -> None:
        """Computes the values of one stage that others need."""
        if planned.fused is not None and self.kernel is not None:
            scope = self.scope(planned.stage, {})
            self.values |= self.kernel(self.plan.graph, planned.stage, planned.fused, scope)
            return
        if planned.chunk is not None:
            self.values |= _Loop(self, planned, planned.chunk).run()
            return
        scope = self.scope(planned.stage, {keys: self.roots(keys) for keys in row_keys(planned.stage.items)})
        for item in planned.stage.items:
            scope.emit(item)
        self.values |= {name: scope.values[name] for name in planned.stage.kept}

    def scope(self, stage: Stage, roots1: Mapping[Keys, jax.Array]) -> Scope:
        """For all examples and lanes."""
        margins = self.plan.margins
        outside = {x: self.values[x].with_margins(margins.get(x, ())) for x in stage.outside if x in self.values}
        scope = Scope(self.context, self.x1, self.x2, margins, stage.holdings, roots1, self.roots)
        scope.values.update(outside)
        return scope


def row_keys(items: Iterable[Item]) -> list[Keys]:
    """What the integrals among the items take of the first examples."""
    found: dict[Keys, None] = {}
    for item in items:
        blocks = item.blocks if isinstance(item, Run) else ((item,),)
        for nodes in zip(*blocks, strict=True):
            if is_cross_integral(nodes[0]):
                found[tuple(root_keys(node)[0] for node in nodes)] = None
    return list(found)


@dataclass(frozen=True)
class _Loop:
    """The loops over lanes and rows of one stage. They write what outlives the stage into arrays of whole values."""

    program: _Program
    plan: StagePlan
    chunk: Chunk
    tables: dict[Any, jax.Array] = field(default_factory=dict)

    def run(self) -> dict[str, Block]:
        """Whole values that outlive the stage."""
        stage = self.plan.stage
        steps, _ = self.plan.steps(self.chunk.rows)
        totals = self._zeros(node.name for node in stage.readouts)
        stored = self._zeros(stage.stored)
        if steps == 1:
            totals, stored = self._lanes(None, totals, stored)
        else:
            if self.plan.tables:
                self.tables.update(self._scope(jnp.zeros((), jnp.int32)).tables(stage.items))
            starts: Any = np.arange(steps, dtype=np.int32) * self.plan.count

            @partial(jax.checkpoint, prevent_cse=False)
            def lanes(done: tuple[Outputs, Outputs], start: jax.Array) -> tuple[tuple[Outputs, Outputs], tuple[()]]:
                return self._lanes(start, *done), ()

            (totals, stored), _ = lax.scan(lanes, (totals, stored), starts)
        return {name: self._whole(name, x) for name, x in {**totals, **stored}.items()}

    def _zeros(self, names: Iterable[str]) -> dict[str, jax.Array]:
        """(*positions, rows, lanes, columns) of whole values."""
        x1, x2 = self.program.x1, self.program.x2
        types = {name: self.program.plan.graph.covariance_of(name) for name in names}
        return {
            name: jnp.zeros((*type_.spatial, x1.shape[0], type_.lanes, x2.shape[0]), x1.dtype)
            for name, type_ in types.items()
        }

    def _whole(self, name: str, x: jax.Array) -> Block:
        return Block(x.reshape(*x.shape[:-2], -1), Lanes(self.program.plan.graph.covariance_of(name)), x.shape[-1])

    def _scope(self, start: jax.Array | None) -> Scope:
        """For all examples and the lanes from `start` on."""
        at_hand = AtHand(start, self.plan.count, self.plan.stage.by_row)
        scope = self.program.scope(self.plan.stage, {})
        return replace(scope, at_hand=at_hand, brought=Brought(tables=self.tables))

    def _lanes(self, start: jax.Array | None, totals: Outputs, stored: Outputs) -> tuple[Outputs, Outputs]:
        """With the sums over some lanes added to totals, and their entries in stored values."""
        template = self._scope(start)
        outside = {name: template.values.pop(name) for name in list(template.values)}
        for item in self.plan.stage.items:
            template.bring(item)
        roots = {keys: self.program.roots.with_others(keys) for keys in row_keys(self.plan.stage.items)}

        def rows(done: tuple[Outputs, Outputs], first: jax.Array) -> tuple[tuple[Outputs, Outputs], tuple[()]]:
            scope = self._rows(template, outside, roots, first)
            for item in self.plan.stage.items:
                scope.emit(item)
            totals, stored = done
            totals = {name: _with_rows(x, first, scope.values[name], add=True) for name, x in totals.items()}
            stored = {name: _with_rows(x, first, scope.values[name]) for name, x in stored.items()}
            return (totals, stored), ()

        steps = self.program.x1.shape[0] // self.chunk.rows
        if steps == 1:
            return rows((totals, stored), jnp.zeros((), jnp.int32))[0]
        firsts = jnp.arange(steps, dtype=jnp.int32) * self.chunk.rows
        return lax.scan(jax.checkpoint(rows, prevent_cse=False), (totals, stored), firsts)[0]

    def _rows(
        self, template: Scope, outside: Mapping[str, Block], roots: Mapping[Keys, jax.Array], first: jax.Array
    ) -> Scope:
        """For some rows of what the template is for."""
        x1, count = self.program.x1, self.chunk.rows
        scope = replace(
            template,
            x1=_examples(x1, first, count, axis=0),
            roots1={keys: _examples(x, first, count, axis=x.ndim - 1) for keys, x in roots.items()},
            first_row=first,
            values=Values(),
        )
        for name, block in outside.items():
            scope.values[name] = _part(block, scope.lanes(block.type), first, count)
        return scope


def _part(block: Block, lanes: Lanes, first: jax.Array, count: int) -> Block:
    """Some rows and lanes of a whole value."""
    x, rank = block.array.reshape(*block.array.shape[:-1], -1, block.columns), block.rank
    sizes = (*x.shape[:rank], count, lanes.number, x.shape[-1])
    part = lax.dynamic_slice(x, _place(lanes, first), sizes, allow_negative_indices=False)
    return replace(block, array=part.reshape(*part.shape[:-2], -1), lanes=lanes)


def _with_rows(whole: jax.Array, first: jax.Array, block: Block, add: bool = False) -> jax.Array:
    """The array of a whole value, (*positions, rows, lanes, columns), with some rows and lanes of it written."""
    place, part = _place(block.lanes, first), block.separate
    if add:
        part = part + lax.dynamic_slice(whole, place, part.shape, allow_negative_indices=False)
    return lax.dynamic_update_slice(whole, part, place, allow_negative_indices=False)


def _place(lanes: Lanes, first: jax.Array) -> list[jax.Array]:
    """Where some rows and lanes begin in (*positions, rows, lanes, columns)."""
    starts = *(0,) * len(lanes.type.spatial), first, 0 if lanes.start is None else lanes.start, 0
    return [jnp.asarray(x, jnp.int32) for x in starts]


def _examples(x: jax.Array, first: jax.Array, count: int, axis: int) -> jax.Array:
    """Some of the examples along an axis."""
    return lax.dynamic_slice_in_dim(x, first, count, axis, allow_negative_indices=False)
