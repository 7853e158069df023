"""Which values run together, in which loops."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

import ntc
from ntc import nn
from ntc.backends.jax.hyper import bound
from ntc.compiler import lower
from ntc.frontend.layers import Network
from ntc.ir.graph import Graph, Node
from ntc.schedule import Chunk, Run, is_cross, roll, schedule
from tests.strategies import repetitive_graphs, tensor_graphs

EXAMPLES = Path(__file__).parents[1] / "examples"


def stack(depth: int, head: Network | None = None) -> Graph:
    """Convolutions and relus on 8x8 pixels, then a global average."""
    network = nn.input(8, 8, 3)
    for _ in range(depth):
        network = network >> nn.conv(4, 3) >> nn.relu()
    return lower((network >> nn.global_avg_pool()).graph())


def items(graph: Graph) -> int:
    """Number of nodes and runs that are traced."""
    return sum(len(roll(group.nodes, graph.types, group.stored)) for group in schedule(graph))


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
    (group,) = [x for x in schedule(graph) if x.nodes[0].name.startswith("conv2")]
    run, *rest = roll(group.nodes, graph.types, group.stored)
    assert isinstance(run, Run)
    assert {node.op.name for node in rest if isinstance(node, Node)} == {"reduce"}
    assert (len(run.blocks), len(run.carried)) == (3, 2)
    assert {name for name in run.before if name} == {"avg_pool1.k", "avg_pool1.t"}


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
    """Protects the schedule: every value between two examples is in one group, after all that it reads."""
    graph = lower(network)
    done: set[str] = set()
    for group in schedule(graph):
        for node in group.nodes:
            assert node.name not in done
            assert all(x in done or not is_cross(graph.definitions[x]) for x in node.operands if x in graph.definitions)
            done.add(node.name)
    assert done == {node.name for node in graph.nodes if is_cross(node)}


def test_wide_residual_network_is_one_loop() -> None:
    """Protects the point of the layout: strides keep lanes, so all stages of a WRN-28 share 64 lanes of 1024."""
    graph = lower(ntc.load_graph(EXAMPLES / "wrn.nt"))
    groups = [group for group in schedule(graph) if group.spatial]
    assert [(group.lanes, group.parallel, group.stored) for group in groups] == [(64, True, ())]
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
    (group,) = [group for group in schedule(stack(3)) if group.spatial]
    chunk = Chunk.choose(group, "cpu", n1, n2)
    lanes, rows = (chunk.lanes, chunk.rows) if chunk else (group.lanes, n1)
    assert group.lanes % lanes == n1 % rows == 0
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
