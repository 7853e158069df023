"""Rolling: repeated blocks of a list of nodes, found on the graph, however they were written.

A block is repeated where node after node has the same op and type, and the same distance to each operand, as the node
one period before. A backend then runs one block in a loop, whose time to compile does not depend on the depth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ntc.ir.graph import Node
from ntc.ir.kernel import GaussianIntegral

LEAST_REPEATS = 3
"""Fewer are written out."""

_LONGEST_PERIOD = 256


@dataclass(frozen=True)
class Run:
    """Blocks of one structure, each of which reads the one before it.

    Attributes:
      before: what the first block reads in place of a block before it, by position; None where nothing is read.
      blocks: the nodes of every block.
      carried: positions in a block that the next block, or a node after the run, reads.
    """

    before: tuple[Node | None, ...]
    blocks: tuple[tuple[Node, ...], ...]
    carried: tuple[int, ...]

    @property
    def nodes(self) -> Iterable[Node]:
        """The nodes of all blocks."""
        return (node for block in self.blocks for node in block)


Item = Node | Run


def roll(nodes: Sequence[Node], used_later: Iterable[str] = ()) -> list[Item]:
    """The nodes in order, with repeated blocks as runs. `used_later` are names that are read after all nodes."""
    used = frozenset(used_later)
    items: list[Item] = []
    start = 0
    signatures = _signatures(nodes)
    while start < len(nodes):
        found = _longest(nodes, signatures, start, used)
        if found is None:
            return [*items, *nodes[start:]]
        first, run = found
        items += [*nodes[start:first], run]
        start = first + sum(1 for _ in run.nodes)
    return items


def _signatures(nodes: Sequence[Node]) -> npt.NDArray[np.intp]:
    """A number per node; equal numbers are the same op and type with operands at the same distances."""
    index = {node.name: i for i, node in enumerate(nodes)}
    numbers: dict[object, int] = {}
    found = []
    for i, node in enumerate(nodes):
        operands = tuple(i - index[x] if x in index else _outside(node, x) for x in node.operands)
        found.append(numbers.setdefault((type(node.op), node.op, node.type, operands), len(numbers)))
    return np.array(found, np.intp)


def _outside(node: Node, operand: str) -> str:
    """Marginals of integrals may differ from block to block; any other value from elsewhere is the same for all."""
    marginal = isinstance(node.op, GaussianIntegral) and operand != node.operands[0]
    return "" if marginal else operand


def _longest(
    nodes: Sequence[Node], signatures: npt.NDArray[np.intp], start: int, used: frozenset[str]
) -> tuple[int, Run] | None:
    """The run from `start` on that covers most nodes, and where it begins; of equal ones the shortest block."""
    best: tuple[int, Run] | None = None
    covered = 0
    for period in range(1, min(_LONGEST_PERIOD, (len(nodes) - start) // LEAST_REPEATS) + 1):
        equal = signatures[start + period :] == signatures[start:-period]
        for low, high in _stretches(equal, period * (LEAST_REPEATS - 1)):
            if high - low + period > covered:
                run = _run(nodes, start + low, period, (high - low) // period + 1, used)
                if run is not None and sum(1 for _ in run[1].nodes) > covered:
                    best, covered = run, sum(1 for _ in run[1].nodes)
    return best


def _stretches(equal: npt.NDArray[np.bool_], least: int) -> Iterable[tuple[int, int]]:
    """Where runs of True of at least this length begin and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], equal, [False]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= least]


def _run(nodes: Sequence[Node], start: int, period: int, count: int, used: frozenset[str]) -> tuple[int, Run] | None:
    """The run, without its first block if what is before that has another type; None if it is not one."""
    index = {node.name: i for i, node in enumerate(nodes)}
    template = nodes[start + period : start + 2 * period]
    back = {start + period - index[x] for node in template for x in node.operands if x in index}
    if any(distance > period for distance in back):
        return None
    read = {period - distance for distance in back if distance > 0}
    if any(start - period + q < 0 or nodes[start - period + q].type != nodes[start + q].type for q in read):
        start, count = start + period, count - 1
    if count < LEAST_REPEATS or any(nodes[start - period + q].type != nodes[start + q].type for q in read):
        return None
    stop = start + count * period
    blocks = tuple(tuple(nodes[i : i + period]) for i in range(start, stop, period))
    after = {x for node in nodes[stop:] for x in node.operands} | used
    if any(node.name in after for block in blocks[:-1] for node in block):
        return None
    later = {q for q, node in enumerate(blocks[-1]) if node.name in after}
    before = tuple(nodes[start - period + q] if q in read else None for q in range(period))
    return start, Run(before, blocks, tuple(sorted(read | later)))
