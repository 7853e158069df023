"""What the verifier and the constructors of ops refuse, and the algebra of offsets."""

from __future__ import annotations

from dataclasses import MISSING, replace
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntc.compiler import lower
from ntc.errors import NtcError, ParameterError, ShapeError, VerifyError
from ntc.ir import kernel, ops
from ntc.ir.build import TensorGraphBuilder
from ntc.ir.construct import construct, parameters, required, signature
from ntc.ir.graph import Graph, Input, Node, Output
from ntc.ir.kernel import KERNEL_OPS
from ntc.ir.offsets import DIAGONAL, Offsets
from ntc.ir.op import TensorOp
from ntc.ir.ops import TENSOR_OPS
from ntc.ir.types import ArrayType, CovarianceType, Distribution, TensorType
from ntc.ir.verify import verify
from ntc.passes.pipeline import PASSES
from tests.networks import NETWORKS
from tests.strategies import bounds, parameter_types, tensor_graphs

TENSOR = NETWORKS["cnn"].graph()
KERNEL = lower(TENSOR)
SELF = lower(TENSOR, "self")


def changed(graph: Graph, position: int, **changes: Any) -> Graph:
    """The graph with one node changed."""
    nodes = list(graph.nodes)
    nodes[position] = replace(nodes[position], **changes)
    return replace(graph, nodes=tuple(nodes))


def narrowed(graph: Graph) -> Graph:
    """A kernel graph in which the operand of a pooling has lost its offsets."""
    position = next(i for i, node in enumerate(graph.nodes) if isinstance(node.op, kernel.Window2))
    operand = graph.nodes[position].operands[0]
    at = next(i for i, node in enumerate(graph.nodes) if node.name == operand)
    type_ = graph.covariance_of(operand)
    return changed(graph, at, type=type_.with_offsets((DIAGONAL,) * len(type_.spatial)))


def with_op(graph: Graph, cls: type[Any], **changes: Any) -> Graph:
    """The graph with the first node of one class of op changed."""
    return changed(graph, next(i for i, node in enumerate(graph.nodes) if isinstance(node.op, cls)), **changes)


def thin(graph: Graph) -> str:
    """A value of a kernel graph that does not track every entry."""
    return next(node.name for node in graph.nodes if "| 0" in str(node.type))


wrong = CovarianceType.dense("f32", ("N", "M"), (2,))
image = TensorType((2,), 3, Distribution.GAUSSIAN)
BROKEN: dict[str, tuple[Graph, str]] = {
    "undefined operand": (changed(TENSOR, 1, operands=("nowhere",)), "reads %nowhere, which is not defined before it"),
    "operand of later": (changed(KERNEL, 0, operands=(KERNEL.nodes[1].name,)), "is not defined before it"),
    "operand of itself": (changed(TENSOR, 0, operands=(TENSOR.nodes[0].name,)), "is not defined before it"),
    "double definition": (changed(TENSOR, 1, name=TENSOR.nodes[0].name), "is defined twice"),
    "input defined again": (changed(TENSOR, 0, name="x"), "is defined twice"),
    "no outputs": (replace(KERNEL, outputs=()), "returns one or more values"),
    "equal labels": (replace(KERNEL, outputs=KERNEL.outputs[:1] * 2), "different labels"),
    "undefined output": (replace(KERNEL, outputs=(Output("nngp", "nowhere"),)), "is %nowhere, which is not defined"),
    "output is an input": (replace(KERNEL, outputs=(Output("nngp", "x1"),)), "%x1 is not a covariance"),
    "output not dense": (replace(KERNEL, outputs=(Output("nngp", thin(KERNEL)),)), "every entry"),
    "no result of a tensor graph": (replace(TENSOR, outputs=(*TENSOR.outputs, Output("z", "x"))), "its result"),
    "three inputs": (replace(KERNEL, inputs=(*KERNEL.inputs, Input("z", ArrayType("f32", "K", (), 1)))), "one or two"),
    "equal batches": (
        replace(KERNEL, inputs=(KERNEL.inputs[0], replace(KERNEL.inputs[0], name="x2"))),
        "different batches",
    ),
    "unknown batch": (
        replace(
            SELF,
            nodes=(
                Node("c", kernel.Constant(1.0, "f32", ("Q",)), (), CovarianceType("f32", ("Q",), (), (), ())),
                *SELF.nodes,
            ),
        ),
        "is of a batch that no input has",
    ),
    "name of the graph": (replace(TENSOR, name="my network"), "`my network` is not a name"),
    "name of a value": (changed(TENSOR, 0, name="conv-1"), "`conv-1` is not a name of a value"),
    "name of an output": (replace(KERNEL, outputs=(Output("", KERNEL.outputs[0].value),)), "`` is not a name"),
    "no inputs": (replace(TENSOR, inputs=()), "reads %x, which is not defined before it"),
    "two inputs of one name": (replace(TENSOR, inputs=(*TENSOR.inputs, *TENSOR.inputs)), "%x is defined twice"),
    "input of a wrong kind": (
        replace(TENSOR, inputs=(Input("x", ArrayType("f32", "N", (2,), 3)),)),
        "one or more inputs, which are tensors",
    ),
    "tensor as kernel input": (replace(KERNEL, inputs=(Input("x1", image), KERNEL.inputs[1])), "arrays"),
    "kernel op in a tensor graph": (changed(TENSOR, 0, op=kernel.Mul()), "mul is not a tensor op"),
    "tensor op in a kernel graph": (changed(KERNEL, 0, op=ops.Relu()), "relu is not a kernel op"),
    "wrong tensor type": (changed(TENSOR, 0, type=image), "its op gives"),
    "wrong distribution": (
        with_op(TENSOR, ops.Relu, type=replace(TENSOR.tensor_of("relu1"), distribution=Distribution.GAUSSIAN)),
        "its op gives",
    ),
    "wrong kernel type": (with_op(KERNEL, kernel.Window, type=wrong), "its op gives"),
    "tensor type in a kernel graph": (changed(KERNEL, 0, type=image), "is not a covariance"),
    "too many operands": (
        with_op(KERNEL, kernel.Window, operands=("x.k", "x.k")),
        "window takes 1 to 1 operands, got 2",
    ),
    "too few operands": (with_op(KERNEL, kernel.Dual, operands=("x.k",)), "dual takes 3 to 3 operands, got 1"),
    "too many tensor operands": (with_op(TENSOR, ops.Relu, operands=("conv1", "conv1")), "relu takes 1 inputs, got 2"),
    "no tensor operands": (changed(TENSOR, 0, operands=()), "conv takes 1 inputs, got 0"),
    "array as covariance": (with_op(KERNEL, kernel.Window, operands=("x1",)), "expected a covariance"),
    "covariance as array": (with_op(KERNEL, kernel.Gram, operands=("x1", "x.k")), "defined before"),
    "untracked offsets": (narrowed(KERNEL), "which does not track them"),
    "offsets of too few axes": (
        with_op(KERNEL, kernel.Window, type=KERNEL.covariance_of("conv1.k").with_offsets(())),
        "axes",
    ),
    "activation twice": (changed(TENSOR, 2, op=ops.Relu()), "its input is not Gaussian"),
    "filter too large": (changed(TENSOR, 0, op=ops.Conv(8, 9, padding="valid")), "is larger than its input"),
    "wrong marginals": (
        with_op(KERNEL, kernel.Dual, operands=("conv1.k", "conv1.v2", "conv1.v1")),
        "are not the marginals",
    ),
    "mirror of a cross covariance": (
        with_op(SELF, kernel.Mirror, op=kernel.Mirror(), operands=(SELF.nodes[0].name,)),
        "covariance of one input with itself",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_graphs_are_refused(broken: str) -> None:
    """Protects passes from each other, and readers: every invariant, broken alone, is named."""
    for graph in (TENSOR, KERNEL, SELF):
        verify(graph)
    graph, message = BROKEN[broken]
    with pytest.raises(VerifyError) as caught:
        verify(graph)
    assert message in str(caught.value)


@given(tensor_graphs(), st.data())
def test_dropped_nodes_are_noticed(graph: Graph, data: st.DataObject) -> None:
    """Protects passes that remove too much: without a value that another reads, no graph verifies."""
    lowered = lower(graph, data.draw(st.sampled_from(["cross", "self"])))
    position = data.draw(st.integers(0, len(lowered.nodes) - 1))
    with pytest.raises(VerifyError):
        verify(replace(lowered, nodes=lowered.nodes[:position] + lowered.nodes[position + 1 :]))


def bad_values(annotation: Any) -> list[Any]:
    """Values that the annotation of a parameter does not allow, from its constraints."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        low, _ = bounds(args[1:])
        if args[0] is int:
            return [int(low) - 1, 1.5, True, 2**40, "same", None, ()]
        if args[0] is str:
            return ["", "y", "x +", "x / 0", "sigmod(x)", 1, None]
        if args[0] is float:
            return [-1.0 if low == 0 else -1e101, 1e101, float("nan"), float("inf"), "1", True, None, ()]
        return ["relu", 1, None]
    if origin is Literal:
        return ["blue", 1, None, True]
    if annotation is bool:
        return [1, "true", None]
    if any(get_origin(arg) is Annotated and get_args(arg)[0] is float for arg in args):
        return ["blue", True, {}, ({},), float("nan"), 1e101]
    return [1.5, "blue", True, {}, ({},)]


EVERYTHING: list[type[Any]] = [*TENSOR_OPS.values(), *KERNEL_OPS.values(), *PASSES.values()]
BAD_PARAMETERS = [
    pytest.param(op, name, value, id=f"{op.name}-{name}-{value!r}"[:60])
    for op in EVERYTHING
    for name, annotation in parameter_types(op).items()
    for value in bad_values(annotation)
]


def good_values(op: type[Any]) -> dict[str, Any]:
    """Values for the parameters that have no default."""
    by_name = {"kernel": (1,), "window": (1,), "position": (0,), "phi": ops.Relu(), "reduction": "mean"}
    by_name |= {
        "value": 1.0,
        "dtype": "f32",
        "batch": ("N",),
        "alpha": 1.0,
        "a": 1.0,
        "b": 1.0,
        "channels": 1,
        "features": 1,
        "count": 1,
        "groups": 1,
        "size": (1,),
        "stride": (1,),
        "method": "linear",
        "values": ((1.0,),),
        "factor": 2.0,
        "axes": (0,),
        "axis": 0,
        "keep": 0.5,
        "spatial": (1,),
        "outputs": (1,),
        "sizes": (1,),
        "key_channels": 1,
        "value_channels": 1,
        "heads": 1,
        "degree": 1,
        "coefficients": (1.0,),
        "expression": "tanh(x)",
    }
    return {p.name: by_name[p.name] for p in parameters(op) if required(p)}


@pytest.mark.parametrize(("op", "name", "value"), BAD_PARAMETERS)
def test_bad_parameters_are_refused(op: type[Any], name: str, value: Any) -> None:
    """Protects every parameter of every op and pass: outside its domain is an error that names it."""
    construct(op, (), good_values(op))
    with pytest.raises(ParameterError) as caught:
        construct(op, (), {**good_values(op), name: value})
    assert caught.value.parameter == name
    assert f"{op.name}: {name} = " in caught.value.message


@pytest.mark.parametrize("op", EVERYTHING, ids=lambda op: op.name)
def test_wrong_parameter_lists_are_refused(op: type[Any]) -> None:
    """Protects calls: unknown, repeated, missing and surplus parameters."""
    good = good_values(op)
    with pytest.raises(ParameterError, match=f"{op.name} has no parameter `colour`"):
        construct(op, (), {**good, "colour": 1})
    count = len(parameters(op))
    with pytest.raises(ParameterError, match=f"{op.name} takes at most {count} parameters, got {count + 1}"):
        construct(op, (1,) * (count + 1), {})
    if good:
        first, value = next(iter(good.items()))
        missing = {name: other for name, other in good.items() if name != first}
        with pytest.raises(ParameterError, match=f"missing parameter `{first}`") as caught:
            construct(op, (), missing)
        assert caught.value.hint == signature(op)
        if parameters(op)[0].name == first:
            with pytest.raises(ParameterError, match=f"parameter `{first}` is given twice"):
                construct(op, (value,), {first: value})


def test_hints_name_the_nearest_parameter() -> None:
    """Protects the hint, which is right for one wrong letter."""
    with pytest.raises(ParameterError) as caught:
        construct(ops.Conv, (8, 3), {"strides": 2})
    assert caught.value.hint == "did you mean `stride`?"
    assert signature(ops.Conv).startswith("conv(channels, kernel, stride = 1, padding = same")


def test_defaults_are_valid() -> None:
    """Protects defaults, which are validated nowhere else."""
    for op in EVERYTHING:
        given_ = {p.name: p.default for p in parameters(op) if p.default is not MISSING}
        assert construct(op, (), {**good_values(op), **given_}) == construct(op, (), good_values(op))


def appended(*steps: TensorOp) -> TensorGraphBuilder:
    """A builder on an image of 4 positions after some ops on the value before."""
    builder, x = TensorGraphBuilder((4,), 2), "x"
    for op in steps:
        x = builder.append(op, [x])
    return builder


@pytest.mark.parametrize(
    ("op", "operands", "error", "message"),
    [
        (ops.Relu(), ["x"], "NotGaussianError", "is not Gaussian"),
        (ops.Product(), ["x", "x"], "DependenceError", "branches 1 and 2 are not independent"),
        (ops.Product(), ["dense1", "dense1"], "DependenceError", "%dense1"),
        (ops.Sum(), ["x", "flatten1"], "ShapeError", "differ in shape"),
        (ops.Sum(), ["dense1", "dense2"], "ShapeError", "differ in shape"),
        (ops.Sum(), ["relu1", "relu2"], "UnsupportedError", "2 of its branches have a mean other than zero"),
        (ops.Conv(1, (2, 2)), ["x"], "ShapeError", "kernel has 2 axes, its input has 1 spatial axes"),
        (ops.Conv(1, 5, padding="valid"), ["x"], "ShapeError", "kernel 5 is larger than its input 4"),
        (ops.Conv(1, 3, 1, "valid", 2), ["x"], "ShapeError", "kernel 5 is larger than its input 4"),
        (ops.Conv(1, 1), ["flatten1"], "ShapeError", "no spatial axes"),
        (ops.AvgPool(5), ["x"], "ShapeError", "window 5 is larger than its input 4"),
        (ops.GlobalAvgPool(), ["flatten1"], "ShapeError", "no spatial axes"),
        (ops.Index((4,)), ["x"], "ShapeError", "(4,) is not a position of its input (spatial axes: 4)"),
        (ops.Index((0, 0)), ["x"], "ShapeError", "is not a position"),
        (ops.Dense(1), [], "ShapeError", "dense takes 1 inputs, got 0"),
        (ops.Sum(), [], "ShapeError", "sum takes one or more inputs, got 0"),
    ],
)
def test_ops_that_do_not_fit_are_refused(op: Any, operands: list[str], error: str, message: str) -> None:
    """Protects the conditions under which the rules hold; the error says what the operands are."""
    builder = appended(ops.Dense(2))
    for new, operand in ((ops.Flatten(), "x"), (ops.Dense(3), "x"), (ops.Dense(3), "x"), (ops.Relu(), "dense2")):
        builder.append(new, [operand])
    builder.append(ops.Relu(), ["dense3"])
    with pytest.raises(NtcError) as caught:
        builder.append(op, operands)
    assert type(caught.value).__name__ == error
    assert message in caught.value.message
    assert all(f"%{operand}" in str(caught.value) for operand in operands)
    assert isinstance(ShapeError(""), NtcError)


def members(offsets: Offsets) -> set[int]:
    """The offsets of a progression."""
    return set(range(offsets.low, offsets.high + 1, offsets.step))


@st.composite
def offset_sets(draw: st.DrawFn) -> Offsets:
    """Progressions as they occur: around zero, step 1 if there is one member."""
    step, before, after = draw(st.integers(1, 4)), draw(st.integers(0, 4)), draw(st.integers(0, 4))
    return Offsets(-before * step, after * step, step if before + after else 1)


@given(offset_sets(), offset_sets())
def test_offsets_are_sets(a: Offsets, b: Offsets) -> None:
    """Protects `covers` and `join` against sets of integers: exact, and nothing lost."""
    assert a.covers(b) == (members(b) <= members(a))
    joined = a.join(b)
    assert joined.covers(a)
    assert joined.covers(b)
    assert members(joined) >= members(a) | members(b)
    assert a.join(b) == b.join(a) or members(a.join(b)) == members(b.join(a))
    assert a.join(a) == a


@given(offset_sets(), st.integers(1, 4))
def test_offsets_below_filters(a: Offsets, number: int) -> None:
    """Protects `scaled` (exact) and `widened` (covers; exact where the taps close the gaps)."""
    assert members(a.scaled(number)) == {number * offset for offset in members(a)}
    wide = {offset + tap for offset in members(a) for tap in range(1 - number, number)}
    assert members(a.widened(number)) >= wide
    if 2 * number - 1 >= a.step:
        assert members(a.widened(number)) == wide


@given(offset_sets(), st.integers(1, 12))
def test_offsets_are_clipped_to_the_image(a: Offsets, size: int) -> None:
    """Protects `clipped`: exactly the offsets that exist; and `full`, all of them."""
    existing = {offset for offset in members(a) if abs(offset) < size}
    assert members(a.clipped(size)) == existing
    assert members(Offsets.full(size)) == set(range(1 - size, size))
    assert a.diagonal == (members(a) == {0})
