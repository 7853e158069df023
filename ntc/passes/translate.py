"""Tensor graph to kernel graph: every layer becomes the kernel ops of its NNGP and NTK rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import ClassVar

from ntc.errors import Location, NtcError, ParameterError
from ntc.ir.graph import Graph, Input, Node, Output, kernel_label, tensor_op
from ntc.ir.kernel import Constant, Mirror, Mul, Positive, Window
from ntc.ir.op import Emit, KernelOp, Pair, TensorOp, Value, covariance
from ntc.ir.ops import Elementwise, Identity, Mask
from ntc.ir.ops.given import Given
from ntc.ir.packing import Packing
from ntc.ir.schema import frozen
from ntc.ir.sliding import Strided, compact
from ntc.ir.types import ArrayType, Between, Distribution, DType, Kernel, TensorType
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
        writer = _Writer()
        pairs = self._inputs(writer, Packing.of(graph))
        for node in graph.nodes:
            type_ = graph.tensor_of(node.name)
            try:
                pairs[node.name] = _lower(writer, node, type_, [pairs[x] for x in node.operands])
            except NtcError as error:
                error.location = error.location or node.location
                raise
        outputs = []
        for output in graph.outputs:
            pair = pairs[output.value]
            for kernel in self.kernels:
                label = kernel_label(output.label, kernel)
                value = pair.k if kernel == "nngp" else pair.t
                outputs.append(Output(label, self._finish(writer, label, value)))
        return Graph("kernel", graph.name, writer.inputs, tuple(writer.nodes), tuple(outputs))

    def _inputs(self, writer: _Writer, packing: Packing) -> dict[str, Pair]:
        """The covariances of the inputs; their NTK is zero, as no parameter acts below them."""
        x1 = writer.input("x1", packing.array(self.dtype, "N"))
        x2 = writer.input("x2", packing.array(self.dtype, "M")) if self.between == "cross" else x1
        return {name: self._input(writer, name, packing, x1, x2) for name in packing.inputs}

    def _input(self, writer: _Writer, name: str, packing: Packing, x1: Value, x2: Value) -> Pair:
        type_, gram = packing.inputs[name], packing.gram(name)
        emit = writer.scope(name, None)
        v1 = emit(gram, x1, name="v1" if x2 != x1 else "v")
        v2 = emit(gram, x2, name="v2") if x2 != x1 else v1
        k = v1 if self.between == "diagonal" else emit(gram, x1, x2, name="k")
        t = emit(Constant(0.0, self.dtype, covariance(k.type).batch, type_.spatial), name="t")
        arrays = (x1,) if self.between == "diagonal" else (x1, x2)
        return Pair(type_, k, t, v1, v2, arrays=arrays, gram=gram)

    def _finish(self, writer: _Writer, label: str, value: Value) -> str:
        if self.between != "self":
            return value.name
        return writer.scope(label, None)(Mirror(), value, name="mirror").name


def _lower(writer: _Writer, node: Node, type_: TensorType, xs: list[Pair]) -> Pair:
    """The covariances of one layer's output. Where x1 and x2 coincide, so do the values."""
    op = tensor_op(node)
    if type_.distribution is Distribution.FINITE:
        raise op.without_rule(*(x.type for x in xs))
    first, second = [_own(x, 0) for x in xs], [_own(x, 1) for x in xs]
    same = all(x.v1 == x.v2 for x in xs)
    alone = all(x.k == x.v1 for x in xs)
    mask1 = writer.mask(node, *first)
    mask2 = mask1 if same else writer.mask(node, *second)
    mask = mask1 if alone else writer.mask(node, *xs)

    def nngp(name: str, mask: Value | None, *views: Pair) -> Value:
        return finish(name, op.nngp(writer.scope(node.name, node.location, name), *views), mask)

    def finish(name: str, value: Value, mask: Value | None) -> Value:
        """Zero where masked."""
        if mask is None or not op.fills_masked:
            return value
        return writer.scope(node.name, node.location, name)(Mul(), value, mask)

    v1 = nngp("v" if same else "v1", mask1, *first)
    v2 = v1 if same else nngp("v2", mask2, *second)
    k = v1 if alone else nngp("k", mask, *xs)
    t = finish("t", op.ntk(writer.scope(node.name, node.location, "t"), k, *xs), mask)
    function = (op, xs[0]) if isinstance(op, Elementwise) else xs[0].function if isinstance(op, Identity) else None
    law = op.common_after(*(x.operand for x in xs))
    common = None if law is None else _common(op, partial(writer.scope, node.name, node.location), type_, xs)
    learnt = op.learnt_after(xs[0].learnt, xs[0].type.distribution)
    return Pair(type_, k, t, v1, v2, mask, mask1, mask2, xs[0].arrays, function, law=law, common=common, learnt=learnt)


def _common(op: TensorOp, scope: Callable[[str], Emit], type_: TensorType, xs: list[Pair]) -> Pair:
    """The covariances of two channels of one layer's output."""
    first, second = [_own(x, 0) for x in xs], [_own(x, 1) for x in xs]
    v1 = op.common_nngp(scope("common"), *first)
    v2 = v1 if all(x.v1 == x.v2 for x in xs) else op.common_nngp(scope("common"), *second)
    k = v1 if all(x.k == x.v1 for x in xs) else op.common_nngp(scope("common"), *xs)
    return Pair(type_, k, op.common_ntk(scope("common_t"), k, *xs), v1, v2)


def _own(x: Pair, index: int) -> Pair:
    """A pair of one example, the first or the second, with itself."""
    v, mask, arrays = (x.v1, x.mask1, x.arrays[:1]) if index == 0 else (x.v2, x.mask2, x.arrays[-1:])
    function = None if x.function is None else (x.function[0], replace(_own(x.function[1], index), function=None))
    common = None if x.common is None else _own(x.common, index)
    return Pair(x.type, v, v, v, v, mask, mask, mask, arrays, function, x.gram, x.law, common)


class _Writer:
    """Collects inputs and nodes; names are derived from the layer and from what a value is."""

    def __init__(self) -> None:
        self.inputs: tuple[Input, ...] = ()
        self.nodes: list[Node] = []
        self._taken: set[str] = set()

    def input(self, name: str, array: ArrayType) -> Value:
        """A new input array."""
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

    def mask(self, node: Node, x: Pair, *others: Pair) -> Value | None:
        """Which pairs of positions of the output are not masked: all operands are masked alike."""
        op, emit = tensor_op(node), self.scope(node.name, node.location, "mask")
        if isinstance(op, Mask) or (isinstance(op, Given) and op.masked):
            return op.unmasked(emit, x)
        if any(other.mask is None for other in others):
            return None  # a sum has something at every position
        if x.mask is not None and op.reads(x.type.spatial) is not None:
            return emit(Positive(), op.reached(emit, x))
        positions = None if x.mask is None else op.visible(x.type)
        if x.mask is None or positions is None or positions == Strided.every(x.type.spatial):
            return None if positions is None else x.mask
        pads = [p for axis, size in zip(positions, x.type.spatial, strict=True) for p in axis.pads(size)]
        stride = compact(tuple(axis.stride for axis in positions))
        return emit(Window((1,) * len(positions), stride, padding="valid", pads=tuple(pads)), x.mask)

    def _unique(self, name: str) -> str:
        taken, number = name, 1
        while taken in self._taken:
            number += 1
            taken = f"{name}{number}"
        self._taken.add(taken)
        return taken
