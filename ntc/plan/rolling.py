"""Rolling: repeated blocks of a list of nodes, found on the graph, however they were written.

A block is repeated where node after node has the same op but for numbers in it, the same type, and the same distance
to each operand, as the node one period before. A backend then runs one block in a loop, whose time to compile does not
depend on the depth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ntc.ir.graph import Node, covariance_operands
from ntc.ir.hyper import Hyper, shape_of, stacked
from ntc.ir.op import KernelOp, Op, covariance
from ntc.ir.platform import PLATFORMS
from ntc.ir.types import Target, Type

LEAST_REPEATS = 3
"""Fewer are written out."""

_LONGEST_PERIOD = 256


@dataclass(frozen=True)
class Run:
    """Blocks of one structure, each of which reads the one before it. They may differ in numbers, as scales.

    Attributes:
      before: names of what the first block reads in place of a block before it, by position; None where nothing is
        read.
      blocks: the nodes of every block.
      carried: positions in a block that the next block, or a node after the run, reads.
    """

    before: tuple[str | None, ...]
    blocks: tuple[tuple[Node, ...], ...]
    carried: tuple[int, ...]

    @cached_property
    def block(self) -> tuple[Node, ...]:
        """The second block, whose operands are in the first; with hyperparameters where blocks differ in a number."""
        ops, _ = self._stacked
        return tuple(replace(node, op=op) for node, op in zip(self.blocks[1], ops, strict=True))

    @property
    def numbers(self) -> Mapping[str, tuple[float | Hyper, ...]]:
        """The values of these hyperparameters in every block: numbers, or hyperparameters of the network."""
        return self._stacked[1]

    @cached_property
    def _stacked(self) -> tuple[list[Op], dict[str, tuple[Any, ...]]]:
        numbers: dict[str, tuple[Any, ...]] = {}
        alike = enumerate(zip(*self.blocks, strict=True))
        return [stacked([node.op for node in nodes], f"block_{i}", numbers) for i, nodes in alike], numbers

    @property
    def nodes(self) -> Iterable[Node]:
        """The nodes of all blocks."""
        return (node for block in self.blocks for node in block)

    @property
    def size(self) -> int:
        """Number of nodes of all blocks."""
        return len(self.blocks) * len(self.blocks[0])


Item = Node | Run


def unrolled(run: Run, target: Target) -> bool:
    """Whether the blocks are written out one after the other rather than looped over."""
    positions = any(covariance(node.type).spatial for node in run.block)
    return not positions and len(run.blocks) <= PLATFORMS[target].unrolled


def roll(nodes: Sequence[Node], types: Mapping[str, Type], used_later: Iterable[str] = ()) -> list[Item]:
    """The nodes in order, with repeated blocks as runs.

    `types` are those of all values that nodes read; `used_later` are names that are read after all nodes.
    """
    return _Finder(nodes, types, frozenset(used_later)).items(0, len(nodes))


class _Finder:
    """Repeated blocks of a list of nodes."""

    def __init__(self, nodes: Sequence[Node], types: Mapping[str, Type], used_later: frozenset[str]) -> None:
        self._nodes, self._types = nodes, types
        self._index = {node.name: i for i, node in enumerate(nodes)}
        self._last_use = {x: i for i, node in enumerate(nodes) for x in node.operands}
        filters = [node for node in nodes if isinstance(node.op, KernelOp) and node.op.filters]
        self._filtered = {x for node in filters for x in node.operands}
        self._last_use |= dict.fromkeys(used_later, len(nodes))
        self._shapes = [shape_of(node.op) for node in nodes]
        numbers: dict[object, int] = {}
        signatures = [numbers.setdefault(self._signature(i), len(numbers)) for i in range(len(nodes))]
        self._signatures = np.array(signatures, np.intp)

    def _signature(self, i: int) -> object:
        """Equal ones are the same op and type with operands at the same distances."""
        node = self._nodes[i]
        operands = tuple(i - self._index[x] if x in self._index else _outside(node, x) for x in node.operands)
        return type(node.op), self._shapes[i], node.type, operands

    def items(self, start: int, stop: int) -> list[Item]:
        """The nodes from `start` up to `stop`, with repeated blocks as runs: the longest, and those around it."""
        items: list[Item] = []
        pending: list[Run | tuple[int, int]] = [(start, stop)]  # the next is the last: there may be thousands of runs
        while pending:
            part = pending.pop()
            found = None if isinstance(part, Run) else self._longest(*part)
            if isinstance(part, Run):
                items.append(part)
            elif found is None:
                items += self._nodes[part[0] : part[1]]
            else:
                first, run = found
                pending += [(first + run.size, part[1]), run, (part[0], first)]
        return items

    def _longest(self, start: int, stop: int) -> tuple[int, Run] | None:
        """The run that covers most nodes, and where it begins. Of equal ones, the shortest block, and of that the
        beginning with which least is carried from block to block, and of that what filters read, which is stored
        anyway."""
        best: tuple[int, Run] | None = None
        score = (0, 0, 0)
        signatures = self._signatures[start:stop]
        for period in range(1, min(_LONGEST_PERIOD, len(signatures) // LEAST_REPEATS) + 1):
            if best is not None and period % len(best[1].blocks[0]) == 0:
                continue  # the same blocks, several at a time
            equal = signatures[period:] == signatures[:-period]
            for low, high in _stretches(equal, period * (LEAST_REPEATS - 2)):
                if high - low + 2 * period <= score[0]:
                    continue
                for first in range(start + low, start + min(high + 1, low + period)):
                    found = self._run(start, first, period, (start + high - first) // period + 1)
                    if found and self._score(found[1]) > score:
                        best, score = found, self._score(found[1])
        return best

    def _score(self, run: Run) -> tuple[int, int, int]:
        carried = [run.blocks[0][position].name for position in run.carried]
        return run.size, -len(carried), sum(name in self._filtered for name in carried)

    def _run(self, earliest: int, first: int, period: int, count: int) -> tuple[int, Run] | None:
        """The run of `count` alike blocks, and of one before them that is alike but for what it reads; None if too few
        are a run."""
        if count < LEAST_REPEATS - 1:
            return None
        if first - period >= earliest and self._before(first - period, period) is not None:
            first, count = first - period, count + 1
        before = self._before(first, period)
        if before is None and count > LEAST_REPEATS:
            first, count = first + period, count - 1
            before = self._before(first, period)
        if before is None or count < LEAST_REPEATS:
            return None
        return self._uncut(first, period, count, before)

    def _uncut(self, first: int, period: int, count: int, before: tuple[str | None, ...]) -> tuple[int, Run] | None:
        """The most of these blocks of which none but the last is read by others than the next; None if too few are."""
        cuts = [-1, *(n for n in range(count - 1) if self._is_read_later(first + n * period, period)), count - 1]
        size, begin = max((b - a, -a - 1) for a, b in pairwise(cuts))
        begin = -begin
        if begin:
            found = self._before(first + begin * period, period) if size >= LEAST_REPEATS else None
            if found is None:
                return None
            before = found
        if size < LEAST_REPEATS:
            return None
        start, stop = first + begin * period, first + (begin + size) * period
        blocks = tuple(tuple(self._nodes[i : i + period]) for i in range(start, stop, period))
        later = {q for q, node in enumerate(blocks[-1]) if self._last_use.get(node.name, 0) >= stop}
        read = {q for q, name in enumerate(before) if name is not None}
        return start, Run(before, blocks, tuple(sorted(read | later)))

    def _is_read_later(self, first: int, period: int) -> bool:
        """Whether a node of the block from `first` on is read after the next block."""
        end = first + 2 * period
        return any(self._last_use.get(node.name, 0) >= end for node in self._nodes[first : first + period])

    def _before(self, first: int, period: int) -> tuple[str | None, ...] | None:
        """What the block from `first` on reads in place of values of the block before; None if it is not like the block
        after it, or what it reads is not like what that reads."""
        before: list[str | None] = [None] * period
        for i in range(first, first + period):
            node, like = self._nodes[i], self._nodes[i + period]
            ops = self._shapes[i], self._shapes[i + period]
            if (ops[0], node.type, len(node.operands)) != (ops[1], like.type, len(like.operands)):
                return None
            for own, other in zip(node.operands, like.operands, strict=True):
                place = self._index.get(other, -1) - first - period
                if other not in self._index:
                    if _outside(node, own) != _outside(like, other):
                        return None
                elif place >= 0:
                    if self._index.get(own) != first + place:
                        return None
                elif place < -period or self._types[own] != self._types[other] or before[place] not in (None, own):
                    return None
                elif self._index.get(own, -1) >= first:
                    return None  # it is computed in the block itself, where the one after it reads from before
                else:
                    before[place] = own
        return tuple(before)


def _outside(node: Node, operand: str) -> str:
    """Marginals of integrals may differ from block to block; any other value from elsewhere is the same for all."""
    return operand if operand in covariance_operands(node) else ""


def _stretches(equal: npt.NDArray[np.bool_], least: int) -> Iterable[tuple[int, int]]:
    """Where runs of True of at least this length begin and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], equal, [False]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= least]
