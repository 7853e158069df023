"""Passes keep the numbers, do what their docstrings say and nothing where they must not; the IR they leave."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, get_args
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ntc
from ntc import nn
from ntc.backends.reference import interpret
from ntc.compiler import build
from ntc.errors import ParameterError, VerifyError
from ntc.frontend.layers import Network
from ntc.ir import kernel
from ntc.ir.construct import construct
from ntc.ir.graph import Graph, Output, kernel_op
from ntc.ir.offsets import Offsets
from ntc.ir.parser import parse_graph
from ntc.ir.printer import show
from ntc.ir.schema import frozen
from ntc.ir.types import Between
from ntc.ir.verify import verify
from ntc.passes.base import Pass
from ntc.passes.crop import Crop
from ntc.passes.cse import CommonSubexpressions
from ntc.passes.dce import DeadCode
from ntc.passes.fold import Fold
from ntc.passes.merge import Merge
from ntc.passes.pipeline import OPTIMIZE, Observer, parse_pipeline, run
from ntc.passes.split import Split
from ntc.passes.track import Track, demand
from ntc.passes.translate import Translate
from tests.assertions import assert_close
from tests.networks import NETWORKS, inputs
from tests.strategies import examples, tensor_graphs, trials

GOLDEN = Path(__file__).with_name("golden_ir")
BEFORE = ((), (Fold(),), (Fold(), CommonSubexpressions()), (Fold(), CommonSubexpressions(), DeadCode()), (Crop(),))
betweens = st.sampled_from(get_args(Between))


@pytest.fixture(scope="module", autouse=True)
def _graphs_are_printed_and_read() -> Iterator[None]:
    """After every pass that runs here."""
    with mock.patch.dict(os.environ, NTC_CHECK="2"):
        yield


def translated(graph: Graph | Network, between: Between = "cross", **options: Any) -> Graph:
    """The kernel graph before any other pass."""
    graph = graph.graph() if isinstance(graph, Network) else graph
    return Translate(dtype="f64", between=between, **options)(graph)


def names(graph: Graph) -> list[str]:
    """The ops of a graph in order."""
    return [node.op.name for node in graph.nodes]


@trials(30)
@given(st.data())
@pytest.mark.parametrize("pass_", OPTIMIZE, ids=lambda pass_: pass_.name)
def test_passes_keep_the_value(pass_: Pass, data: st.DataObject) -> None:
    """Protects every number: to rounding, what a pass leaves has the reference's value, verifies, and another
    run of the pass changes nothing and gives equal graphs for equal graphs."""
    network, between = data.draw(tensor_graphs()), data.draw(betweens)
    before = run(translated(network, between), data.draw(st.sampled_from(BEFORE)))
    after = verify(pass_(before))
    assert pass_(after) == after
    assert pass_(parse_graph(show(before))) == after
    arrays = [data.draw(examples(network, n)) for n in ((2, 3) if between == "cross" else (3,))]
    expected, found = interpret(before, *arrays), interpret(after, *arrays)
    assert found.keys() == expected.keys()
    for label, value in expected.items():
        assert_close(found[label], value, "rounding", scale=1e-30)


@given(tensor_graphs(), betweens, st.sampled_from(["nngp", "ntk"]))
def test_the_pipeline_computes_nothing_twice_or_for_nobody(network: Graph, between: Between, label: Any) -> None:
    """Protects what the pipeline promises: no dead value, no two equal ones, no constant that does nothing."""
    graph = run(translated(network, between, kernels=(label,)), OPTIMIZE)
    read = {x for node in graph.nodes for x in node.operands} | {output.value for output in graph.outputs}
    assert all(node.name in read for node in graph.nodes)
    assert len({(node.op, node.operands, node.type) for node in graph.nodes}) == len(graph.nodes)
    zeros = {node.name for node in graph.nodes if node.op.name == "constant" and node.op.value == 0}  # type: ignore[attr-defined]
    assert not any(zeros.intersection(node.operands) for node in graph.nodes if node.op.name in ("add", "mul"))


@trials(30)
@given(st.data())
def test_entries_that_are_not_tracked_are_not_read(data: st.DataObject) -> None:
    """Protects tracking: entries outside the tracked offsets are NaN in the reference, and no output is."""
    network, between = data.draw(tensor_graphs()), data.draw(betweens)
    graph = run(translated(network, between), OPTIMIZE)
    every = replace(graph, outputs=tuple(Output(f"o{i}", node.name) for i, node in enumerate(graph.nodes)))
    arrays = [data.draw(examples(network, 2)) for _ in graph.inputs]
    values = interpret(every, *arrays)
    for i, node in enumerate(graph.nodes):
        type_ = graph.covariance_of(node.name)
        tracked = np.array(True)
        for size, offsets in zip(type_.spatial, type_.offsets, strict=True):
            inside = [[offsets.covers(Offsets(q - p, q - p)) for q in range(size)] for p in range(size)]
            tracked = tracked[..., None, None] & np.array(inside)
        finite = np.isfinite(values[f"o{i}"])
        assert np.array_equal(finite, np.broadcast_to(tracked, finite.shape))
    assert all(np.isfinite(values[f"o{graph.nodes.index(graph.definitions[x.value])}"]).all() for x in graph.outputs)


@given(tensor_graphs(), betweens)
def test_tracking_tracks_what_is_demanded_and_no_more(network: Graph, between: Between) -> None:
    """Protects memory: the tracked offsets are those that an output reads."""
    before = run(translated(network, between), OPTIMIZE[:-2])
    after, demands = Track()(before), demand(before)
    for node in after.nodes:
        type_ = after.covariance_of(node.name)
        assert type_.offsets == demands[node.name]


def test_no_pooling_tracks_the_diagonal_alone() -> None:
    """Protects the common case: without pooling, no value of a CNN holds pairs of positions."""
    network = nn.input(8, 8, 3) >> nn.repeat(2, nn.serial(nn.conv(4, 3), nn.relu())) >> nn.flatten() >> nn.dense(1)
    graph = run(translated(network), OPTIMIZE)
    assert max(graph.covariance_of(node.name).entries for node in graph.nodes) == 64
    pooled = nn.input(8, 8, 3) >> nn.conv(4, 3) >> nn.global_avg_pool()
    assert max(t.entries for t in map(run(translated(pooled), OPTIMIZE).covariance_of, ["x.k"])) == 64**2


def test_tracking_is_per_axis() -> None:
    """Protects axes from each other: pooling along one axis leaves the other diagonal."""
    network = nn.input(4, 6, 3) >> nn.conv(4, 3) >> nn.avg_pool((1, 2), (1, 2)) >> nn.flatten()
    graph = run(translated(network), OPTIMIZE)
    assert str(graph.covariance_of("conv1.k")) == "f64 cov[N,M | 4,6 | 0,-1..1]"


def test_crop_keeps_the_receptive_field() -> None:
    """Protects readouts of one pixel: of 32 x 32 images, two convolutions read 5 x 5, less beside the border."""
    network = nn.input(32, 32, 3) >> nn.conv(4, 3) >> nn.relu() >> nn.conv(4, 3) >> nn.index((0, 20))
    graph = run(translated(network), OPTIMIZE)
    grams = [node for node in graph.nodes if isinstance(node.op, kernel.Gram)]
    assert {graph.covariance_of(node.name).spatial for node in grams} == {(3, 5)}


def test_crop_leaves_out_what_no_filter_reaches() -> None:
    """Protects odd sides: of 7 positions, a pooling of 2 reads 6."""
    graph = run(translated(nn.input(7, 8, 3) >> nn.conv(4, 1) >> nn.relu() >> nn.avg_pool(2) >> nn.flatten()), OPTIMIZE)
    assert graph.covariance_of("relu1.k").spatial == (6, 8)


@pytest.mark.parametrize("kind", [nn.avg_pool, nn.sum_pool])
def test_merge_joins_poolings(kind: Any) -> None:
    """Protects merging: three poolings are one where nothing is left over, and with the readout a mean or sum."""
    conv = nn.input(8, 8, 3) >> nn.conv(4, 3) >> nn.relu()
    graph = run(translated(conv >> kind(2) >> kind((2, 1)) >> nn.conv(1, 1)), [Merge(), DeadCode()])
    assert [str(node.op.window) for node in graph.nodes if isinstance(node.op, kernel.Window2)] == ["(4, 2)"] * 2
    whole = run(translated(conv >> kind(2) >> kind(2) >> kind(2) >> nn.flatten()), [Merge(), DeadCode()])
    assert "window2" not in names(whole)
    assert {"mean", "sum"} & {getattr(node.op, "reduction", "") for node in whole.nodes}


@pytest.mark.parametrize(
    ("readout", "read"),
    [
        (nn.flatten(), {"shape": (24,)}),
        (nn.global_avg_pool(), {"pooled": "mean"}),
        (nn.global_sum_pool(), {"pooled": "sum"}),
    ],
    ids=["flatten", "mean", "sum"],
)
def test_merge_reads_the_input_out_in_its_gram(readout: Any, read: dict[str, Any]) -> None:
    """Protects images of fully connected networks: a product of vectors, no covariance of positions; and its value."""
    network = nn.input(3, 4, 2) >> readout >> nn.dense(1) >> nn.relu()
    graph = run(translated(network), [Fold(), Merge(), DeadCode()])
    x1, x2 = (np.random.default_rng(seed).standard_normal((seed + 2, 3, 4, 2)) for seed in (0, 1))
    expected = interpret(translated(network), x1, x2)["ntk"]
    assert_close(interpret(graph, x1, x2)["ntk"], expected, "float64")
    assert_close(build(network, dtype="float64")(x1, x2).ntk, expected, "float64")
    grams = [node for node in graph.nodes if isinstance(node.op, kernel.Gram)]
    assert len(grams) == 3
    assert not any(graph.covariance_of(node.name).spatial for node in graph.nodes)
    for node in grams:
        assert read.items() <= vars(node.op).items()


def test_merge_leaves_readouts_of_what_is_missing() -> None:
    """Protects masks and patterns: which positions are read is not known before, and some channels are no data."""
    for network in (
        nn.input(5, 2) >> nn.mask(7.0) >> nn.flatten() >> nn.dense(1),
        nn.input(5, 2) >> nn.aggregate() >> nn.flatten() >> nn.dense(1),
    ):
        graph = run(translated(network), [Merge(), DeadCode()])
        assert any(graph.covariance_of(x.name).spatial for x in graph.nodes if isinstance(x.op, kernel.Gram))


def test_merge_leaves_poolings_that_leave_something_over() -> None:
    """Protects sizes that do not divide, windows that overlap, and padding."""
    for pools in (
        nn.avg_pool(2) >> nn.avg_pool(2),
        nn.avg_pool(3, 2) >> nn.avg_pool(2),
        nn.avg_pool(2, padding="same") >> nn.avg_pool(2),
    ):
        before = translated(nn.input(7, 3) >> nn.conv(4, 3) >> pools >> nn.conv(1, 1))
        assert run(before, [Merge(), DeadCode()]) == run(before, [DeadCode()])


def test_split_makes_one_pooling_per_axis() -> None:
    """Protects splitting: the last axis first, which then mixes the offsets of that axis alone."""
    network = nn.input(6, 9, 3) >> nn.conv(4, 3) >> nn.avg_pool((2, 3)) >> nn.conv(1, 1)
    graph = Split()(translated(network))
    windows = [node.op.window for node in graph.nodes if isinstance(node.op, kernel.Window2)]
    assert windows == [(1, 3), (2, 1)] * (len(windows) // 2)


@pytest.mark.parametrize("size", [(3, 5), (5, 3)])
def test_split_crops_every_axis_once(size: tuple[int, int]) -> None:
    """Protects poolings of which a stride above leaves positions unread: what is cropped along one axis is cropped by
    the pooling along that axis alone."""
    network = (
        nn.input(*size, 2)
        >> nn.conv(4, 2, padding="circular")
        >> nn.avg_pool((2, 2), 1)
        >> nn.relu()
        >> nn.conv(1, 1, 2)
    )
    before = translated(network)
    cropped = Crop()(before)
    assert any(isinstance(node.op, kernel.Window2) and node.op.pads for node in cropped.nodes)
    arrays = [np.random.default_rng(n).normal(size=(n, *size, 2)) for n in (2, 3)]
    expected, found = interpret(before, *arrays), interpret(verify(Split()(cropped)), *arrays)
    assert_close(found["ntk"], expected["ntk"], "rounding")
    x = arrays[0]
    program = ntc.build(network, dtype="float64")
    assert_close(program(x).ntk, interpret(translated(network, "self"), x)["ntk"], "float64")


def test_fold_removes_the_ntk_of_the_input() -> None:
    """Protects folding: zero times, plus zero, and scales of one disappear; the NTK of one layer is its NNGP."""
    graph = run(translated(nn.input(3) >> nn.dense(4)), [Fold(), DeadCode()])
    assert names(graph) == ["gram"]
    assert [output.value for output in graph.outputs] == ["x.k", "x.k"]


def test_fold_computes_constants() -> None:
    """Protects constants through every kind of op: a network that ignores its input has constant kernels."""
    network = nn.input(4, 3) >> nn.conv(4, 3, w_std=0.0, b_std=0.5) >> nn.relu() >> nn.flatten() >> nn.dense(2, 2.0)
    graph = run(translated(network), [Fold(), DeadCode()])
    assert set(names(graph)) == {"constant"}
    found = interpret(graph, inputs("mlp", 2, 0)[:, None, :].repeat(4, 1), np.zeros((1, 4, 3)))
    assert_close(found["nngp"], np.full((2, 1), 4 * 0.25 / 2), "rounding")


def test_fold_leaves_constants_that_filters_change() -> None:
    """Protects the edges: a constant is not constant after a filter that reads zeros outside the image."""
    biased = nn.input(4, 3) >> nn.dense(4, 0.0, 1.0)
    assert "window" in names(Fold()(translated(biased >> nn.conv(4, 3))))
    assert "window2" in names(Fold()(translated(biased >> nn.avg_pool(3, 1, "same"))))
    assert "reduce" in names(Fold()(translated(biased >> nn.global_sum_pool())))
    free = nn.input(4, 3) >> nn.dense(4, 0.0, 0.0)
    assert "window" not in names(Fold()(translated(free >> nn.conv(4, 3))))


def test_fold_keeps_weights_of_sums() -> None:
    """Protects concatenation: a weight of a dropped zero goes, the others stay with their operands."""
    network = nn.input(3) >> nn.concat(nn.dense(1, 0.0), nn.dense(3))
    graph = Fold()(translated(network))
    assert graph.definitions["concat1.k"].op == kernel.Add((0.75,))


def test_cse_merges_equal_branches_only() -> None:
    """Protects sharing: equal ops on equal operands are computed once, unequal ones are not."""
    branch, other = nn.serial(nn.dense(4, 1.5), nn.relu()), nn.serial(nn.dense(4, 1.25), nn.relu())
    for second, count in ((branch, 3), (other, 6)):
        graph = run(translated(nn.input(3) >> nn.concat(branch, second)), [CommonSubexpressions(), DeadCode()])
        assert sum(isinstance(node.op, kernel.Dual) for node in graph.nodes if node.name.endswith("k")) == count // 3


def test_cse_keeps_the_marginals_of_two_inputs_apart() -> None:
    """Protects k(x1, x2): the variances of x1 and x2 come from the same op on different inputs."""
    graph = CommonSubexpressions()(translated(NETWORKS["mlp"]))
    assert {"x.v1", "x.v2"} <= set(graph.types)


def test_dce_removes_the_ntk_if_only_the_nngp_is_asked_for() -> None:
    """Protects dead-code elimination: what is not asked for is not computed; inputs stay."""
    graph = DeadCode()(translated(NETWORKS["mlp"], kernels=("nngp",)))
    assert "dual_dot" not in names(graph)
    assert len(graph.inputs) == 2
    both = DeadCode()(translated(NETWORKS["mlp"]))
    assert "dual_dot" in names(both)


@pytest.mark.parametrize("name", NETWORKS)
def test_k_of_x_with_itself_shares_its_marginals(name: str) -> None:
    """Protects `self` and `diagonal`: one marginal for both sides, and for the diagonal nothing else."""
    own = translated(NETWORKS[name], "self")
    assert not [node.name for node in own.nodes if node.name.endswith((".v1", ".v2"))]
    assert [output.value for output in own.outputs] == ["nngp.mirror", "ntk.mirror"]
    diagonal = translated(NETWORKS[name], "diagonal")
    assert all(len(diagonal.covariance_of(node.name).batch) == 1 for node in diagonal.nodes)


def test_kernels_are_returned_in_the_order_asked_for() -> None:
    """Protects labels and their order; refuses none, and one twice."""
    graph = translated(NETWORKS["mlp"], kernels=("ntk", "nngp"))
    assert [output.label for output in graph.outputs] == ["ntk", "nngp"]
    for kernels in ((), ("ntk", "ntk")):
        with pytest.raises(ParameterError, match="one or both"):
            construct(Translate, (), {"kernels": kernels})


@frozen
class _Broken(Pass):
    """Leaves a graph without its first node."""

    name: ClassVar[str] = "broken"

    def __call__(self, graph: Graph) -> Graph:
        return replace(graph, nodes=graph.nodes[1:])


@frozen
class _Raising(Pass):
    """Fails."""

    name: ClassVar[str] = "raising"

    def __call__(self, graph: Graph) -> Graph:
        kernel_op(graph.nodes[0])
        raise VerifyError("it does not work")


@pytest.mark.parametrize(
    ("bad", "note"),
    [
        (_Broken(), "after pass `broken` (all: fold, broken)"),
        (_Raising(), "in pass `raising`, after fold"),
    ],
)
def test_a_defect_names_its_pass(bad: Pass, note: str) -> None:
    """Protects whoever debugs a pass: the error names it and the passes before it."""
    with pytest.raises(VerifyError) as caught:
        run(translated(NETWORKS["mlp"]), [Fold(), bad, DeadCode()])
    assert note in caught.value.notes


def test_the_observer_sees_every_pass() -> None:
    """Protects dumps and timings: one call and one entry per pass, in order."""
    seen: list[tuple[str, Graph]] = []
    observer = Observer(dump=lambda name, graph: seen.append((name, graph)))
    last = run(NETWORKS["mlp"].graph(), [Translate(), *OPTIMIZE], observer)
    assert [name for name, _ in seen] == ["translate", *(pass_.name for pass_ in OPTIMIZE)]
    assert [name for name, _ in observer.seconds] == [name for name, _ in seen]
    assert seen[-1][1] == last


def test_pipelines_are_text() -> None:
    """Protects the command line: a pipeline reads as the passes that the library runs."""
    options = (
        "translate{kernels=(nngp,), dtype=f64, between=self}, fold, cse, merge, dce, crop, "
        "split, track, distance, skew, lower_conv"
    )
    expected = [Translate(("nngp",), "f64", "self"), *OPTIMIZE]
    assert parse_pipeline(options) == expected
    assert parse_pipeline("") == []
    with pytest.raises(ParameterError, match="unknown pass `fould`") as caught:
        parse_pipeline("fould")
    assert caught.value.hint == "did you mean `fold`?"


STAGES: dict[str, str] = {
    "mlp.cross": "translate | fold | cse | merge | dce | crop | split | track | distance | skew | lower_conv",
    "cnn.cross": "translate, fold, cse, merge, dce, crop, split, track",
    "cnn.self": "translate{between=self}, fold, cse, merge, dce, crop, split, track, distance, skew, lower_conv",
    "residual.diagonal": "translate{between=diagonal}, fold, cse, merge, dce, crop, split, track",
    "joined.cross": "translate | fold, cse, merge, dce, crop, split, track",
    "image.cross": "translate{kernels=(nngp,), dtype=f64}, fold, cse, merge, dce, crop, split, track",
}


@pytest.mark.parametrize("name", STAGES)
def test_golden_text(name: str) -> None:
    """Protects the IR as people read it, after each stage. NTC_UPDATE_GOLDEN=1 writes the files anew."""
    graph = NETWORKS[name.split(".")[0]].graph()
    parts = [f"// network\n{show(graph)}"]
    for stage in STAGES[name].split(" | "):
        graph = run(graph, parse_pipeline(stage))
        parts.append(f"// {stage}\n{show(graph, locations=False)}")
    path, text = GOLDEN / f"{name}.txt", "\n".join(parts)
    if os.environ.get("NTC_UPDATE_GOLDEN") == "1":
        path.write_text(text)
    assert path.read_text() == text


def test_no_golden_file_is_left_over() -> None:
    """Protects the folder: a file that no test compares."""
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(STAGES)
