"""Stages as kernels of their own: for GPUs and TPUs, interpreted on the CPU, the numbers of the float64 reference."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import jax
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ntc import nn
from ntc.backends.jax.emit.stages import emit
from ntc.backends.jax.pallas.kernel import run_fused
from ntc.backends.jax.pallas.primitives import power, root
from ntc.backends.jax.run.computations import Computations
from ntc.backends.jax.run.sharded import ShardedMatrix, device_mesh, sharded
from ntc.backends.jax.run.tiles import TiledMatrix
from ntc.compiler import build, lower
from ntc.errors import SelfTestError, ShapeError, UnsupportedError, VerifyError
from ntc.frontend.layers import Network
from ntc.ir import ops
from ntc.ir.activation import Activation
from ntc.ir.op import Array
from ntc.ir.platform import PLATFORMS
from ntc.ir.types import Between, Target
from ntc.plan import Run, plan, text
from ntc.plan.explain import explain
from ntc.plan.sweeps import Repeated
from ntc.plan.tiles import Tiling
from ntc.plan.verify import verify
from ntc.price.work import value_work
from tests.assertions import assert_close
from tests.strategies import trials
from tests.test_programs import reference, rounded

targets = st.sampled_from(["cuda", "tpu"])
ELEMENTARY = {
    "relu": nn.relu(),
    "leaky_relu": nn.leaky_relu(0.2),
    "erf": nn.erf(),
    "gelu": nn.gelu(),
    "sin": nn.sin(1.2),
    "gaussian": nn.gaussian(),
    "exp_normalized": nn.exp_normalized(),
    "rbf": nn.rbf(),
    "sign": nn.sign(),
    "squared_relu": nn.squared_relu(),
    "hermite": nn.hermite(3),
}


@st.composite
def layers(draw: st.DrawFn, axes: int) -> Any:
    """A convolution, a nonlinearity."""
    size = draw(st.sampled_from([1, 2, 3]))
    conv = nn.conv(
        4,
        size,
        stride=draw(st.sampled_from([1, 1, 1, 2])),
        dilation=draw(st.sampled_from([1, 1, 2])),
        padding=draw(st.sampled_from(["same", "same", "valid"])),
        w_std=1.3,
        b_std=draw(st.sampled_from([0.0, 0.2])),
    )
    return nn.serial(conv, ELEMENTARY[draw(st.sampled_from(sorted(ELEMENTARY)))])


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Stacks, repeated blocks and sums of layers, read out in any way or not at all."""
    axes = draw(st.sampled_from([1, 2]))
    sizes = [draw(st.sampled_from([5, 8, 12])) for _ in range(axes)]
    network = nn.input(*sizes, draw(st.integers(1, 3)))
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["layer", "layer", "repeat", "sum"]))
        if kind == "layer":
            network = network >> draw(layers(axes))
            continue
        plain = nn.serial(nn.conv(4, 3, w_std=1.3, b_std=0.1), ELEMENTARY[draw(st.sampled_from(sorted(ELEMENTARY)))])
        if kind == "repeat":
            network = network >> nn.repeat(draw(st.integers(3, 4)), plain)
        else:
            block = nn.serial(nn.conv(4, 3), nn.relu(), nn.conv(4, 3))
            network = network >> nn.conv(4, 1) >> nn.repeat(draw(st.integers(1, 3)), nn.sum(block, nn.identity()))
    reading = draw(st.sampled_from([nn.global_avg_pool(), nn.flatten(), nn.identity()]))
    return network >> reading


def fused_stages(network: Network, target: Target, between: Between = "cross", rows: int = 3, columns: int = 2) -> int:
    """How many stages are kernels, of a plan that is sound."""
    planned = verify(plan(lower(network.graph(), between), target, rows, columns))
    return sum(stage.fused is not None for stage in planned.stages)


def inputs(network: Network, count: int, seed: int = 0) -> Array:
    type_ = network.graph().tensor_of(network.graph().inputs[0].name)
    x = np.random.default_rng(seed).normal(size=(count, *type_.spatial, type_.channels))
    return rounded(x, "float32")


def run(network: Network, target: Target, between: Between, *arrays: Array, **flags: Any) -> dict[str, jax.Array]:
    """The outputs by kernels of whole stages, interpreted."""
    graph = build(network, target=target).graphs[between]
    function = jax.jit(emit(graph, target, kernel=partial(run_fused, interpret=True)))
    return function(*(x.astype(np.float32) for x in arrays), **flags)


@trials(30)
@given(networks(), targets, st.sampled_from(["cross", "self"]), st.integers(1, 10), st.integers(1, 3))
def test_random_networks(network: Network, target: Target, between: Between, rows: int, columns: int) -> None:
    """Protects the kernels: sweeps, planes, masks, tables, sums, on the features that they have."""
    try:
        network.graph()
    except ShapeError:  # a filter that is larger than what is left of the image
        assume(False)
    assume(fused_stages(network, target, between, rows, columns))
    x1, x2 = inputs(network, rows), inputs(network, columns, 1)
    arrays = (x1, x2) if between == "cross" else (x1,)
    found, expected = run(network, target, between, *arrays), reference(network.graph(), between, *arrays)
    for label, values in expected.items():
        assert_close(found[label], values, "float32")


@pytest.mark.parametrize("target", ["cuda", "tpu"])
def test_an_input_with_itself(target: Target) -> None:
    """Protects tiles of k(x, x): where rows and columns may be the same examples, entries with themselves are exact."""
    layer = nn.serial(nn.conv(4, 3, w_std=1.4), nn.relu())
    network = nn.input(4, 8, 3) >> nn.repeat(3, layer) >> nn.global_avg_pool()
    x = inputs(network, 3)
    assert fused_stages(network, target, "cross", 3, 3) == 1
    expected = reference(network.graph(), "self", x)
    found = run(network, target, "cross", x, x, equal=np.array(True))
    assert_close(found["ntk"], expected["ntk"], "float32")
    other = run(network, target, "cross", x, inputs(network, 3, 1), equal=np.array(False))
    assert_close(other["ntk"], reference(network.graph(), "cross", x, inputs(network, 3, 1))["ntk"], "float32")


@pytest.mark.parametrize("target", ["cuda", "tpu"])
def test_tiles_over_devices(target: Target) -> None:
    """Protects several devices: kernels are part of the program that each of them runs."""
    network = nn.input(4, 8, 3) >> nn.conv(4, 3) >> nn.relu() >> nn.conv(4, 3) >> nn.relu() >> nn.global_avg_pool()
    computations = Computations(build(network, target=target).graphs, target, "f32", interpret=True)
    x = inputs(network, 4).astype(np.float32)
    matrix = TiledMatrix(x, None, Tiling(2, 2), {k: np.zeros((4, 4), np.float32) for k in ("nngp", "ntk")})
    kernel = computations.kernel(matrix, False)
    assert kernel is not None
    mesh = device_mesh(1, "cpu")
    tile = emit(computations.graphs["cross"], target, kernel=kernel)
    ShardedMatrix(mesh, matrix, {}).compute(lambda *_: sharded(tile, mesh, matrix.tiling, True), None)
    assert_close(matrix.result["ntk"], reference(network.graph(), "self", x.astype(np.float64))["ntk"], "float32")
    assert Computations(computations.graphs, target, "f32", "xla", interpret=True).kernel(matrix, False) is None


@pytest.mark.parametrize("target", ["cuda", "tpu"])
def test_masked_inputs(target: Target) -> None:
    """Protects products of marks, which are inputs of the kernel as well."""
    network = nn.input(8, 8, 2) >> nn.mask(-1000.0) >> nn.conv(4, 3, b_std=0.2) >> nn.relu() >> nn.conv(4, 3)
    network = network >> nn.relu() >> nn.flatten()
    x1, x2 = inputs(network, 3), inputs(network, 2, 1)
    x1[0, :3], x2[1, :, 4:] = -1000, -1000
    assert fused_stages(network, target) > 0
    found, expected = run(network, target, "cross", x1, x2), reference(network.graph(), "cross", x1, x2)
    assert_close(found["ntk"], expected["ntk"], "float32")


@pytest.mark.parametrize("target", ["cuda", "tpu"])
def test_numbers_that_are_known_when_it_runs(target: Target) -> None:
    """Protects hyperparameters, and numbers in which repeated blocks differ: each is read where it belongs."""
    scales = [0.8, 1.1, 1.4, 1.7]
    network = nn.input(4, 8, 3) >> nn.conv(4, 3, w_std=nn.hyper(1.3, "first"), b_std=nn.hyper(0.1, "bias"))
    for scale in scales:
        network = network >> nn.leaky_relu(nn.hyper(0.2, "slope")) >> nn.conv(4, 3, w_std=scale)
    network = network >> nn.relu() >> nn.global_avg_pool()
    graph = build(network, target=target).graphs["cross"]
    (stage,) = [x for x in plan(graph, target, 3, 2).stages if x.fused]
    assert any(item.numbers for item in stage.stage.items if isinstance(item, Run))
    x1, x2 = inputs(network, 3), inputs(network, 2, 1)
    given = {"first": 0.9, "bias": 0.5, "slope": -0.3}
    scalars = {name: np.float32(value) for name, value in given.items()}
    changed = network.graph().with_hypers(given)
    for hyper, expected in ((None, network.graph()), (scalars, changed)):
        found = run(network, target, "cross", x1, x2, hyper=hyper)
        assert_close(found["ntk"], reference(expected, "cross", x1, x2)["ntk"], "float32")


def test_what_is_left_to_xla() -> None:
    """Protects the reasons: whatever a kernel lacks is found out when it is planned, and said."""
    conv = nn.conv(4, 3)
    start = nn.input(8, 8, 3) >> conv >> nn.relu() >> conv
    refused = {
        "it is in float64": start,
        "%swish1.k is not elementary": start >> nn.swish() >> conv,
        "%conv1.k wraps around": nn.input(8, 8, 3) >> nn.conv(4, 3, padding="circular") >> nn.relu(),
        "more than 2 axes": nn.input(4, 4, 4, 3) >> conv >> nn.relu() >> conv,
        "%x.k is a product of matrices": nn.input(8, 8, 40) >> conv >> nn.relu(),
        "no strip of": nn.input(8, 67, 3) >> conv >> nn.relu(),
        "its values take": nn.input(256, 256, 3) >> conv >> nn.relu() >> conv,
    }
    for reason, network in refused.items():
        graph = lower(network.graph(), dtype="float64" if "float64" in reason else "float32")
        reasons = [stage.reason for stage in plan(graph, "cuda", 2, 2).stages if stage.stage.spatial]
        assert any(reason in found for found in reasons), (reason, reasons)
    graph = lower(start.graph())
    assert not any(stage.fused for stage in plan(graph, "cpu", 2, 2).stages)
    assert not any(stage.fused for stage in plan(graph, "cuda", 2, 2, "xla").stages)


@pytest.mark.parametrize("target", ["cuda", "tpu"])
def test_strips_of_what_is_loaded(target: Target) -> None:
    """Protects loads: positions that a kernel reads and does not compute are in strips as well, or it is none."""
    network = nn.input(18, 18, 2) >> nn.conv(4, 3) >> nn.relu() >> nn.avg_pool(2) >> nn.conv(4, 3, padding="valid")
    network = network >> nn.relu() >> nn.flatten()
    x1, x2 = inputs(network, 2), inputs(network, 2, 1)
    found, expected = run(network, target, "cross", x1, x2), reference(network.graph(), "cross", x1, x2)
    assert_close(found["ntk"], expected["ntk"], "float32")


def test_every_elementary_nonlinearity_is_tried() -> None:
    """Protects this list: what says that it is elementary is among the networks here, or of the family of one."""
    families = {type(layer.op).__mro__[1] for layer in ELEMENTARY.values()}  # type: ignore[attr-defined]
    families |= {type(layer.op) for layer in ELEMENTARY.values()}  # type: ignore[attr-defined]
    classes = [x for x in vars(ops).values() if isinstance(x, type) and issubclass(x, Activation) and x.elementary]
    assert len(classes) >= 10
    for class_ in classes:
        assert any(issubclass(class_, family) or issubclass(family, class_) for family in families), class_


def test_roots_of_zero() -> None:
    """Protects variances of zero: the root by its reciprocal is zero there, and exact elsewhere to rounding."""
    x = np.array([0.0, 1e-38, 1e-6, 1.0, 9.0], np.float32)
    assert_close(root(x), np.sqrt(x.astype(np.float64)), "float32", scale=1e-30)


@given(st.floats(0.25, 4), st.integers(-5, 5))
def test_powers_by_products(x: float, exponent: int) -> None:
    """Protects integer powers, of which the compiler for GPUs has the square alone."""
    assert_close(power(np.float32(x), y=exponent), np.float64(np.float32(x)) ** exponent, "float32")


def test_the_text_of_a_kernel() -> None:
    """Protects the printed plan: sweeps, planes, what is handed from block to block, what is loaded and written."""
    layer = nn.serial(nn.conv(4, 3, w_std=1.4), nn.relu())
    graph = lower((nn.input(8, 8, 3) >> nn.repeat(5, layer) >> nn.avg_pool(2) >> layer >> nn.flatten()).graph())
    lines = text.show(verify(plan(graph, "cuda", 4, 4))).splitlines()
    stripped = [line.strip() for line in lines]
    assert any(
        line.startswith("stage 1 in one kernel: 4 entries of a row of lanes, all positions") for line in stripped
    )
    assert "repeat 4 times, handing on %relu3.k, %relu3.t {" in stripped
    assert any(re.fullmatch(r"passing +%conv3.k = window\(%relu2.k\)", line) for line in stripped)
    assert any(re.fullmatch(r"plane 0.\d\|0.\d +%relu3.k = dual\(.*\)", line) for line in stripped)
    assert "load %avg_pool1.k, %avg_pool1.t" in stripped
    assert any(line.startswith("} writes %flatten1.k, %flatten1.t") for line in stripped)
    assert any("as its lanes are not apart" in line for line in stripped)


def test_planes_that_are_missing_are_found() -> None:
    """Protects the verifier: a value that a filter reads is in fast memory."""
    graph = lower((nn.input(8, 8, 3) >> nn.conv(4, 3) >> nn.relu() >> nn.conv(4, 3) >> nn.relu()).graph())
    planned = verify(plan(graph, "cuda", 4, 4))
    (stage,) = [x for x in planned.stages if x.fused]
    assert stage.fused is not None
    empty = replace(stage.fused, memory=replace(stage.fused.memory, places={}))
    with pytest.raises(VerifyError, match="is in no plane"):
        verify(replace(planned, stages=(replace(stage, fused=empty),)))


def test_values_in_turn_are_never_overwritten() -> None:
    """Protects the sharing of planes: no two values that are needed at the same time are in one, however long blocks
    are; one plane is enough for what is read at the same positions before it is written."""
    block = nn.serial(nn.relu(), nn.conv(4, 3), nn.relu(), nn.conv(4, 3))
    network = nn.input(8, 8, 3) >> nn.conv(4, 3) >> nn.repeat(4, nn.sum(block, nn.identity())) >> nn.relu()
    (stage,) = [x for x in plan(lower(network.graph()), "cuda", 4, 4).stages if x.fused]
    assert stage.fused is not None
    places = stage.fused.memory.places
    (run,) = [part.run for part in stage.fused.parts if isinstance(part, Repeated)]
    carried = [run.block[i].name for i in run.carried]
    assert all(len(places[name, (1, 1)].slots) == 1 for name in carried)
    inside = {name for (name, _) in places if name in {node.name for node in run.block}}
    used = [(places[name, (1, 1)].pool, places[name, (1, 1)].slots) for name in inside]
    assert len(set(used)) == len(used)


class _Wrong(Computations):
    """Kernels that give twice of what they should."""

    def _values(self, between: Any, series_alone: bool, path: Any, *given: Any) -> Any:
        found = super()._values(between, series_alone, path, *given)
        return found if path == "xla" else {name: 2 * x for name, x in found.items()}


def test_kernels_are_compared_with_xla_at_their_first_use() -> None:
    """Protects against silent wrong numbers: kernels that differ, or that cannot be compiled, are left with a warning,
    or are an error where they were asked for."""
    network = nn.input(4, 8, 3) >> nn.conv(4, 3) >> nn.relu() >> nn.conv(4, 3) >> nn.relu() >> nn.flatten()
    graphs = build(network, target="tpu").graphs
    x1, x2 = (inputs(network, n, n).astype(np.float32) for n in (3, 2))
    expected = reference(network.graph(), "cross", x1, x2)["ntk"]
    right = Computations(graphs, "tpu", "f32", interpret=True)
    assert_close(right.run("cross", False, x1, x2)["ntk"], expected, "float32")
    assert len(right.executables) == 2
    right.run("cross", False, x1, x2)
    assert len(right.executables) == 2
    wrong = _Wrong(graphs, "tpu", "f32", interpret=True)
    with pytest.warns(UserWarning, match=r"kernels of whole stages give .* that differs by"):
        found = wrong.run("cross", False, x1, x2)
    assert_close(found["ntk"], expected, "float32")
    assert_close(wrong.run("cross", False, x1, x2)["ntk"], expected, "float32")
    with pytest.raises(SelfTestError, match="differs by"):
        _Wrong(graphs, "tpu", "f32", "pallas", interpret=True).run("cross", False, x1, x2)


class _Uncompiled(Computations):
    def _values(self, between: Any, series_alone: bool, path: Any, *given: Any) -> Any:
        if path != "xla":
            raise NotImplementedError("no such primitive")
        return super()._values(between, series_alone, path, *given)


def test_kernels_that_cannot_be_compiled() -> None:
    """Protects devices whose compiler of kernels lacks something: XLA computes the stages, and a warning says so."""
    network = nn.input(4, 8, 3) >> nn.conv(4, 3) >> nn.relu() >> nn.flatten()
    graphs = build(network, target="cuda").graphs
    x = inputs(network, 2).astype(np.float32)
    with pytest.warns(UserWarning, match="cannot be compiled here: no such primitive; XLA computes all stages"):
        found = _Uncompiled(graphs, "cuda", "f32", interpret=True).run("self", False, x)
    assert_close(found["ntk"], reference(network.graph(), "self", x)["ntk"], "float32")
    with pytest.raises(UnsupportedError, match="no such primitive"):
        _Uncompiled(graphs, "cuda", "f32", "pallas", interpret=True).run("self", False, x)


def test_explanation_and_price_show_kernels() -> None:
    """Protects what is shown of a kernel: one computation, which moves what it writes and no more."""
    layer = nn.serial(nn.conv(4, 3, w_std=1.4), nn.relu())
    graph = lower((nn.input(8, 8, 3) >> nn.repeat(4, layer) >> nn.avg_pool(2) >> nn.flatten()).graph())
    found = explain(graph, "cuda").stages
    assert found[0].kernel is not None
    assert found[0].chunk is None
    assert all(stage.kernel is None for stage in found[1:])
    work = {node.name: amount for node, amount in value_work(graph, "cuda", 4, 4)}
    written = graph.covariance_of("relu4.k").entries * 4
    assert work["relu4.k"].bytes == 2 * written * 16
    assert work["relu2.k"].bytes == work["relu2.k"].loop_bytes == work["relu2.k"].steps == 0
    assert work["x.k"].steps == 1


def test_deep_networks_are_several_kernels() -> None:
    """Protects what a kernel for a TPU holds of second examples: a stage ends where tables of more layers would not
    fit, and the next one goes on from what it wrote; on a GPU, where they stay far, it is one."""
    layer = nn.serial(nn.conv(4, 3, w_std=1.4), nn.relu())
    network = nn.input(32, 32, 3) >> nn.repeat(60, layer) >> nn.global_avg_pool()
    graph = lower(network.graph())
    kernels = {target: [x for x in verify(plan(graph, target, 8, 8)).stages if x.fused] for target in ("cuda", "tpu")}
    assert [len(x) for x in kernels.values()] == [1, 3]
    small = replace(PLATFORMS["tpu"], fast=replace(PLATFORMS["tpu"].fast, tables=3 * 1024 * 32))
    shallow = nn.input(4, 8, 3) >> nn.repeat(8, layer) >> nn.global_avg_pool()
    x1, x2 = inputs(shallow, 3), inputs(shallow, 2, 1)
    with patch.dict(PLATFORMS, {"tpu": small}):
        assert fused_stages(shallow, "tpu") == 3
        found = run(shallow, "tpu", "cross", x1, x2)
    assert_close(found["ntk"], reference(shallow.graph(), "cross", x1, x2)["ntk"], "float32")
