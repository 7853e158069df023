"""What integrals take of marginals: once per example, not per pair."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from ntc.backends.jax.emit.lane_array import Block
from ntc.backends.jax.integrals import family
from ntc.backends.jax.integrals.distance import half_root
from ntc.ir.graph import Node

Key = tuple[str, Any]
"""A marginal, and the function of its variances that integrals take (a root, say)."""

Keys = tuple[Key, ...]
"""One for a node, and one for every block of a run."""


def root_keys(node: Node) -> tuple[Key, Key]:
    """What an integral needs of the marginals of x1 and x2."""
    op: Any = node.op
    function = half_root if op.reads == "distance" else family(op.phi).marginal_of(op.phi, op.derivative)
    return (node.operands[1], function), (node.operands[2], function)


def root(block: Block, function: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """What integrals take of a marginal: (*positions, examples), or (terms, *positions, examples)."""
    return function(jnp.squeeze(block.positionwise(), block.rank))


class Roots:
    """What integrals take of marginals: (*positions, examples), alone or stacked for the blocks of a run.

    There may be terms before the positions, as many for every example.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self._wanted = list(dict.fromkeys(keys))
        self._stacks: list[tuple[Keys, jax.Array, slice]] = []

    def wanted(self, name: str) -> list[Key]:
        """What is to be known of one marginal."""
        return [key for key in self._wanted if key[0] == name]

    def add(self, keys: Keys, stack: jax.Array, examples: slice) -> None:
        """Adds what was found for several marginals, of which some of the examples of a stack are."""
        self._stacks.append((keys, stack, examples))

    def __call__(self, keys: Keys) -> jax.Array:
        """For one key (*positions, examples), for several (keys, *positions, examples)."""
        return self._found(keys, lambda stack, examples: stack[..., examples])

    def with_others(self, keys: Keys) -> jax.Array:
        """The same, with other examples after them, for readers that take slices."""
        return self._found(keys, lambda stack, examples: stack[..., examples.start or 0 :])

    def _found(self, keys: Keys, chosen: Callable[[jax.Array, slice], jax.Array]) -> jax.Array:
        if len(keys) == 1:
            return self._one(keys[0], chosen)
        for known, stack, examples in self._stacks:
            if keys[0] in known:
                first = known.index(keys[0])
                if known[first : first + len(keys)] == keys:
                    return chosen(stack[first : first + len(keys)], examples)
        return jnp.stack([self._one(key, chosen) for key in keys])

    def _one(self, key: Key, chosen: Callable[[jax.Array, slice], jax.Array]) -> jax.Array:
        return next(
            chosen(stack[known.index(key)], examples) for known, stack, examples in self._stacks if key in known
        )
