"""What kernel ops say of themselves: every op says all of it, it is true, and nothing else is asked."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ntc
from ntc.backends.jax.emit import rows as emit
from ntc.backends.jax.emit.relayout import from_dense, to_dense
from ntc.backends.jax.emit.stages import emit as program_of
from ntc.backends.reference import interpret
from ntc.compiler import lower
from ntc.ir import kernel
from ntc.ir.graph import Graph, Node, kernel_op
from ntc.ir.kernel import KERNEL_OPS
from ntc.ir.kernel.families import Mixing, Uniform, every
from ntc.ir.offsets import Offsets
from ntc.ir.op import Array, Intervals, KernelOp, OffsetsPerAxis, covariance
from ntc.ir.parser import parse_graph
from ntc.ir.schema import frozen
from ntc.ir.types import ArrayType, CovarianceType, Type
from ntc.passes.pipeline import OPTIMIZE, run
from ntc.plan import stages_of
from ntc.plan.explain import explain
from ntc.plan.tiles import Needs
from ntc.price.work import tile_work
from tests.strategies import tensor_graphs, trials

PACKAGE = Path(ntc.__file__).parent

BY_CLASS = {
    "passes/merge.py": 4,  # rewrites poolings and grams, of which it makes others
    "passes/split.py": 1,  # rewrites poolings
    "passes/lower_conv.py": 1,  # sets a parameter that filters have
    "ir/ops/mask.py": 1,  # changes a parameter that grams have
    "backends/jax/run/nonfinite.py": 1,  # reads the largest variance of a nonlinearity
    "backends/jax/inputs.py": 1,  # what a gram reads: numbers, or whether they are there
}
"""Lines outside `ntc.ir.kernel` that ask which class a kernel op is, each with its reason; no others."""


def questions_of_class(path: Path) -> int:
    """How many expressions of a file ask for the class of a kernel op."""
    names = {*vars(kernel), *KERNEL_OPS} & {cls.__name__ for op in KERNEL_OPS.values() for cls in op.__mro__}
    tree = ast.parse(path.read_text())
    imported = {
        name.asname or name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ntc.ir.kernel")
        for name in node.names
    }
    asks = [x for x in ast.walk(tree) if isinstance(x, ast.Call) and ast.unparse(x.func) == "isinstance"]
    asks += [x for x in ast.walk(tree) if isinstance(x, ast.Compare) and "type(" in ast.unparse(x.left)]  # type: ignore[misc]
    count = 0
    for ask in asks:
        words = {ast.unparse(x) for x in ast.walk(ask) if isinstance(x, ast.Name | ast.Attribute)}
        count += any(x in imported & names or (x.removeprefix("kernel.") in names and "." in x) for x in words)
    return count


def test_nothing_asks_for_classes() -> None:
    """Protects ops to come: what passes, plan, price and backends ask of an op is in the op, or it is not asked."""
    files = [x for x in PACKAGE.rglob("*.py") if "kernel" not in x.parent.parts and x.name != "emit.py"]
    found = Counter({str(x.relative_to(PACKAGE)): questions_of_class(x) for x in files})
    assert dict(+found) == BY_CLASS
    assert sum(BY_CLASS.values()) <= 10


@pytest.mark.parametrize("op", KERNEL_OPS.values(), ids=KERNEL_OPS)
def test_every_op_answers(op: Any) -> None:
    """Protects from silent defaults: a question that an op does not answer is not answered for it."""
    assert not op.__abstractmethods__
    assert all(hasattr(op, trait) for trait in KernelOp.__annotations__)


def small(node: Node, graph: Graph, draw: Any) -> list[Array]:
    """Random operands of a node, of two examples."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    arrays = []
    for name in node.operands:
        type_ = graph.type_of(name)
        if isinstance(type_, ArrayType):
            arrays.append(random.normal(size=(2, *type_.spatial, type_.channels)))
        else:
            arrays.append(1.5 + random.random((2,) * len(covariance(type_).batch) + dense_shape(covariance(type_))))
    return arrays


def dense_shape(type_: CovarianceType) -> tuple[int, ...]:
    """(H, H', W, W', ...)."""
    return tuple(n for size in type_.spatial for n in (size, size))


def kernel_nodes(data: st.DataObject) -> tuple[Graph, Node]:
    """A node of the kernel graph of a random network, before passes change it."""
    network = data.draw(tensor_graphs(most_steps=4, most_positions=12))
    graph = lower(network, data.draw(st.sampled_from(["cross", "self"])), dtype="float64", optimize=False)
    return graph, data.draw(st.sampled_from(graph.nodes))


@trials(60)
@given(st.data())
def test_folded_numbers_are_those_of_the_reference(data: st.DataObject) -> None:
    """Protects constant folding: where an op says which number its entries are, they are."""
    graph, node = kernel_nodes(data)
    numbers = [data.draw(st.sampled_from([0.0, 1.0, 0.7])) for _ in node.operands]
    arrays = [np.full_like(x, number) for x, number in zip(small(node, graph, data.draw), numbers, strict=True)]
    known = [
        None if isinstance(graph.type_of(x), ArrayType) else n for x, n in zip(node.operands, numbers, strict=True)
    ]
    folded = kernel_op(node).fold(*known)
    if folded is not None and not any(isinstance(graph.type_of(x), ArrayType) for x in node.operands):
        found = kernel_op(node).reference(covariance(node.type), *arrays)
        np.testing.assert_allclose(found, folded, rtol=1e-12, atol=1e-12)


@trials(60)
@given(st.data())
def test_positions_that_are_not_read_do_not_matter(data: st.DataObject) -> None:
    """Protects cropping: the entries at some positions stay when those change that an op says it does not read."""
    graph, node = kernel_nodes(data)
    type_, arrays = covariance(node.type), small(node, graph, data.draw)
    wanted = tuple((low := data.draw(st.integers(0, n - 1)), data.draw(st.integers(low + 1, n))) for n in type_.spatial)
    other = []
    for name, x in zip(node.operands, arrays, strict=True):
        below = graph.type_of(name)
        if not isinstance(below, CovarianceType):
            return
        read = kernel_op(node).positions_below(wanted, below.spatial) or every(below.spatial)
        inside = np.zeros_like(x)
        inside[(slice(None),) * len(below.batch) + entries(read)] = 1
        other.append(np.where(inside == 1, x, x + 1))
    at: Any = (Ellipsis, *entries(wanted)) if wanted else Ellipsis
    before, after = (np.broadcast_to(kernel_op(node).reference(type_, *x), shape(type_))[at] for x in (arrays, other))
    np.testing.assert_array_equal(before, after)


def shape(type_: CovarianceType) -> tuple[int, ...]:
    return (2,) * len(type_.batch) + dense_shape(type_)


def entries(intervals: Intervals) -> tuple[slice, ...]:
    """Of pairs of these positions."""
    return tuple(slice(*interval) for interval in intervals for _ in range(2))


@trials(60)
@given(st.data())
def test_lanes_that_are_not_read_do_not_matter(data: st.DataObject) -> None:
    """Protects programs that compute some lanes at a time: of an op that keeps them apart and is no filter, an entry
    changes with no other entry of an operand."""
    graph, node = kernel_nodes(data)
    op, type_ = kernel_op(node), covariance(node.type)
    if op.slides(type_.spatial) != (None,) * len(type_.spatial) or not type_.spatial:
        return
    arrays = small(node, graph, data.draw)
    kept = np.random.default_rng(0).random(dense_shape(type_)) < 0.5
    count = 1 if op.integral else len(arrays)
    other = [np.where(kept, x, x + 1) if i < count else x for i, x in enumerate(arrays)]
    before, after = (np.broadcast_to(op.reference(type_, *x), shape(type_)) for x in (arrays, other))
    np.testing.assert_array_equal(before[..., kept], after[..., kept])


@frozen
class Halve(Uniform):
    """Half of every entry."""

    name: ClassVar[str] = "halve"

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        return operands[0] / 2


@frozen
class Turn(Mixing):
    """The entries of images that are turned around along every axis."""

    name: ClassVar[str] = "turn"

    def result(self, *operands: Type) -> CovarianceType:
        k = covariance(operands[0])
        return CovarianceType.dense(k.dtype, k.batch, k.spatial)

    def operations(self, *operands: Type) -> int:
        return 1

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        return (tuple(Offsets(-o.high, -o.low, o.step) for o in offsets),)

    def fold(self, *numbers: float | None) -> float | None:
        return numbers[0]

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        batch = len(result.batch)
        return np.flip(operands[0], tuple(range(batch, operands[0].ndim)))


TEXT = """
kernel @net(%x1: f64[N,6,3], %x2: f64[M,6,3]) -> (nngp: %pool.k) {
  %x.k = gram(%x1, %x2) : f64 cov[N,M | 6 | *]
  %a.k = window(%x.k) {kernel=(3,), b_std=0.5} : f64 cov[N,M | 6 | *]
  %b.k = OP : f64 cov[N,M | 6 | *]
  %c.k = window(%b.k) {kernel=(3,)} : f64 cov[N,M | 6 | *]
  %pool.k = reduce(%c.k) {reduction=trace} : f64 cov[N,M]
}
"""


@pytest.fixture
def two_more_ops(monkeypatch: pytest.MonkeyPatch) -> None:
    """An op that is the same at every entry, and one that moves entries: a class and a row each."""
    for op, row in ((Halve, lambda scope, node, type_, x: x[0].interior / 2), (Turn, _turned)):
        monkeypatch.setitem(KERNEL_OPS, op.name, op)
        monkeypatch.setitem(emit.EMITTERS, op, row)


def _turned(scope: Any, node: Node, type_: CovarianceType, operands: Any) -> jax.Array:
    x = to_dense(operands[0])
    return from_dense(x[:, :, ::-1, ::-1], type_)


OPS = {"scale": "affine(%a.k) {w_std=0.7}", "halve": "halve(%a.k)", "turn": "turn(%a.k)"}


def optimised(name: str) -> Graph:
    return run(parse_graph(TEXT.replace("OP", OPS[name])), list(OPTIMIZE))


@pytest.mark.usefixtures("two_more_ops")
def test_a_new_op_is_scheduled_priced_and_explained() -> None:
    """Protects the promise that an op is a class and a row: an entrywise op runs within its neighbours' loop, at the
    price of its operations, without memory of its own; one that moves entries runs alone, and says so."""
    same, halved, turned = (optimised(name) for name in ("scale", "halve", "turn"))
    assert [x.stored for x in stages_of(halved)] == [x.stored for x in stages_of(same)]
    assert Needs.of(halved) == Needs.of(same)
    assert tile_work(halved, "cpu", 4, 4) == tile_work(same, "cpu", 4, 4)
    assert explain(halved) == explain(same)
    assert [len(x.nodes) for x in stages_of(turned)] == [2, 1, 2]
    assert Needs.of(turned).pair > Needs.of(halved).pair
    assert "b reads other positions of both images: a is stored whole before it" in explain(turned).reasons


@pytest.mark.usefixtures("two_more_ops")
@pytest.mark.parametrize("name", ["halve", "turn"])
def test_a_new_op_runs(name: str) -> None:
    """Protects the same promise of values: tracked, cropped, in the layout that its neighbours have."""
    graph = optimised(name)
    x1, x2 = np.random.default_rng(0).normal(size=(2, 3, 6, 3))
    with jax.enable_x64(True):
        found = jax.jit(program_of(graph, "cpu"))(x1, x2)["nngp"]
    np.testing.assert_allclose(found, interpret(parse_graph(TEXT.replace("OP", OPS[name])), x1, x2)["nngp"], rtol=1e-12)
