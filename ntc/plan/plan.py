"""The plan: everything about how a kernel graph runs on a target, for tiles of so many examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ntc.ir.graph import Graph, Node
from ntc.ir.platform import PLATFORMS, FastMemory
from ntc.ir.types import Target
from ntc.plan.chunk import Chunk
from ntc.plan.fused import Fused, fused
from ntc.plan.marginals import Marginals, marginals_of
from ntc.plan.margins import Margins, margins_of
from ntc.plan.rolling import Item, Run
from ntc.plan.stages import Stage, stages_of

MANY_COLUMNS = 16
"""From so many second examples on, rows that are gathered are long, and tables of them are not worth their memory."""


KernelPath = Literal["auto", "pallas", "xla"]
"""Whether stages are one kernel each where they can be, or all are computations of XLA. With `pallas`, a kernel that
cannot be compiled, or that gives something else than XLA, is an error; with `auto`, XLA computes the stages then."""


@dataclass(frozen=True)
class StagePlan:
    """How one stage runs.

    Attributes:
      stage: its values.
      chunk: lanes and rows that are computed at a time; None where the stage runs whole.
      tables: whether what is read of second examples is brought once into tables, of which every chunk takes slices.
      fused: how it runs as one kernel; None if it is a computation of XLA.
      reason: why it is none, where stages may be.
    """

    stage: Stage
    chunk: Chunk | None
    tables: bool
    fused: Fused | None = None
    reason: str = ""

    @property
    def count(self) -> int:
        """Lanes of a chunk, or rows of lanes where only these are independent."""
        lanes = self.stage.lanes if self.chunk is None else self.chunk.lanes
        return lanes // (self.stage.lanes // self.stage.rows) if self.stage.by_row else lanes

    def steps(self, rows: int) -> tuple[int, int]:
        """How often the loops over lanes and over rows go round."""
        return (1, 1) if self.chunk is None else (self.stage.lanes // self.chunk.lanes, rows // self.chunk.rows)


@dataclass(frozen=True)
class Plan:
    """How a kernel graph runs. Backends trace it and decide nothing; what is shown and priced is read from it.

    Attributes:
      graph: the kernel graph, with types.
      target: the platform.
      rows, columns: numbers of first and second examples; not numbers where a program is for any.
      marginals: values of single examples.
      margins: zeros around values between two examples.
      stages: in the order in which they run.
    """

    graph: Graph
    target: Target
    rows: Any
    columns: Any
    marginals: tuple[Marginals, ...]
    margins: Mapping[str, Margins]
    stages: tuple[StagePlan, ...]

    def in_order(self) -> tuple[tuple[Node, ...], tuple[Repeat, ...]]:
        """All nodes in the order in which they run, and which of them are repeated blocks."""
        nodes: list[Node] = []
        repeats: list[Repeat] = []
        for marginals in self.marginals:
            _append(marginals.items, nodes, repeats)
            if marginals.paired:
                first = len(nodes)
                _append(marginals.items, nodes, repeats)
                nodes[first:] = [self.graph.definitions[marginals.paired[node.name]] for node in nodes[first:]]
        for planned in self.stages:
            _append(planned.stage.items, nodes, repeats)
        return tuple(nodes), tuple(repeats)


@dataclass(frozen=True)
class Repeat:
    """Repeated blocks: the number of the first node, nodes of a block, how many blocks."""

    first: int
    size: int
    count: int


def _append(items: Iterable[Item], nodes: list[Node], repeats: list[Repeat]) -> None:
    for item in items:
        if isinstance(item, Run):
            repeats.append(Repeat(len(nodes), len(item.block), len(item.blocks)))
        nodes += item.nodes if isinstance(item, Run) else (item,)


def repeats_of(items: Iterable[Item]) -> tuple[Repeat, ...]:
    """Which of the nodes among the items are repeated blocks."""
    repeats: list[Repeat] = []
    _append(items, [], repeats)
    return tuple(repeats)


def plan(graph: Graph, target: Target, rows: Any, columns: Any, path: KernelPath = "auto") -> Plan:
    """The plan of a kernel graph with types, for these numbers of examples."""
    fast = PLATFORMS[target].fast if path != "xla" and isinstance(rows, int) else None
    stages = stages_of(graph, fast)
    margins = margins_of(graph, [item for stage in stages for item in stage.items], target)
    planned = tuple(_planned(graph, stage, target, rows, columns, fast) for stage in stages)
    return Plan(graph, target, rows, columns, marginals_of(graph, target), margins, planned)


def _planned(graph: Graph, stage: Stage, target: Target, rows: Any, columns: Any, fast: FastMemory | None) -> StagePlan:
    kernel = "" if fast is None else fused(graph, stage, fast, rows, columns)
    if isinstance(kernel, Fused):
        return StagePlan(stage, None, False, kernel)
    chunk = Chunk.choose(stage, target, rows, columns)
    looped = chunk is not None and chunk.lanes < stage.lanes
    tables = looped and isinstance(columns, int) and columns < MANY_COLUMNS
    return StagePlan(stage, chunk, tables, reason=kernel)
