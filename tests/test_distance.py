"""The distance form: the same kernels, and in float32 as many digits for nearly equal inputs as for distant ones."""

from __future__ import annotations

from typing import Any

import jax
import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntc import nn
from ntc.backends.jax.emit.stages import emit
from ntc.backends.jax.integrals import angle
from ntc.backends.reference import interpret
from ntc.compiler import build, lower
from ntc.errors import VerifyError
from ntc.frontend.layers import Network
from ntc.ir import kernel
from ntc.ir.graph import Graph
from ntc.ir.op import Array
from ntc.ir.ops import Relu
from ntc.ir.types import Target
from ntc.ir.verify import verify
from ntc.passes.distance import Distance
from ntc.passes.pipeline import OPTIMIZE, run
from ntc.passes.translate import Translate
from tests.assertions import Tolerance, assert_close
from tests.networks import NETWORKS, inputs
from tests.strategies import examples, repetitive_graphs, tensor_graphs, trials
from tests.test_programs import assert_kernels, reference, rounded, small_chunks

BEFORE = OPTIMIZE[: OPTIMIZE.index(Distance())]
DISTANCES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 0.0)
_FLOAT32: tuple[Tolerance, Tolerance] = ("float32", "float32")
_conv = nn.conv(8, 3, w_std=1.5, b_std=0.1)
_block = nn.serial(nn.relu(), _conv, nn.relu(), _conv)

DEEP: dict[str, Network] = {
    "dense": nn.input(40) >> nn.repeat(20, nn.serial(nn.dense(8, 2**0.5, 0.1), nn.relu())) >> nn.dense(1),
    "conv": nn.input(3, 4, 3) >> nn.repeat(20, nn.serial(_conv, nn.relu())) >> nn.flatten() >> nn.dense(1),
    "circular": nn.input(6, 20)
    >> nn.repeat(8, nn.serial(nn.conv(8, 3, padding="circular", w_std=1.5), nn.leaky_relu(0.2)))
    >> nn.flatten()
    >> nn.dense(1),
    "residual": nn.input(4, 3)
    >> _conv
    >> nn.repeat(4, nn.sum(_block, nn.identity()))
    >> nn.relu()
    >> nn.index((1,))
    >> nn.dense(1),
}
"""Networks of which every value tracks the diagonal alone."""


def near(x: Array, distance: float) -> Array:
    """Inputs at a distance |x - x'| / |x| in random directions."""
    direction = np.random.default_rng(1).normal(size=x.shape)
    sizes = [np.sqrt(np.sum(a**2, tuple(range(1, a.ndim)), keepdims=True)) for a in (x, direction)]
    return x + distance * sizes[0] / sizes[1] * direction


def general(network: Network, count: int) -> Array:
    """Random inputs as float32 has them."""
    x = np.random.default_rng(0).normal(size=(count, *network.root.spatial, network.root.channels))
    return rounded(x, "float32")


def relative_error(network: Network, form: Any) -> float:
    """Of the NTK in float32, over all distances, entry by entry."""
    x = general(network, 1)
    other = rounded(np.concatenate([near(x, distance) for distance in DISTANCES]), "float32")
    found = np.asarray(build(network, form=form)(x, other, refine=False).ntk, np.float64)
    return float(np.abs(found / reference(network.graph(), "cross", x, other)["ntk"] - 1).max())


@pytest.mark.parametrize("name", DEEP)
def test_float32_at_every_distance(name: str) -> None:
    """Protects the form: within 1e-5 of the reference at distances from 1 to 0, where covariances are off by 1e-4."""
    assert relative_error(DEEP[name], "auto") < 2e-6
    assert relative_error(DEEP[name], "covariance") > 3e-5


def test_float32_where_every_offset_is_tracked() -> None:
    """Protects the form beside lanes that hold covariances: below a global pooling, when asked for."""
    network = nn.input(3, 3, 3) >> nn.repeat(10, nn.serial(_conv, nn.relu())) >> nn.global_avg_pool() >> nn.dense(1)
    assert relative_error(network, "distance") < 2e-6


@trials(5)
@given(st.data())
def test_random_networks_have_the_same_kernels(data: st.DataObject) -> None:
    """Protects every rule of the form: in float64, random networks agree with the reference to 1e-10, also a few lanes
    at a time."""
    graph = data.draw(st.one_of(tensor_graphs(least_channels=3), repetitive_graphs()))
    x = data.draw(examples(graph, 4, special=False))
    compiled = build(graph, dtype="float64", form="distance")
    with small_chunks(data.draw(st.sampled_from([300, 10**6]))):
        assert_kernels(compiled(x[:2], x[2:]), reference(graph, "cross", x[:2], x[2:]), "float64", "float64")
        assert_kernels(compiled(x), reference(graph, "self", x), "float64", "float64")


@trials(20)
@given(st.data())
def test_the_pass_keeps_the_value(data: st.DataObject) -> None:
    """Protects the meaning of the form in the reference, the verifier's rules, and the pass from being run twice."""
    network = data.draw(tensor_graphs(least_channels=3))
    between = data.draw(st.sampled_from(["cross", "self"]))
    before = run(Translate(dtype="f64", between=between)(network), BEFORE)  # type: ignore[arg-type]
    after = verify(Distance("distance")(before))
    assert Distance("distance")(after) == after
    arrays = [data.draw(examples(network, 2, special=False)) for _ in after.inputs]
    expected, found = interpret(before, *arrays), interpret(after, *arrays)
    for label, value in expected.items():
        assert_close(found[label], value, "exact", scale=1e-30)


@pytest.mark.parametrize("bias", [0.0, 0.3])
@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_no_negative_eigenvalue_on_a_line(offset: float, bias: float) -> None:
    """Protects solvers: 400 points on a line, through the origin or beside it, ten layers; none beyond n eps times the
    largest eigenvalue."""
    direction, beside = np.random.default_rng(0).normal(size=(2, 5))
    x = (offset * beside + np.linspace(0.5, 2, 400)[:, None] * direction).astype(np.float32)
    network = nn.input(5) >> nn.repeat(10, nn.serial(nn.dense(8, 2**0.5, bias), nn.relu())) >> nn.dense(1)
    values = np.linalg.eigvalsh(np.asarray(build(network)(x).ntk, np.float64))
    assert values.min() >= -400 * np.finfo(np.float32).eps * values.max()


def test_near_rows_of_many_channels_are_summed_from_differences() -> None:
    """Protects the input: rows with a near example, and no others, are computed again; equal examples are at zero."""
    network = DEEP["dense"]
    x = general(network, 5)
    other = np.concatenate([rounded(near(x[:2], 1e-4), "float32"), x[2:3], -x[3:]])
    found, expected = build(network)(x, other), reference(network.graph(), "cross", x, other)
    assert np.abs(np.asarray(found.ntk) / expected["ntk"] - 1).max() < 3e-4  # -x is at the other end
    assert abs(float(np.asarray(found.ntk)[2, 2]) / expected["ntk"][2, 2] - 1) < 1e-6
    own = np.asarray(build(network)(x).ntk)
    assert_close(np.diagonal(own), np.asarray(build(network).diagonal(x).ntk), "float32")


@pytest.mark.parametrize("target", ["cuda", "tpu"])
@pytest.mark.parametrize("nearest", [1e-4, 1.0])
def test_without_a_branch_for_every_row(target: Target, nearest: float) -> None:
    """Protects the programs for accelerators, run on a CPU here: near examples, and equal ones, have their digits."""
    network = DEEP["dense"]
    x = rounded(general(network, 5), "float32")
    other = np.concatenate([rounded(near(x[:2], nearest), "float32"), x[2:3] if nearest < 1 else -x[2:3]])
    found = jax.jit(emit(build(network, target=target).graphs["cross"], target))(x, other)
    expected = reference(network.graph(), "cross", x, other)
    pairs = [(0, 0), (1, 1), (2, 2)] if nearest < 1 else [(0, 0), (1, 1)]
    for pair in pairs:
        assert abs(float(found["ntk"][pair]) / expected["ntk"][pair] - 1) < 1e-6


@pytest.mark.parametrize("shape", [(5,), (3, 4)])
def test_inputs_of_very_different_sizes(shape: tuple[int, ...]) -> None:
    """Protects what the form is worse at: errors stay below those of the other form, relative to the largest entry, for
    inputs from zero up, parallel and opposite."""
    one = np.random.default_rng(0).normal(size=(1, *shape))
    scales = np.array([0.0, 1e-30, 1e-9, 1e-5, 1e-3, 0.1, 1.0, -1.0, -0.1, -1e-4]).reshape(-1, *[1] * len(shape))
    x = rounded(np.concatenate([scales * one, np.random.default_rng(1).normal(size=(2, *shape))]), "float32")
    layer = nn.serial(nn.conv(8, 3, w_std=1.5) if len(shape) == 2 else nn.dense(8, 1.5), nn.abs())
    network = nn.input(*shape) >> nn.repeat(4, layer) >> nn.flatten() >> nn.dense(1)
    expected = reference(network.graph(), "cross", x, x)
    assert_kernels(build(network)(x, x.copy()), expected, "float32", "float32 near correlation one")


def test_derivatives_are_those_of_the_other_form() -> None:
    """Protects gradients: by the data they agree with those of the usual form in float64, and at equal inputs they are
    finite."""
    network, x1, x2 = NETWORKS["mlp"], inputs("mlp", 2, 0), inputs("mlp", 2, 1)
    with jax.enable_x64(True):
        found, expected = (
            jax.jit(jax.grad(lambda x, form=form: build(network, dtype="float64", form=form)(x, x2).ntk.sum()))(x1)
            for form in ("distance", "covariance")
        )
    assert_close(found, expected, "float64")
    single = x1.astype(np.float32)
    gradient = jax.jit(jax.grad(lambda x: build(network, form="distance")(x, single).ntk.sum()))
    assert np.isfinite(gradient(single)).all()


@given(st.floats(0, 4))
def test_functions_of_the_angle(q: float) -> None:
    """Protects the polynomials: relative errors of the angle and of sin(t) - t cos(t) near the precision, to zero."""
    for dtype, tolerance in ((np.float32, 4e-7), (np.float64, 1e-14)):
        with jax.enable_x64(True), mpmath.workdps(40):
            gap = dtype(q)
            t = 2 * mpmath.asin(mpmath.sqrt(mpmath.mpf(float(gap)) / 4))
            excess, overlap = angle.excess(gap, dtype(1)), angle.overlap(gap, dtype(1))
            wanted = 4 * (mpmath.sin(t) - t * mpmath.cos(t)) / (2 * mpmath.pi)
            assert abs(float(excess) - wanted) <= tolerance * wanted + 1e-30
            assert abs(float(overlap) - (mpmath.pi - t) / (2 * mpmath.pi)) <= tolerance


def test_where_the_form_is_taken() -> None:
    """Protects the choice: by default in float32 what tracks the diagonal alone, never for a smooth nonlinearity."""

    def forms(graph: Graph) -> set[str]:
        return {graph.covariance_of(node.name).form for node in graph.nodes}

    assert "distance" in forms(lower(NETWORKS["mlp"].graph()))
    assert forms(lower(NETWORKS["mlp"].graph(), form="covariance")) == {"covariance"}
    assert forms(lower(NETWORKS["mlp"].graph(), dtype="float64")) == {"covariance"}
    assert forms(lower(NETWORKS["residual"].graph())) == {"covariance"}
    assert "distance" in forms(lower(NETWORKS["residual"].graph(), form="distance"))
    assert forms(lower(NETWORKS["smooth"].graph(), form="distance")) == {"covariance"}


def test_variances_are_not_those_that_normalisation_reads() -> None:
    """Protects conversions: layer norm over positions reads averaged variances, which are not those of the value."""
    norm = nn.serial(nn.layer_norm((0,)), nn.conv(8, 3))
    network = nn.input(5, 3) >> _conv >> nn.sum(nn.serial(nn.relu(), _conv), norm) >> nn.relu() >> nn.flatten()
    x = general(network, 2)
    assert_kernels(build(network)(x), reference(network.graph(), "self", x), "float32", "float32")


def test_an_output_that_is_read_once() -> None:
    """Protects values that are computed where they are read: what is returned as well is there for both."""
    network = nn.input(4, 3) >> _conv >> nn.relu() >> _conv
    x = general(network, 3)
    with small_chunks(300):
        assert_kernels(build(network)(x[:2], x[2:]), reference(network.graph(), "cross", x[:2], x[2:]), *_FLOAT32)


def test_what_reads_covariances_refuses_distances() -> None:
    """Protects against wrong numbers: a product of distances, an integral that reads the other form, and a sum of both
    forms are errors."""
    graph = lower(NETWORKS["mlp"].graph())
    k, v1, v2 = (graph.covariance_of(x) for x in ("x.k", "x.v1", "x.v2"))
    for op, operands in (
        (kernel.Mul(), (k, k)),
        (kernel.Dual(Relu()), (k, v1, v2)),
        (kernel.Dual(Relu(), reads="distance"), (k.with_form("covariance"), v1, v2)),
        (kernel.Covariance(), (k.with_form("covariance"), v1, v2)),
        (kernel.Add(), (k, k.with_form("covariance"))),
        (kernel.Reduce("mean"), (k,)),
    ):
        with pytest.raises(VerifyError):
            op.form(*operands)


def test_the_pass_leaves_what_is_in_the_form() -> None:
    """Protects pipelines that name the pass twice: values in the distance form are not converted again."""
    network = nn.input(6) >> nn.dense(4) >> nn.relu() >> nn.dense(4) >> nn.relu() >> nn.dense(1)
    graph = lower(network.graph(), form="distance")
    assert Distance("distance")(graph) == graph
