"""What a network costs: entries, bytes and operations per pair of examples, beside tracking every pair of positions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from ntc.ir.graph import Graph, Node, kernel_op
from ntc.ir.lanes import axes_of
from ntc.ir.offsets import DIAGONAL, Offsets
from ntc.ir.op import covariance
from ntc.ir.types import CovarianceType, Spatial, Target
from ntc.plan.chunk import Chunk
from ntc.plan.plan import StagePlan, plan
from ntc.plan.rolling import Run
from ntc.plan.stages import Stage, is_cross

EXAMPLES = 32
"""Chunks are shown for so many examples on each side."""


@dataclass(frozen=True)
class LayerCost:
    """The values of one layer between two examples.

    Attributes:
      layer: its name in the network.
      spatial: sizes of its spatial axes.
      offsets: tracked offsets per axis, as the IR prints them.
      tracked, all_offsets: how many combinations of offsets are stored, and how many there are (modulo the sizes).
      layout: of the entries, in a word.
      entries, bytes, operations: of all its values.
      naive_entries, naive_operations: if every pair of positions were tracked.
    """

    layer: str
    spatial: Spatial
    offsets: str
    tracked: int
    all_offsets: int
    layout: str
    entries: int
    bytes: int
    operations: int
    naive_entries: int
    naive_operations: int


@dataclass(frozen=True)
class StageCost:
    """One stage of the schedule.

    Attributes:
      layers: first and last.
      values: number of values.
      lanes: number of lanes.
      chunk: rows and lanes that are computed at a time; None where the stage runs whole.
      repeated: (times, values) of every repeated block.
      stored: names of values that are kept whole.
      stored_bytes: their size per pair.
      kernel: of a stage that is one kernel, entries of a row of lanes at a time, and bytes of its planes.
    """

    layers: tuple[str, str]
    values: int
    lanes: int
    chunk: tuple[int, int] | None
    repeated: tuple[tuple[int, int], ...]
    stored: tuple[str, ...]
    stored_bytes: int
    kernel: tuple[int, int] | None = None


@dataclass(frozen=True)
class Explanation:
    """All of it; `reasons` say why an optimisation was not applied where one was not."""

    layers: tuple[LayerCost, ...]
    stages: tuple[StageCost, ...]
    reasons: tuple[str, ...]

    @property
    def operations(self) -> int:
        """Of all layers, per pair of examples."""
        return sum(layer.operations for layer in self.layers)

    @property
    def naive_operations(self) -> int:
        """The same if every pair of positions were tracked."""
        return sum(layer.naive_operations for layer in self.layers)

    @property
    def stored_bytes(self) -> int:
        """Of values that are kept whole, per pair of examples."""
        return sum(stage.stored_bytes for stage in self.stages)


def explain(graph: Graph, target: Target = "cpu") -> Explanation:
    """What a kernel graph costs that is the last one of the pipeline."""
    layers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if is_cross(node):
            layers.setdefault(layer_of(node.name), []).append(node)
    costs = tuple(_layer(graph, name, nodes) for name, nodes in layers.items())
    planned = plan(graph, target, EXAMPLES, EXAMPLES).stages
    stages = tuple(_stage(graph, x) for x in planned)
    return Explanation(costs, stages, tuple(_reasons(graph, [x.stage for x in planned])))


def layer_of(name: str) -> str:
    """The layer that a kernel value belongs to: `conv1` of `conv1.k`."""
    return name.rpartition(".")[0] or name


def _layer(graph: Graph, name: str, nodes: list[Node]) -> LayerCost:
    types = [covariance(node.type) for node in nodes]
    widest = max(types, key=lambda type_: type_.lanes)
    entries, naive = sum(x.entries for x in types), sum(_naive(x).entries for x in types)
    parts = zip(widest.offsets, widest.spatial, widest.moduli, strict=True)
    return LayerCost(
        name,
        widest.spatial,
        ", ".join(offsets.text(size, modulus) for offsets, size, modulus in parts),
        widest.lanes,
        prod(widest.spatial),
        _layout(widest),
        entries,
        entries * widest.itemsize,
        sum(_operations(graph, node, tracked=True) for node in nodes),
        naive,
        sum(_operations(graph, node, tracked=False) for node in nodes),
    )


def _naive(type_: CovarianceType) -> CovarianceType:
    """With a lane for every pair of positions."""
    return CovarianceType.dense(type_.dtype, type_.batch, type_.spatial)


def _operations(graph: Graph, node: Node, tracked: bool) -> int:
    types = [graph.type_of(x) for x in node.operands]
    operands = [x if tracked or not isinstance(x, CovarianceType) else _naive(x) for x in types]
    result = covariance(node.type) if tracked else _naive(covariance(node.type))
    return kernel_op(node).operations(*operands) * result.entries


def _layout(type_: CovarianceType) -> str:
    if not type_.spatial:
        return "numbers"
    axes = axes_of(type_)
    if all(axis.diagonal for axis in axes):
        return "diagonal"
    moduli = ", ".join(str(axis.modulus) for axis in axes)
    if all(len(axis.residues) == axis.modulus for axis in axes):
        return f"all, modulo {moduli}"
    steps = [offsets.step for offsets in type_.offsets if not offsets.diagonal]
    kind = "strided" if max(steps) > 1 else "band"
    return f"{kind}, modulo {moduli}"


def _stage(graph: Graph, planned: StagePlan) -> StageCost:
    stage, chunk = planned.stage, planned.chunk
    fused = planned.fused
    if chunk is None and fused is None and stage.parallel and stage.spatial:
        chunk = Chunk(stage.lanes, EXAMPLES)
    runs = [item for item in stage.items if isinstance(item, Run)]
    stored = [graph.covariance_of(name) for name in stage.stored]
    return StageCost(
        (layer_of(stage.nodes[0].name), layer_of(stage.nodes[-1].name)),
        len(stage.nodes),
        stage.lanes,
        (chunk.rows, chunk.lanes) if chunk else None,
        tuple((len(run.blocks), len(run.block)) for run in runs),
        stage.stored,
        sum(x.entries * x.itemsize for x in stored),
        (fused.entries, fused.bytes) if fused else None,
    )


def _reasons(graph: Graph, stages: Iterable[Stage]) -> list[str]:
    """One sentence per cause, in the order of the network."""
    found: dict[str, None] = {}
    for stage in stages:
        for node in stage.nodes:
            reason = _reason(graph, stage, node)
            if reason:
                found[reason] = None
    if not any(covariance(node.type).spatial for node in graph.nodes):
        found["the network has no positions: there are no offsets to track"] = None
    for output in graph.outputs:
        if graph.covariance_of(output.value).spatial:
            found["the output keeps its positions: every pair of them is returned"] = None
    return list(found)


def _reason(graph: Graph, stage: Stage, node: Node) -> str | None:
    op, layer = kernel_op(node), layer_of(node.name)
    if not covariance(node.type).spatial and op.lanes != "removed":
        return None
    below = layer_of(node.operands[0]) if node.operands else ""
    if _reads_all_offsets(graph, node):
        return f"{layer} reads every pair of positions: below it, all offsets are tracked that strides do not rule out"
    if op.lanes == "pooled" and _is_wide(graph, node):
        return (
            f"{layer} averages positions of both images apart, which mixes offsets: {below} is stored whole before it"
        )
    if op.lanes == "mixed" and graph.covariances(node.operands):
        return f"{layer} reads other positions of both images: {below} is stored whole before it"
    if _is_wide(graph, node) and not stage.parallel:
        return f"{layer} changes offsets where it wraps around with a stride: {below} is stored whole"
    if not stage.parallel and len(stage.nodes) == 1 and stage.lanes > 1:
        return f"{layer} combines values that track different offsets: they are stored whole"
    return None


def _reads_all_offsets(graph: Graph, node: Node) -> bool:
    """Whether all offsets of the operand are read, of which there are several, even for entries with p' = p."""
    operands, spatial = graph.covariances(node.operands), covariance(node.type).spatial
    if not operands or set(operands[0].spatial) <= {1}:
        return False
    below = kernel_op(node).demand((DIAGONAL,) * len(spatial), *operands)[0]
    return below == tuple(map(Offsets.full, operands[0].spatial))


def _is_wide(graph: Graph, node: Node) -> bool:
    """Whether the node is a filter of several taps."""
    operands = graph.covariances(node.operands)
    slides = kernel_op(node).slides(operands[0].spatial) if operands else None
    return any(axis.window > 1 for axis in slides or () if axis)
