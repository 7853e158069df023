"""Graphs in static single assignment, immutable. The same class holds both kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from ntc.errors import Location, VerifyError
from ntc.ir.given_function import GivenFunction
from ntc.ir.hyper import Hyper, hypers_of, joined, mapped, settled
from ntc.ir.op import KernelOp, Op, TensorOp
from ntc.ir.types import CovarianceType, TensorType, Type

if TYPE_CHECKING:
    import networkx as nx

    Digraph = nx.MultiDiGraph[str]

MAX_OPS = 100_000
"""Largest number of nodes that front ends and readers accept."""


@dataclass(frozen=True)
class Input:
    """A value that the caller gives."""

    name: str
    type: Type


@dataclass(frozen=True)
class Node:
    """`name = op(operands) : type`. The location takes no part in equality."""

    name: str
    op: Op
    operands: tuple[str, ...]
    type: Type
    location: Location | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Output:
    """A value that the graph returns, and what it is called outside."""

    label: str
    value: str


RESULT = "y"
"""Label of the value that a network ends in; its other outputs are values in between, by the names given to them."""


def kernel_label(label: str, kernel: str) -> str:
    """What a kernel graph calls a kernel of an output of the network: `nngp` of its result, `features.nngp`."""
    return kernel if label == RESULT else f"{label}.{kernel}"


@dataclass(frozen=True)
class Graph:
    """Inputs, nodes in an order in which operands come first, and outputs."""

    kind: Literal["tensor", "kernel"]
    name: str
    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]

    @property
    def values(self) -> tuple[Input | Node, ...]:
        """Inputs, then nodes."""
        return (*self.inputs, *self.nodes)

    @cached_property
    def types(self) -> Mapping[str, Type]:
        """Type of every value by name."""
        return {value.name: value.type for value in self.values}

    @cached_property
    def definitions(self) -> Mapping[str, Node]:
        """Node of every computed value by name."""
        return {node.name: node for node in self.nodes}

    @property
    def live(self) -> tuple[Node, ...]:
        """Nodes that an output depends on."""
        read = {output.value for output in self.outputs}
        kept = []
        for node in reversed(self.nodes):
            if node.name in read:
                read.update(node.operands)
                kept.append(node)
        return tuple(reversed(kept))

    @cached_property
    def hypers(self) -> Mapping[str, Hyper]:
        """Hyperparameters by name. Raises ParameterError if one name has two values."""
        return joined({}, (hyper for node in self.nodes for hyper in hypers_of(node.op)))

    @property
    def holds_functions(self) -> bool:
        """Whether an op holds a function that somebody gave, so that the text of the graph does not say all of it."""
        return any(map(_holds_functions, (node.op for node in self.nodes)))

    def with_hypers(self, values: Mapping[str, float]) -> Graph:
        """With other values for some hyperparameters. Raises ParameterError for one that a parameter cannot have."""

        def changed(hyper: Hyper) -> Hyper:
            return replace(hyper, value=values.get(hyper.name, hyper.value))

        return self.with_ops(lambda op: mapped(op, changed))

    @property
    def settled(self) -> Graph:
        """With numbers in the place of hyperparameters: those that they are where the caller says nothing."""
        return self.with_ops(settled)

    def with_ops(self, function: Callable[[Op], Op]) -> Graph:
        """With other ops of the same types."""
        return replace(self, nodes=tuple(replace(node, op=function(node.op)) for node in self.nodes))

    def type_of(self, name: str) -> Type:
        """Type of one value. Raises VerifyError if there is none of that name."""
        if name not in self.types:
            raise VerifyError(f"%{name} is not defined in @{self.name}")
        return self.types[name]

    def covariance_of(self, name: str) -> CovarianceType:
        """Type of a value that must be a covariance."""
        type_ = self.type_of(name)
        if not isinstance(type_, CovarianceType):
            raise VerifyError(f"%{name} is not a covariance: {type_}")
        return type_

    def tensor_of(self, name: str) -> TensorType:
        """Type of a value that must be a tensor of the network."""
        type_ = self.type_of(name)
        if not isinstance(type_, TensorType):
            raise VerifyError(f"%{name} is not a tensor: {type_}")
        return type_

    def covariances(self, names: Iterable[str]) -> list[CovarianceType]:
        """Types of the values among `names` that are covariances (an input array is not)."""
        return [t for t in map(self.type_of, names) if isinstance(t, CovarianceType)]

    def _repr_html_(self) -> str:
        """The text of the graph, folded if it is long, for notebooks."""
        from html import escape

        from ntc.ir.printer import show

        title = f"{self.kind} graph <b>{escape(self.name)}</b>, {len(self.nodes)} values"
        opened = " open" if len(self.nodes) <= 20 else ""
        return f"<details{opened}><summary>{title}</summary><pre>{escape(show(self, locations=False))}</pre></details>"

    def networkx(self) -> Digraph:
        """The graph of values, an edge per operand in order (`position`); a MultiDiGraph, as an op may
        read one value twice."""
        import networkx as nx  # takes 20 MB, and only those who ask for this need it

        graph: Digraph = nx.MultiDiGraph(name=self.name)
        for value in self.inputs:
            graph.add_node(value.name, type=value.type, op=None)
        for node in self.nodes:
            graph.add_node(node.name, type=node.type, op=node.op)
            for position, operand in enumerate(node.operands):
                graph.add_edge(operand, node.name, position=position)
        return graph


def _holds_functions(op: Op) -> bool:
    held = vars(op).values()
    return any(isinstance(x, GivenFunction) or (isinstance(x, Op) and _holds_functions(x)) for x in held)


def tensor_op(node: Node) -> TensorOp:
    """The op of a node of a tensor graph."""
    if not isinstance(node.op, TensorOp):
        raise VerifyError(f"%{node.name}: {node.op.name} is not a tensor op", node.location)
    return node.op


def kernel_op(node: Node) -> KernelOp:
    """The op of a node of a kernel graph."""
    if not isinstance(node.op, KernelOp):
        raise VerifyError(f"%{node.name}: {node.op.name} is not a kernel op", node.location)
    return node.op


def covariance_operands(node: Node) -> tuple[str, ...]:
    """Operands without the marginals of an integral, which are in no lane."""
    return node.operands[:1] if isinstance(node.op, KernelOp) and node.op.integral else node.operands
