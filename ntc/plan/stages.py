"""How a kernel graph is run: which values are computed together, lane by lane, without being stored whole.

Ops that act on every entry alone, and filters whose two taps move together, keep the lanes of the skewed layout apart.
A maximal set of values that such ops connect is a stage: it can be computed for some examples and some lanes at a
time, from the inputs to what leaves the stage. Poolings in between, and whatever mixes lanes, need whole values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod

from ntc.ir.graph import Graph, Node, covariance_operands, kernel_op
from ntc.ir.lanes import axes_of, keeps_lanes
from ntc.ir.op import covariance
from ntc.ir.platform import FastMemory
from ntc.plan.holding import Holding, holdings, readers_of
from ntc.plan.rolling import Item, roll


@dataclass(frozen=True)
class Stage:
    """Values that are computed together.

    Attributes:
      nodes: in order, the readouts last.
      lanes: number of lanes, of the value that has most.
      rows: number of rows of lanes, which is the same for all values but the readouts. A row holds the lanes that
        differ along the last axis alone.
      parallel: whether lanes, or at least rows of them, are independent. If not, there is one node, which mixes them.
      by_row: whether a pooling along the last axis mixes the lanes of a row, so that only rows are independent.
      stored: the values that are kept whole for other stages or as outputs, without the readouts.
      items: the nodes in order, repeated blocks as runs.
      holdings: how values are held, of a run those of its second block.
    """

    nodes: tuple[Node, ...]
    lanes: int
    rows: int
    parallel: bool
    by_row: bool
    stored: tuple[str, ...]
    items: tuple[Item, ...]
    holdings: Mapping[str, Holding]

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of the values."""
        return frozenset(node.name for node in self.nodes)

    @property
    def readouts(self) -> tuple[Node, ...]:
        """Nodes that reduce the values of a parallel stage to numbers without positions."""
        return tuple(node for node in self.nodes if self.parallel and is_readout(node))

    @property
    def kept(self) -> tuple[str, ...]:
        """Values that outlive the stage."""
        return (*self.stored, *(node.name for node in self.readouts))

    @property
    def outside(self) -> tuple[str, ...]:
        """Values of other stages that are read, without marginals of integrals."""
        read = dict.fromkeys(x for node in self.nodes for x in covariance_operands(node))
        return tuple(x for x in read if x not in self.names)

    @property
    def spatial(self) -> bool:
        """Whether values have positions."""
        return bool(covariance(self.nodes[0].type).spatial)


def is_readout(node: Node) -> bool:
    """Whether the node removes positions and lanes."""
    return kernel_op(node).lanes == "removed"


@lru_cache(maxsize=64)
def stages_of(graph: Graph, fast: FastMemory | None = None) -> tuple[Stage, ...]:
    """The stages of all values between two examples, in an order in which they can be computed.

    With `fast`, in which they are to be computed, stages end before filters with strides and before poolings, so that
    more of them fit and are of lanes that are apart; and where tables of more layers would not fit.
    """
    nodes = [node for node in graph.nodes if is_cross(node)]
    keys: dict[str, _Key] = {}
    depths: dict[str, int] = {}
    for node in nodes:
        keys[node.name] = _key(graph, node, keys, fast is not None)
        if fast is not None and not keys[node.name][2]:
            keys[node.name], depths[node.name] = _cut(graph, node, keys, depths, fast)
    members: dict[_Key, list[Node]] = {}
    for node in nodes:
        members.setdefault(keys[node.name], []).append(node)
    readers = readers_of(graph.nodes)
    return tuple(
        _stage(graph, members[key], readers, fast is not None) for key in sorted(members, key=lambda key: key[0])
    )


def is_cross(node: Node) -> bool:
    """Whether the value is between two examples."""
    return len(covariance(node.type).batch) == 2


_Key = tuple[int, int, str]
"""See `_key`."""

_FEWEST_FILTERS = 2
"""In a stage, whatever its tables take."""

_BYTES = 2 * 4 * 128
"""Of a position in a table of one layer: twice as many positions as there are, of 128 entries."""


def _cut(
    graph: Graph, node: Node, keys: Mapping[str, _Key], depths: Mapping[str, int], fast: FastMemory
) -> tuple[_Key, int]:
    """The key of a node, in a later stage where too many filters are below it in its own, and how many are there."""
    key = keys[node.name]
    depth = max((depths[x] for x in node.operands if keys.get(x) == key), default=0) + kernel_op(node).filters
    positions = prod(covariance(node.type).spatial)
    if fast.tables is None or depth <= max(_FEWEST_FILTERS, fast.tables // (_BYTES * positions)):
        return key, depth
    return (key[0] + 1, *key[1:]), 1


def _key(graph: Graph, node: Node, keys: Mapping[str, _Key], cut: bool) -> _Key:
    """(stage, rows of lanes, name of a node that is alone): the same for values of one stage."""
    operands = [x for x in node.operands if x in keys]
    if is_readout(node) and not keys[operands[0]][2]:
        return keys[operands[0]]
    if not is_parallel(graph, node) or (cut and kernel_op(node).lanes == "pooled"):
        return 1 + max((keys[x][0] for x in operands), default=0), 0, node.name
    stage = max((_stage_above(graph, x, keys) for x in operands), default=0) + (cut and _strides(graph, node))
    type_ = covariance(node.type)
    return stage, type_.lanes // type_.row_lanes, ""


def _strides(graph: Graph, node: Node) -> bool:
    """Whether the node is a filter that leaves out positions."""
    axes = kernel_op(node).slides(graph.covariance_of(node.operands[0]).spatial) if kernel_op(node).filters else None
    return any(axis is not None and axis.stride > 1 for axis in axes or ())


def _stage_above(graph: Graph, operand: str, keys: Mapping[str, _Key]) -> int:
    stage, _, alone = keys[operand]
    return stage + 1 if alone or is_readout(graph.definitions[operand]) else stage


def is_parallel(graph: Graph, node: Node) -> bool:
    """Whether every lane of the node reads the same lane of its operands, or at least the same row of lanes."""
    match kernel_op(node).lanes:
        case "none":
            return True
        case "same":
            return all(_keeps_lanes(graph, node, x) for x in covariance_operands(node))
        case "pooled":
            return _pools_rows(graph, node)
    return False


def _keeps_lanes(graph: Graph, node: Node, operand: str) -> bool:
    below = graph.covariance_of(operand)
    slides = kernel_op(node).slides(below.spatial)
    return slides is not None and all(map(keeps_lanes, axes_of(below), axes_of(covariance(node.type)), slides))


def _pools_rows(graph: Graph, node: Node) -> bool:
    """Whether the pooling is along the last axis alone."""
    below, type_ = graph.covariance_of(node.operands[0]), covariance(node.type)
    *others, _ = kernel_op(node).slides(below.spatial) or (None,)
    still = all(axis is None or axis.window == axis.stride == 1 for axis in others)
    return still and bool(others) and all(map(keeps_lanes, axes_of(below)[:-1], axes_of(type_)[:-1]))


def _stage(graph: Graph, nodes: list[Node], readers: Mapping[str, Sequence[Node]], cut: bool) -> Stage:
    parallel = is_parallel(graph, nodes[0])
    ordered = sorted(nodes, key=is_readout)
    inner = [node for node in ordered if not (parallel and is_readout(node))]
    used = set(_used_outside(graph, {node.name for node in nodes}))
    stored = tuple(node.name for node in inner if node.name in used)
    types = [covariance(node.type) for node in inner]
    by_row = len({type_.row_lanes for type_ in types}) > 1 or any(kernel_op(node).lanes == "pooled" for node in inner)
    lanes, rows = max(type_.lanes for type_ in types), types[0].lanes // types[0].row_lanes
    kept = (*stored, *(node.name for node in ordered[len(inner) :]))
    items = tuple(roll(ordered, graph.types, kept))
    held = holdings(items, readers, kept, defers=True, pools_together=cut)
    return Stage(tuple(ordered), lanes, rows, parallel, by_row, stored, items, held)


def _used_outside(graph: Graph, names: set[str]) -> Iterable[str]:
    for node in graph.nodes:
        if node.name not in names:
            yield from (x for x in node.operands if x in names)
    yield from (output.value for output in graph.outputs if output.value in names)
