"""Tracing the values between some examples, in some lanes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp

from ntc.backends.jax.emit.context import AtHand, Brought, Context
from ntc.backends.jax.emit.lane_array import Block, Lanes, layout_of, repeat_columns, with_margins
from ntc.backends.jax.emit.marginal_terms import Key, Keys, root, root_keys
from ntc.backends.jax.emit.rows import EMITTERS
from ntc.backends.jax.emit.windows import Masks
from ntc.backends.jax.hyper import bound, number_of
from ntc.backends.jax.inputs import read
from ntc.ir.graph import Node, kernel_op
from ntc.ir.op import covariance
from ntc.ir.types import CovarianceType
from ntc.plan import Holding, Item, Margins, Run, is_cross, unrolled


class Values(dict[str, Block]):
    """Blocks by name. Some, of one reader each, are computed when that asks for them: within its own computation."""

    def __init__(self, known: Mapping[str, Block] | None = None) -> None:
        super().__init__(known or {})
        self._deferred: dict[str, Callable[[], Block]] = {}

    def defer(self, name: str, block: Callable[[], Block]) -> None:
        """Adds a block that is computed when it is asked for, once."""
        self._deferred[name] = block

    def __missing__(self, name: str) -> Block:
        return self._deferred.pop(name)()

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self._deferred

    def settle(self) -> None:
        """Computes all blocks that have not been asked for."""
        for name in list(self._deferred):
            self[name] = self[name]


@dataclass(frozen=True)
class Scope:
    """The values between some examples, in some lanes, while they are traced.

    Attributes:
      context: what is the same for all values of the program.
      x1, x2: the inputs of these examples, (examples, *spatial, channels).
      margins: zeros around the positions of values that filters read.
      holdings: how values are held.
      roots1: what integrals take of the marginals of x1, (*positions, rows); stacked for the blocks of a run, and
        with terms before the positions where they take several numbers.
      roots2: the same of x2, for all examples.
      at_hand: the lanes.
      first_row: index among all examples of the first row.
      brought: what is made once for the lanes at hand.
      values: blocks by name.
      found: what integrals take of marginals among the values.
    """

    context: Context
    x1: jax.Array
    x2: jax.Array
    margins: Mapping[str, Margins]
    holdings: Mapping[str, Holding]
    roots1: Mapping[Keys, jax.Array] = field(default_factory=dict)
    roots2: Callable[[Keys], jax.Array] | None = None
    at_hand: AtHand = field(default_factory=AtHand)
    first_row: Any = 0
    brought: Brought = field(default_factory=Brought)
    values: Values = field(default_factory=Values)
    found: dict[Key, jax.Array] = field(default_factory=dict)

    @property
    def rows(self) -> Any:
        """Number of first examples."""
        return self.x1.shape[0]

    @property
    def columns(self) -> Any:
        """Number of second examples."""
        return self.x2.shape[0]

    def lanes(self, type_: CovarianceType) -> Lanes:
        """The lanes at hand of a value."""
        return self.at_hand.of(type_)

    def bring(self, item: Item) -> None:
        """Brings to the lanes at hand what a node or a run needs there, unless it is there."""
        blocks = item.blocks if isinstance(item, Run) else ((item,),)
        for nodes in zip(*blocks, strict=True):
            self._bring(nodes)

    def _bring(self, nodes: tuple[Node, ...]) -> None:
        op, type_ = kernel_op(nodes[0]), covariance(nodes[0].type)
        if type_.lanes > 1 and layout_of(type_) not in self.brought.own and self._has_distances(nodes[0]):
            mask = repeat_columns(self.lanes(type_).on_diagonal(), self.columns).astype(self.x1.dtype)
            self.brought.own[layout_of(type_)] = self.context.boundary.stored(lambda: mask)
        if op.filters:
            geometry: Any = op.slides(covariance(self.context.types[nodes[0].operands[0]]).spatial)
            known = geometry, layout_of(type_)
            if known not in self.brought.masks:
                masks = Masks.of(geometry, self.lanes(type_), self.columns, self.x1.dtype)
                self.brought.masks[known] = replace(masks, stack=self.context.boundary.stored(lambda: masks.stack))
        elif (known := self._needed(nodes)) and known not in self.brought.shifted:
            lanes = self.lanes(type_)
            sliced = known in self.brought.tables
            x = self.brought.tables[known] if sliced else self._second(known[0], type_)
            shift = lanes.from_table if sliced else lanes.shifted
            self.brought.shifted[known] = _over(self._leading(known, x.ndim - sliced, type_), shift)(x)

    def _has_distances(self, node: Node) -> bool:
        """Whether the node reads or gives a value in the distance form."""
        types = [node.type, *(self.context.types[x] for x in node.operands)]
        return any(isinstance(x, CovarianceType) and x.form == "distance" for x in types)

    def _needed(self, nodes: tuple[Node, ...]) -> Any:
        """What a node, or the nodes at one place of all blocks, need of second examples at p'; None if nothing."""
        type_ = covariance(nodes[0].type)
        if reading := kernel_op(nodes[0]).reading:
            return ("x2", reading), layout_of(type_)
        if is_cross_integral(nodes[0]):
            return tuple(root_keys(node)[1] for node in nodes), layout_of(type_)
        return None

    def _second(self, key: Any, type_: CovarianceType) -> jax.Array:
        """What is needed, at every position: (*positions, columns, ...)."""
        if key[0] == "x2":
            return jnp.moveaxis(read(key[1], self.x2), 0, len(type_.spatial))
        assert self.roots2 is not None
        return self.roots2(key)

    def _leading(self, known: Any, axes: int, type_: CovarianceType) -> int:
        """How many axes stand before the positions: of the blocks of a run, and of terms."""
        return 0 if known[0][0] == "x2" else axes - len(type_.spatial) - 1

    def tables(self, items: Iterable[Item]) -> dict[Any, jax.Array]:
        """Tables of which every chunk of lanes takes slices, where lanes lie in one row."""
        tables = {}
        for item in items:
            blocks = item.blocks if isinstance(item, Run) else ((item,),)
            for nodes in zip(*blocks, strict=True):
                known, type_ = self._needed(nodes), covariance(nodes[0].type)
                lanes = self.lanes(type_)
                if known and lanes.in_one_row:
                    x = self._second(known[0], type_)
                    tables[known] = _over(self._leading(known, x.ndim, type_), lanes.table)(x)
        return tables

    def marginals(self, node: Node) -> tuple[jax.Array, jax.Array]:
        """What the integral takes of the marginals at p and at p', to broadcast against its entries."""
        type_ = covariance(node.type)
        key1, key2 = root_keys(node)
        if len(type_.batch) == 2:
            return self.roots1[key1,][..., None], self.brought.shifted[(key2,), layout_of(type_)]
        first, second = self.root(*key1), self.root(*key2)
        shifted = _over(second.ndim - len(type_.spatial) - 1, self.lanes(type_).shifted)(second)
        return jnp.tile(jnp.expand_dims(first, first.ndim - 1), type_.lanes), shifted

    def same(self, type_: CovarianceType) -> Any:
        """Mask of the entries (n, n, p, p) of an input with itself or with an equal one; None if there are none, True
        if there are no others."""
        equal, single = self.context.equal, len(type_.batch) == 1
        if len(set(type_.batch)) == 2 and equal is None:
            return None
        on_diagonal = self.lanes(type_).on_diagonal()
        if single:
            return True if type_.lanes == 1 else repeat_columns(on_diagonal, self.columns)
        row = self.first_row + jnp.arange(self.rows)
        same = (row[:, None] == jnp.arange(self.columns))[:, None, :] & jnp.asarray(on_diagonal)[:, None]
        same = same if equal is None else same & equal
        return same.reshape(self.rows, -1)

    def root(self, name: str, function: Callable[[jax.Array], jax.Array]) -> jax.Array:
        """What integrals take of a marginal at hand, computed once."""
        key = name, function
        if key not in self.found:
            self.found[key] = root(self.values[name], function)
        return self.found[key]

    def emit(self, item: Item, results: Callable[[Scope], Any] = lambda scope: ()) -> Any:
        """Traces a node, or a run in a loop; then `results` of every block of the run, stacked."""
        self.bring(item)
        if isinstance(item, Run):
            return self._emit_run(item, results)
        type_ = covariance(item.type)
        margins = self.margins.get(item.name, ())
        if kernel_op(item).integral and not is_cross(item):
            for key in root_keys(item):
                self.root(*key)

        node = replace(item, op=bound(item.op, self.context.hyper))

        def compute() -> jax.Array:
            operands = [self.values[x] for x in item.operands if x in self.values]
            with jax.named_scope(f"ntc.{item.name}"):
                return with_margins(EMITTERS[type(kernel_op(node))](self, node, type_, operands), margins)

        def block(array: jax.Array) -> Block:
            return Block(array, self.lanes(type_), self.columns, margins)

        holding = self.holdings[item.name]
        if holding == "deferred":
            self.values.defer(item.name, lambda: block(compute()))  # in the checkpoint of its reader
            return ()
        computed = jax.checkpoint(compute, prevent_cse=False)
        self.values[item.name] = block(self.context.boundary.stored(computed) if holding == "stored" else computed())
        return ()

    def _shape(self, node: Node) -> tuple[tuple[Any, ...], Any]:
        """Of the array of a value, with margins, and its type."""
        type_ = covariance(node.type)
        margins = self.margins.get(node.name, ((0, 0),) * len(type_.spatial))
        positions = [size + low + high for size, (low, high) in zip(type_.spatial, margins, strict=True)]
        rows = self.rows if len(type_.batch) == 2 else 1
        return (*positions, rows, self.lanes(type_).number * self.columns), self.x1.dtype

    def _emit_run(self, run: Run, results: Callable[[Scope], Any]) -> Any:
        """One block in a loop. It is traced under the names of the second block, whose operands are in the first."""
        first, block, last = run.blocks[0], run.block, run.blocks[-1]
        self.values.settle()

        def step(carry: tuple[jax.Array, ...], given: Any) -> Any:
            roots, numbers = given
            roots1: dict[Keys, jax.Array] = {}
            shifted = dict(self.brought.shifted)
            for node, (own, other) in zip(integrals, roots, strict=True):
                key1, key2 = root_keys(node)
                roots1[key1,], shifted[(key2,), layout_of(covariance(node.type))] = own, other
            scope = replace(
                self,
                context=replace(self.context, hyper={**(self.context.hyper or {}), **numbers}),
                roots1=roots1,
                brought=replace(self.brought, shifted=shifted),
                values=Values(self.values),
                found=dict(self.found),
            )
            for position, array in zip(run.carried, carry, strict=True):
                scope.values[first[position].name] = self._block(first[position], array)
            for node in block:
                scope.emit(node)
            return tuple(scope.values[block[i].name].array for i in run.carried), results(scope)

        alike = {(root_keys(x), layout_of(covariance(x.type))): x for x in block if is_cross_integral(x)}
        integrals = list(alike.values())  # one of those that read the same: XLA would bring that for each of them
        roots = [self._stacked_roots(run, block.index(node)) for node in integrals]
        carry, stacked = jax.lax.scan(
            jax.checkpoint(step, prevent_cse=False),
            self._before(run),
            (roots, self.numbers(run)),
            length=len(run.blocks),
            unroll=unrolled(run, self.context.boundary.target),
        )
        for position, array in zip(run.carried, carry, strict=True):
            self.values[last[position].name] = self._block(last[position], array)
        return stacked

    def numbers(self, run: Run) -> dict[str, jax.Array]:
        """The numbers in which blocks differ, (blocks,)."""
        hyper = self.context.hyper
        found = {name: [number_of(value, hyper) for value in values] for name, values in run.numbers.items()}
        return {name: jnp.stack([jnp.asarray(x, self.x1.dtype) for x in values]) for name, values in found.items()}

    def _block(self, node: Node, array: jax.Array) -> Block:
        return Block(array, self.lanes(covariance(node.type)), self.columns, self.margins.get(node.name, ()))

    def _stacked_roots(self, run: Run, position: int) -> tuple[jax.Array, jax.Array]:
        nodes = [block[position] for block in run.blocks]
        keys1, keys2 = zip(*map(root_keys, nodes), strict=True)
        return self.roots1[keys1], self.brought.shifted[keys2, layout_of(covariance(nodes[0].type))]

    def _before(self, run: Run) -> tuple[jax.Array, ...]:
        """What the first block reads; zeros for what is only read after the run."""
        arrays = []
        for position in run.carried:
            before, node = run.before[position], run.blocks[0][position]
            margins = self.margins.get(node.name, ())
            arrays.append(
                jnp.zeros(*self._shape(node)) if before is None else self.values[before].with_margins(margins).array
            )
        return tuple(arrays)


def _over(axes: int, function: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
    """The function on every entry of so many leading axes."""
    for _ in range(axes):
        function = jax.vmap(function)
    return function


def is_cross_integral(node: Node) -> bool:
    """Whether the node integrates over pairs of examples."""
    return kernel_op(node).integral and is_cross(node)
