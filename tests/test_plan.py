"""The plan: which values run together, in which loops, how they are held; and that all who show it show one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ntc
from ntc import nn
from ntc.backends.jax.hyper import bound
from ntc.compiler import lower
from ntc.errors import VerifyError
from ntc.ir.graph import Graph, Node
from ntc.ir.types import Between, Target
from ntc.picture.page import data
from ntc.plan import Chunk, Run, StagePlan, is_cross, plan, roll, stages_of, text
from ntc.plan.explain import EXAMPLES as EXAMPLES_SHOWN
from ntc.plan.explain import explain
from ntc.plan.verify import verify
from ntc.price.rates import CORE
from ntc.price.work import value_work
from tests.networks import NETWORKS
from tests.strategies import repetitive_graphs, tensor_graphs

BETWEENS: tuple[Between, ...] = get_args(Between)
EXAMPLES = Path(__file__).parents[1] / "examples"


def stack(depth: int) -> Graph:
    """Convolutions and relus on 8x8 pixels, then a global average."""
    network = nn.input(8, 8, 3)
    for _ in range(depth):
        network = network >> nn.conv(4, 3) >> nn.relu()
    return lower((network >> nn.global_avg_pool()).graph())


def items(graph: Graph) -> int:
    """Number of nodes and runs that are traced."""
    return sum(len(stage.items) for stage in stages_of(graph))


def test_depth_does_not_matter() -> None:
    """Protects compile time: a deeper stack, written out layer by layer, is the same number of things to trace."""
    assert items(stack(40)) == items(stack(10)) < 20


@given(repetitive_graphs())
def test_rolled_nodes_are_the_nodes(network: Graph) -> None:
    """Protects rolling: blocks are of one op and type each, but for numbers, and in order they are the nodes that were
    given. Where blocks differ, their ops are those of one block with the numbers of each."""
    graph = lower(network)
    nodes = [node for node in graph.nodes if is_cross(node)]
    unrolled: list[Node] = []
    for item in roll(nodes, graph.types):
        unrolled += item.nodes if isinstance(item, Run) else [item]
        if isinstance(item, Run):
            for i, block in enumerate(item.blocks):
                numbers = {name: values[i] for name, values in item.numbers.items()}
                for node, like in zip(block, item.block, strict=True):
                    assert (bound(like.op, numbers), like.type) == (node.op, node.type)
    assert unrolled == nodes


def test_the_first_block_reads_from_anywhere() -> None:
    """Protects compile time: of the three layers after a pooling, the first reads what the pooling left. They are one
    run whose blocks hand on two values, and nothing is left over."""
    layers = nn.repeat(3, nn.serial(nn.conv(4, 3), nn.relu()))
    graph = lower((nn.input(8, 8, 3) >> nn.conv(4, 3) >> nn.relu() >> nn.avg_pool(2) >> layers >> nn.flatten()).graph())
    (stage,) = [x for x in stages_of(graph) if x.nodes[0].name.startswith("conv2")]
    run, *rest = stage.items
    assert isinstance(run, Run)
    assert {node.op.name for node in rest if isinstance(node, Node)} == {"reduce"}
    assert (len(run.blocks), len(run.carried)) == (3, 2)
    assert {name for name in run.before if name} == {"avg_pool1.k", "avg_pool1.t"}


@given(repetitive_graphs(), st.data())
def test_values_that_are_read_later_end_their_run(network: Graph, data: st.DataObject) -> None:
    """Protects values in between that are outputs: whichever they are, they are in no block but the last of a run, and
    in what it hands on; and runs before and after them are runs."""
    graph = lower(network)
    nodes = [node for node in graph.nodes if is_cross(node)]
    later = {x.name for x in data.draw(st.lists(st.sampled_from(nodes), max_size=3))}
    unrolled: list[Node] = []
    for item in roll(nodes, graph.types, later):
        unrolled += item.nodes if isinstance(item, Run) else [item]
        if isinstance(item, Run):
            assert later.isdisjoint(node.name for block in item.blocks[:-1] for node in block)
            handed_on = {item.blocks[-1][i].name for i in item.carried}
            assert later.intersection(node.name for node in item.blocks[-1]) <= handed_on
    assert unrolled == nodes


def test_outputs_in_between_leave_repeated_blocks() -> None:
    """Protects compile time: of 120 layers of which four in between are read as well, five runs are left, not a list of
    all that stands before the longest."""
    layer = nn.serial(nn.dense(4), nn.relu())
    stretches = [nn.serial(nn.repeat(20 + i, layer), nn.output(f"after{i}")) for i in range(4)]
    graph = lower((nn.input(3) >> nn.serial(*stretches) >> nn.repeat(40, layer) >> nn.dense(1)).graph())
    found = [item for stage in stages_of(graph) for item in stage.items]
    assert sum(isinstance(item, Run) for item in found) == 5
    assert len(found) < 60


def test_a_value_from_the_middle_is_not_rolled_away() -> None:
    """Protects values that are read later than in the next block."""
    middle = nn.serial(*(nn.serial(nn.conv(4, 3), nn.relu()) for _ in range(6)))
    network = nn.input(4, 3) >> middle >> nn.sum(middle, nn.conv(4, 3)) >> nn.flatten()
    graph = lower(network.graph())
    nodes = [node for node in graph.nodes if is_cross(node)]
    for item in roll(nodes, graph.types):
        for name in [node.name for block in item.blocks[:-1] for node in block] if isinstance(item, Run) else []:
            readers = [node.name for node in nodes if name in node.operands]
            assert all(reader in {node.name for node in item.nodes} for reader in readers)


@given(tensor_graphs())
def test_groups_cover_the_graph_in_order(network: Graph) -> None:
    """Protects the plan: every value between two examples is in one stage, after all that it reads."""
    graph = lower(network)
    done: set[str] = set()
    for stage in stages_of(graph):
        for node in stage.nodes:
            assert node.name not in done
            assert all(x in done or not is_cross(graph.definitions[x]) for x in node.operands if x in graph.definitions)
            done.add(node.name)
    assert done == {node.name for node in graph.nodes if is_cross(node)}


def test_wide_residual_network_is_one_loop() -> None:
    """Protects the point of the layout: strides keep lanes, so all stages of a WRN-28 share 64 lanes of 1024."""
    graph = lower(ntc.load_graph(EXAMPLES / "wrn.nt"))
    stages = [stage for stage in stages_of(graph) if stage.spatial]
    assert [(stage.lanes, stage.parallel, stage.stored) for stage in stages] == [(64, True, ())]
    first, last = graph.covariance_of("conv1.k"), graph.covariance_of("conv28.k")
    assert (first.lanes, first.entries) == (64, 64 * 1024)
    assert (last.lanes, last.spatial) == (64, (8, 8))


def test_pooling_tracks_a_band() -> None:
    """Protects demand: 7 x 7 offsets below two poolings and a flatten, 3 x 3 between them, one above."""
    conv = nn.serial(nn.conv(4, 3), nn.relu())
    network = nn.input(32, 32, 3) >> conv >> nn.avg_pool(2) >> conv >> nn.avg_pool(2) >> conv >> nn.flatten()
    graph = lower(network.graph())
    assert [graph.covariance_of(f"conv{i}.k").lanes for i in (1, 2, 3)] == [49, 9, 1]


@pytest.mark.parametrize(("n1", "n2"), [(1, 1), (4, 4), (32, 32), (7, 50)])
def test_chunks_divide_what_they_cut(n1: int, n2: int) -> None:
    """Protects loops: chunks are equal, of at least a register's width, and small."""
    (stage,) = [stage for stage in stages_of(stack(3)) if stage.spatial]
    chunk = Chunk.choose(stage, "cpu", n1, n2)
    lanes, rows = (chunk.lanes, chunk.rows) if chunk else (stage.lanes, n1)
    assert stage.lanes % lanes == n1 % rows == 0
    assert lanes * rows * n2 * 64 * 4 <= 2 * 192 * 2**10


def test_layers_that_differ_in_numbers_are_one_block() -> None:
    """Protects compile time of searches: scales, slopes and hyperparameters of layers are data of one loop."""

    def layers(count: int) -> Graph:
        own = (
            nn.conv(4, 3, w_std=1 + i / 10, b_std=0.1 * (i + 1)) >> nn.leaky_relu(nn.hyper(0.2, f"slope{i}"))
            for i in range(count)
        )
        return lower((nn.input(8, 8, 3) >> nn.serial(*own) >> nn.flatten() >> nn.dense(1)).graph())

    assert items(layers(20)) == items(layers(8)) < 20


GOLDEN = Path(__file__).with_name("golden_plan")
TARGETS: tuple[Target, ...] = get_args(Target)
PLANNED = {
    "wrn": lambda: ntc.load_graph(EXAMPLES / "wrn.nt"),
    "myrtle5": lambda: ntc.load_graph(EXAMPLES / "myrtle.nt", "myrtle5"),
    "fully_connected": lambda: ntc.load_graph(EXAMPLES / "fully_connected.nt"),
    **{name: NETWORKS[name].graph for name in ("residual", "strided", "image")},
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", PLANNED)
def test_plans_are_those_that_are_expected(name: str, target: Target) -> None:
    """Protects plans as people read them, of every target without a device. NTC_UPDATE_GOLDEN=1 writes the files."""
    found = text.show(verify(plan(lower(PLANNED[name]()), target, 16, 16)))
    path = GOLDEN / f"{name}.{target}.txt"
    if os.environ.get("NTC_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(found)
    assert found == path.read_text()


@given(tensor_graphs(), st.sampled_from(TARGETS), st.integers(1, 40), st.integers(1, 40), st.sampled_from(BETWEENS))
def test_plans_of_random_networks_are_sound(network: Graph, target: Target, n1: int, n2: int, between: Between) -> None:
    """Protects what a backend relies on, of every kind of network; and that a plan can be shown."""
    graph = lower(network, between)
    found = verify(plan(graph, target, n1, n2))
    assert all(f"%{node.name} = " in text.show(found) for stage in found.stages for node in stage.stage.readouts)


def test_the_verifier_notices() -> None:
    """Protects the verifier: a value is missing, twice there, early, not held, not kept; chunks do not fit."""
    layer = nn.serial(nn.conv(4, 3), nn.relu())
    network = nn.input(32, 32, 3) >> layer >> nn.avg_pool(2) >> layer >> nn.flatten()
    sound = verify(plan(lower(network.graph()), "cpu", 16, 16))
    one = next(x for x in sound.stages if x.chunk and x.stage.stored)
    broken: list[tuple[StagePlan, str]] = [
        (replace(one, stage=replace(one.stage, items=one.stage.items * 2)), "computed twice"),
        (replace(one, stage=replace(one.stage, items=one.stage.items[::-1])), "not computed yet"),
        (replace(one, stage=replace(one.stage, holdings={})), "held in no way"),
        (replace(one, stage=replace(one.stage, stored=())), "not kept"),
        (replace(one, chunk=Chunk(one.stage.lanes, 3)), "do not fit"),
        (replace(one, chunk=Chunk(one.stage.lanes, 16)), "a chunk of"),
    ]
    for other, message in broken:
        with pytest.raises(VerifyError, match=message):
            verify(replace(sound, stages=tuple(other if x is one else x for x in sound.stages)))
    with pytest.raises(VerifyError, match="computed nowhere"):
        verify(replace(sound, stages=sound.stages[:-1]))


@given(tensor_graphs())
def test_explanation_price_and_picture_show_the_plan(network: Graph) -> None:
    """Protects readers from three stories: loops, repeated blocks, kept values and steps are those of the plan."""
    graph = lower(network)
    found = plan(graph, "cpu", EXAMPLES_SHOWN, EXAMPLES_SHOWN)
    for cost, planned in zip(explain(graph).stages, found.stages, strict=True):
        runs = [item for item in planned.stage.items if isinstance(item, Run)]
        assert cost.repeated == tuple((len(run.blocks), len(run.block)) for run in runs)
        assert cost.stored == planned.stage.stored
        assert cost.chunk == (planned.chunk and (planned.chunk.rows, planned.chunk.lanes)) or planned.chunk is None
    works = dict(value_work(graph, "cpu", EXAMPLES_SHOWN, EXAMPLES_SHOWN))
    for planned in found.stages:
        over_lanes, over_rows = planned.steps(EXAMPLES_SHOWN)
        assert {works[node].steps for node in planned.stage.nodes} == {over_lanes * over_rows}
    nodes, repeats = found.in_order()
    assert sorted(x.name for x in nodes) == sorted(x.name for x in graph.nodes)
    shown = data(network, graph, CORE)["views"][1]
    assert [row["name"] for row in shown["rows"]] == [*(x.name for x in graph.inputs), *(x.name for x in nodes)]
    assert len(shown["folds"]) == len(repeats)


def test_the_page_shows_the_plans() -> None:
    """Protects docs/plan.md: it has the plans that are expected, as they are printed."""
    page = (Path(__file__).parents[1] / "docs" / "plan.md").read_text()
    for target in ("cpu", "cuda"):
        assert f"```text\n{(GOLDEN / f'wrn.{target}.txt').read_text()}```" in page
