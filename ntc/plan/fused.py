"""Which stages of an accelerator are one kernel each, and how such a kernel goes through its values.

Between two examples, a stage of layers is computed for some entries at a time and all positions, in fast memory: from
the inputs to what leaves the stage, nothing else is written. It goes over positions in sweeps; what a filter reads, and
what later sweeps read, lies in planes in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from ntc.ir.graph import Graph, Node, kernel_op
from ntc.ir.kernel.inputs import FEW_CHANNELS
from ntc.ir.op import covariance
from ntc.ir.platform import FastMemory
from ntc.ir.types import Spatial
from ntc.plan.planes import Memory, memory_of
from ntc.plan.stages import Stage, is_cross
from ntc.plan.sweeps import Part, parts_of, sweeps_in

MOST_AXES = 2


@dataclass(frozen=True)
class Fused:
    """How a stage runs as one kernel.

    Attributes:
      fast: the memory that it works in.
      entries: entries of a row of lanes that are computed at a time.
      parts: its sweeps in order.
      memory: planes of values between sweeps.
    """

    fast: FastMemory
    entries: int
    parts: tuple[Part, ...]
    memory: Memory

    def strip(self, spatial: Spatial) -> int:
        """Positions of the first axis that are computed at once."""
        found = _strip(self.fast, self.entries, spatial)
        assert found is not None
        return found

    @property
    def bytes(self) -> int:
        """Of all planes."""
        return 4 * self.memory.positions * self.entries * self.fast.rows


def fused(graph: Graph, stage: Stage, fast: FastMemory, rows: Any, columns: Any) -> Fused | str:
    """The kernel of a stage, or why it is none."""
    if not isinstance(rows, int) or not isinstance(columns, int):
        return "numbers of examples are not known"
    if reason := _problem(graph, stage):
        return reason
    parts = parts_of(graph, stage.items, stage.kept)
    outside = {x for x in stage.outside if x in graph.definitions and is_cross(graph.definitions[x])}
    memory = memory_of(graph, parts, outside)
    sizes = {sweep.spatial for part in parts for sweep in sweeps_in(part)} | {x.parts for x, _ in memory.pools}
    for entries in fast.entries:
        found = Fused(fast, entries, parts, memory)
        if all(_strip(fast, entries, spatial) for spatial in sizes):
            too_much = f"its values take {found.bytes / 2**20:.3g} MiB of {fast.bytes / 2**20:.3g} that are near"
            return found if found.bytes <= fast.bytes else too_much
    return f"no strip of {' or '.join('x'.join(map(str, x)) for x in sizes)} positions fills vectors"


def _strip(fast: FastMemory, entries: int, spatial: Spatial) -> int | None:
    """The fewest positions of the first axis that, with all of the others, fill vectors; None if none do."""
    row = prod(spatial[1:]) * entries * fast.rows
    divisors = (n for n in range(1, spatial[0] + 1) if spatial[0] % n == 0)
    return next((n for n in divisors if n * row % fast.vector == 0 and n * row <= fast.longest), None)


def _problem(graph: Graph, stage: Stage) -> str | None:
    """Why no kernel computes the stage, whatever the numbers of examples."""
    nodes = list(stage.nodes)
    if not (stage.parallel and stage.spatial) or stage.by_row:
        return "its lanes are not apart"
    if not any(kernel_op(node).filters for node in nodes):
        return "it has no filter"
    if len(covariance(nodes[0].type).spatial) > MOST_AXES:
        return f"it has more than {MOST_AXES} axes"
    if any(covariance(node.type).dtype != "f32" for node in nodes):
        return "it is in float64"
    return next((reason for node in nodes if (reason := _refused(graph, node))), None)


def _refused(graph: Graph, node: Node) -> str | None:
    op = kernel_op(node)
    if not op.elementary:
        return f"%{node.name} is not elementary"
    if op.reading and op.operations(*(graph.types[x] for x in node.operands)) > 2 * FEW_CHANNELS:
        return f"%{node.name} is a product of matrices"
    if op.filters:
        axes = [axis for axis in op.slides(graph.covariance_of(node.operands[0]).spatial) or () if axis]
        if any(axis.padding == "circular" for axis in axes):
            return f"%{node.name} wraps around"
    return None
