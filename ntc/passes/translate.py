"""Tensor graph to kernel graph: every layer becomes the kernel ops of its NNGP and NTK rules."""

from __future__ import annotations

from typing import ClassVar

from ntc.errors import Location, NtcError, ParameterError
from ntc.ir.graph import Graph, Input, Node, Output, tensor_op
from ntc.ir.kernel import Constant, Gram, Mirror
from ntc.ir.op import Emit, KernelOp, Pair, Value, covariance
from ntc.ir.schema import frozen
from ntc.ir.types import ArrayType, Between, DType, Kernel, TensorType
from ntc.passes.base import Pass


@frozen
class Translate(Pass):
    """Needs: a verified tensor graph. Does: emits the rules of every op, for the covariances between the
    inputs and for the marginals, with every entry tracked. Leaves: a kernel graph that computes all
    kernels whether asked for or not, and returns those asked for.

    Attributes:
      kernels: what to return, in this order, one or both of nngp and ntk.
      dtype: of inputs and all values.
      between: which pairs of examples.
    """

    name: ClassVar[str] = "translate"
    kernels: tuple[Kernel, ...] = ("nngp", "ntk")
    dtype: DType = "f32"
    between: Between = "cross"

    def __post_init__(self) -> None:
        if not self.kernels or len({*self.kernels}) < len(self.kernels):
            raise ParameterError("kernels should be one or both of nngp and ntk")

    def __call__(self, graph: Graph) -> Graph:
        """The kernel graph of a tensor graph."""
        writer = _Writer(self.dtype)
        pairs = {
            graph.inputs[0].name: self._inputs(writer, graph.inputs[0].name, graph.tensor_of(graph.inputs[0].name))
        }
        for node in graph.nodes:
            type_ = graph.tensor_of(node.name)
            try:
                pairs[node.name] = _lower(writer, node, type_, [pairs[x] for x in node.operands])
            except NtcError as error:
                error.location = error.location or node.location
                raise
        result = pairs[graph.outputs[0].value]
        outputs = tuple(
            Output(kernel, self._finish(writer, kernel, result.k if kernel == "nngp" else result.t))
            for kernel in self.kernels
        )
        return Graph("kernel", graph.name, writer.inputs, tuple(writer.nodes), outputs)

    def _inputs(self, writer: _Writer, name: str, type_: TensorType) -> Pair:
        """The covariances of the input; its NTK is zero, as no parameter acts below it."""
        x1 = writer.input("x1", "N", type_)
        x2 = writer.input("x2", "M", type_) if self.between == "cross" else x1
        emit = writer.scope(name, None)
        v1 = emit(Gram(), x1, name="v1" if x2 != x1 else "v")
        v2 = emit(Gram(), x2, name="v2") if x2 != x1 else v1
        k = v1 if self.between == "diagonal" else emit(Gram(), x1, x2, name="k")
        t = emit(Constant(0.0, self.dtype, covariance(k.type).batch, type_.spatial), name="t")
        return Pair(type_, k, t, v1, v2)

    def _finish(self, writer: _Writer, kernel: str, value: Value) -> str:
        if self.between != "self":
            return value.name
        return writer.scope(kernel, None)(Mirror(), value, name="mirror").name


def _lower(writer: _Writer, node: Node, type_: TensorType, xs: list[Pair]) -> Pair:
    """The covariances of one layer's output. Where x1 and x2 coincide, so do the values."""
    op = tensor_op(node)

    def nngp(name: str, *views: Pair) -> Value:
        return op.nngp(writer.scope(node.name, node.location, name), *views)

    first = [Pair(x.type, x.v1, x.v1, x.v1, x.v1) for x in xs]
    second = [Pair(x.type, x.v2, x.v2, x.v2, x.v2) for x in xs]
    same = all(x.v1 == x.v2 for x in xs)
    v1 = nngp("v" if same else "v1", *first)
    v2 = v1 if same else nngp("v2", *second)
    k = v1 if all(x.k == x.v1 for x in xs) else nngp("k", *xs)
    t = op.ntk(writer.scope(node.name, node.location, "t"), k, *xs)
    return Pair(type_, k, t, v1, v2)


class _Writer:
    """Collects inputs and nodes; names are derived from the layer and from what a value is."""

    def __init__(self, dtype: DType) -> None:
        self._dtype: DType = dtype
        self.inputs: tuple[Input, ...] = ()
        self.nodes: list[Node] = []
        self._taken: set[str] = set()

    def input(self, name: str, batch: str, type_: TensorType) -> Value:
        """A new input array."""
        array = ArrayType(self._dtype, batch, type_.spatial, type_.channels)
        self.inputs += (Input(name, array),)
        self._taken.add(name)
        return Value(name, array)

    def scope(self, layer: str, location: Location | None, default: str = "k") -> Emit:
        """The emitter for the rules of one layer; `default` is the suffix of values without a name."""

        def emit(op: KernelOp, *operands: Value, name: str | None = None) -> Value:
            type_ = op.result(*(x.type for x in operands))
            unique = self._unique(f"{layer}.{name or default}")
            self.nodes.append(Node(unique, op, tuple(x.name for x in operands), type_, location))
            return Value(unique, type_)

        return emit

    def _unique(self, name: str) -> str:
        taken, number = name, 1
        while taken in self._taken:
            number += 1
            taken = f"{name}{number}"
        self._taken.add(taken)
        return taken
