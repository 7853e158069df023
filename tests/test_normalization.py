"""Dropout and layer normalisation: what they keep, what they change, and where they are refused."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntc import nn
from ntc.backends.jax import finite
from ntc.backends.reference import interpret
from ntc.compiler import build
from ntc.errors import InputError, NtcError, ShapeError, UnsupportedError
from ntc.frontend.layers import Layer, Network
from ntc.ir.kernel import DiagonalMean
from ntc.ir.offsets import DIAGONAL, Offsets
from ntc.ir.op import Array
from ntc.ir.types import Between, CovarianceType
from ntc.passes.translate import Translate
from tests.assertions import assert_close
from tests.strategies import trials
from tests.test_programs import assert_program_agrees, betweens, small_chunks

Label = Literal["nngp", "ntk"]
LINE = nn.input(4, 3)
IMAGE = nn.input(3, 4, 3)
_conv = nn.conv(8, 3, w_std=1.3, b_std=0.2)
keeps = st.integers(1, 10).map(lambda n: n / 10)


def rules(network: Network, *x: Array, between: Between = "self") -> dict[str, Array]:
    """Both kernels in the reference."""
    return interpret(Translate(dtype="f64", between=between)(network.graph()), *x)


def random_inputs(network: Network, count: int, seed: int = 0) -> Array:
    """Examples in general position."""
    shape = (count, *network.first.spatial, network.first.channels)
    return np.random.default_rng(seed).normal(size=shape)


def own_entries(count: int, spatial: tuple[int, ...]) -> Array:
    """Mask of (n, n, p, p), in the layout of the reference."""
    mask = np.eye(count, dtype=bool)
    for size in spatial:
        mask = mask[..., None, None] & np.eye(size, dtype=bool)
    return mask


@given(keeps, st.sampled_from([LINE, IMAGE]))
@trials(10)
def test_dropout_divides_own_entries_alone(keep: float, network: Network) -> None:
    """Protects the rule: an example and position with itself is divided by `keep`, no other pair changes, not even
    two positions of one example; both kernels."""
    below = network >> _conv >> nn.relu()
    x = random_inputs(network, 3)
    before, after = rules(below, x), rules(below >> nn.dropout(keep), x)
    own = own_entries(3, network.first.spatial)
    for label in before:
        assert_close(after[label], np.where(own, before[label] / keep, before[label]), "rounding")


@given(keeps)
@trials(6)
def test_dropout_between_two_inputs_is_nothing(keep: float) -> None:
    """Protects k(x1, x2), in reference and program: no example of x1 is one of x2, even where they are equal."""
    head = nn.serial(_conv, nn.relu(), nn.global_avg_pool(), nn.dense(1))
    x = random_inputs(LINE, 3)
    with_dropout, without = LINE >> _conv >> nn.dropout(keep) >> head, LINE >> _conv >> nn.dropout(1.0) >> head
    assert rules(with_dropout, x, x, between="cross")["ntk"].shape == (3, 3)
    own = rules(with_dropout, x)["nngp"]
    crossed = build(with_dropout, dtype="float64")(x, x.copy())
    for label, expected in rules(with_dropout, x, x, between="cross").items():
        assert_close(getattr(crossed, label), expected, "float64 near correlation one")
    if keep < 1:
        assert np.abs(np.diag(own - np.asarray(crossed.nngp))).min() > 1e-3
    assert_close(rules(without, x)["ntk"], rules(LINE >> _conv >> head, x)["ntk"], "rounding")


def test_dropout_in_test_mode_is_nothing() -> None:
    """Protects mode=test, which is the identity wherever it stands."""
    x = random_inputs(LINE, 3)
    plain = LINE >> _conv >> nn.relu() >> nn.flatten()
    dropped = LINE >> nn.dropout(0.5, "test") >> _conv >> nn.dropout(0.5, "test") >> nn.relu() >> nn.flatten()
    for label, expected in rules(plain, x).items():
        assert np.array_equal(rules(dropped, x)[label], expected)


def test_dropout_in_tiles() -> None:
    """Protects k(x, x) in one computation, and in tiles, of which those on the diagonal are told that they are."""
    network = LINE >> _conv >> nn.relu() >> nn.dropout(0.6) >> _conv >> nn.relu() >> nn.dropout(0.7) >> nn.avg_pool(2)
    x = random_inputs(network, 9)
    tiles: list[int] = []
    program = build(network, dtype="float64")
    in_tiles = program(x, memory=3000, progress=lambda done, total: tiles.append(total))
    assert tiles[0] > 3
    with jax.enable_x64(True):
        whole = jax.jit(program)(x)
    for label, expected in rules(network, x).items():
        assert_close(getattr(in_tiles, label), expected, "float64")
        assert_close(getattr(whole, label), expected, "float64")


FIRST: dict[str, Network] = {
    "dropout": LINE >> nn.dropout(0.5),
    "after pooling": LINE >> nn.avg_pool(2) >> nn.dropout(0.5),
    "partly": LINE >> nn.concat(nn.identity(), nn.dense(3)) >> nn.dropout(0.5),
    "layer_norm": LINE >> nn.product(nn.identity(), nn.dense(3)) >> nn.layer_norm(),
}


@pytest.mark.parametrize("case", FIRST)
def test_layers_that_need_width_are_refused_on_the_input(case: str) -> None:
    """Protects from a limit that does not exist: the channels of the input are finitely many."""
    with pytest.raises(UnsupportedError, match="has the channels of the network's input") as caught:
        FIRST[case].graph()
    assert "put dense or conv before" in str(caught.value)


def test_dropout_of_a_gaussian_is_not_gaussian() -> None:
    """Protects nonlinearities: what is zero with some probability is not Gaussian, but still has mean zero."""
    assert str((LINE >> _conv >> nn.dropout(0.5)).graph().nodes[-1].type).startswith("centered")
    assert str((LINE >> _conv >> nn.dropout(1.0)).graph().nodes[-1].type).startswith("gaussian")
    with pytest.raises(NtcError, match="not Gaussian"):
        (LINE >> _conv >> nn.dropout(0.5) >> nn.relu()).graph()


def test_finite_dropout() -> None:
    """Protects the forward pass: entries are zero or divided by `keep`, as often as said; each layer and key has masks
    of its own; without a key it is an error."""
    network = nn.input(3) >> nn.dense(4000) >> nn.dropout(0.25)
    program = build(network, dtype="float64")
    x = np.ones((2, 3))
    params = program.init(jax.random.key(0))
    plain = np.asarray(build(nn.input(3) >> nn.dense(4000), dtype="float64").apply(params, x))
    first, second = (np.asarray(program.apply(params, x, jax.random.key(seed))) for seed in (1, 2))
    assert np.all(np.isclose(first, plain / 0.25) | (first == 0))
    assert abs(np.mean(first != 0) - 0.25) <= 5 * np.sqrt(0.25 * 0.75 / first.size)
    assert not np.array_equal(first != 0, second != 0)
    assert not np.array_equal(first[0] != 0, first[1] != 0)
    with pytest.raises(InputError, match="draws random numbers"):
        program.apply(params, x)


@given(st.sampled_from([None, "all", (0,), (1,), (1, 0)]), st.booleans())
@trials(10)
def test_layer_norm_has_unit_variance(axes: Literal["all"] | tuple[int, ...] | None, deep: bool) -> None:
    """Protects the divisor: with eps zero the mean of the variance over the axes is one, and correlations stay. Both
    kernels are divided by the same."""
    below = IMAGE >> _conv >> nn.serial(nn.relu(), _conv) if deep else IMAGE >> _conv
    x = random_inputs(IMAGE, 3)
    before, after = rules(below, x), rules(below >> nn.layer_norm(axes, eps=0.0), x)
    variance = np.einsum("nnhhww->nhw", after["nngp"])
    over = (1, 2) if axes == "all" else tuple(axis + 1 for axis in axes or ())
    assert_close(variance.mean(over), np.ones_like(variance.mean(over)), "rounding")
    ratio = before["nngp"] / after["nngp"]
    assert_close(before["ntk"] / after["ntk"], ratio, "exact")
    old = np.einsum("nnhhww->nhw", before["nngp"]).mean(over, keepdims=True) * np.ones_like(variance)
    assert_close(ratio, np.sqrt(np.einsum("nhw,mij->nmhiwj", old, old)), "exact")


@given(st.integers(1, 40).map(lambda n: n / 10), st.sampled_from([nn.relu(), nn.erf()]))
@trials(10)
def test_layer_norm_forgets_the_scale_below(scale: float, activation: Layer) -> None:
    """Protects the invariance that the layer is for: both kernels are the same for any scale of the layer below."""
    x = random_inputs(LINE, 3)
    one, other = (
        LINE >> nn.conv(8, 3, w_std=w) >> nn.layer_norm("all", eps=0.0) >> activation >> nn.dense(1)
        for w in (1.0, scale)
    )
    for label, expected in rules(one, x).items():
        assert_close(rules(other, x)[label], expected, "exact")


def test_layer_norm_of_zero_is_zero() -> None:
    """Protects zero inputs, whose variance is zero: finite kernels in both precisions."""
    network = LINE >> nn.conv(8, 3) >> nn.layer_norm() >> nn.relu() >> nn.flatten() >> nn.dense(1)
    x = random_inputs(LINE, 3)
    x[1] = 0.0
    assert rules(network, x)["nngp"][1].max() == 0
    for dtype in ("float32", "float64"):
        for matrix in build(network, dtype=dtype)(x):  # type: ignore[arg-type]
            assert np.isfinite(np.asarray(matrix)).all()
            assert np.abs(np.asarray(matrix)[1]).max() == 0


def test_layer_norm_needs_a_known_mean() -> None:
    """Protects from a wrong number: the mean after a nonlinearity is known, but not after what follows it; after erf
    it is zero everywhere."""
    for after in (nn.avg_pool(2), nn.sum(nn.identity(), _conv)):
        with pytest.raises(UnsupportedError, match="may have a mean other than zero") as caught:
            (LINE >> _conv >> nn.relu() >> after >> nn.layer_norm()).graph()
        assert "directly after the nonlinearity" in str(caught.value)
    with pytest.raises(UnsupportedError, match="another at every position"):
        (LINE >> _conv >> nn.relu() >> nn.layer_norm("all")).graph()
    for below in (nn.erf(), nn.serial(nn.erf(), nn.avg_pool(2)), nn.relu()):
        assert str((LINE >> _conv >> below >> nn.layer_norm()).graph().nodes[-1].type).startswith("centered")


@pytest.mark.parametrize("phi", [nn.relu(), nn.sigmoid(), nn.cos(b=0.4), nn.elu()])
def test_layer_norm_after_a_nonlinearity(phi: Layer) -> None:
    """Protects the mean that is taken off: variances are one, and layers of a finite network that is wide agree."""
    network = LINE >> _conv >> phi >> nn.identity() >> nn.layer_norm(eps=0.0)
    x = random_inputs(network, 3)
    found = rules(network, x)["nngp"]
    variance = np.einsum("nnhh->nh", found)
    assert_close(variance, np.ones_like(variance), "exact")
    wide = (LINE >> nn.conv(40_000, 3, w_std=1.3, b_std=0.2) >> phi >> nn.layer_norm(eps=0.0)).graph()
    with jax.enable_x64(True):
        y = np.asarray(finite.apply(wide, finite.init(wide, jax.random.key(0), jnp.float64), jnp.asarray(x)))
    sampled = np.einsum("nhc,mgc->nmhg", y, y) / 40_000
    # Products of channels of variance one have a standard deviation of a few at most.
    assert np.abs(sampled - found).max() < 6 * 3 / 40_000**0.5
    assert_program_agrees((network >> nn.dense(8) >> nn.relu()).graph(), "float64", x[:2], x[2:], "float64", "float64")


@pytest.mark.parametrize("axes", [(1,), (0, 0)])
def test_wrong_axes_are_refused(axes: tuple[int, ...]) -> None:
    """Protects axes that are not there, or named twice."""
    with pytest.raises(ShapeError, match="not distinct axes"):
        (LINE >> _conv >> nn.layer_norm(axes)).graph()


@pytest.mark.parametrize(("axes", "over"), [(None, (3,)), ("all", (1, 2, 3)), ((1,), (2, 3))])
def test_finite_layer_norm(axes: Literal["all"] | tuple[int, ...] | None, over: tuple[int, ...]) -> None:
    """Protects the forward pass: mean zero and variance one over the axes."""
    graph = (IMAGE >> _conv >> nn.layer_norm(axes)).graph()
    with jax.enable_x64(True):
        params = finite.init(graph, jax.random.key(0), jnp.float64)
        y = np.asarray(finite.apply(graph, params, jnp.asarray(random_inputs(IMAGE, 2))))
    assert_close(y.mean(over), np.zeros_like(y.mean(over)), "exact", scale=1.0)
    assert_close(y.var(over), np.ones_like(y.var(over)), "exact")


@given(st.data())
@trials(15)
def test_programs_with_both(data: st.DataObject) -> None:
    """Protects the backend: any chunk of lanes and rows, repeated blocks, strides and pools around the layers."""
    draw = data.draw
    keep, axes = draw(keeps), draw(st.sampled_from([None, "all", (1,)]))
    stride = draw(st.integers(1, 2))
    block = nn.serial(nn.layer_norm(axes), nn.relu(), nn.dropout(keep), _conv)
    readout = draw(st.sampled_from([nn.flatten(), nn.global_avg_pool(), nn.avg_pool(2), nn.index()]))
    network = IMAGE >> nn.conv(8, 2, stride) >> nn.repeat(draw(st.integers(1, 4)), block) >> readout
    x = random_inputs(network, 5, draw(st.integers(0, 99)))
    with small_chunks(draw(st.sampled_from([1, 300, 10**6]))):
        assert_program_agrees(network.graph(), "float64", x[:3], x[3:], "float64", "float64", draw(betweens))


def test_means_of_the_diagonal_read_what_they_demand() -> None:
    """Protects tracking: entries that are not demanded may be missing, and no more is demanded than is read."""
    v = np.random.default_rng(0).normal(size=(2, 3, 3, 4, 4))
    type_ = CovarianceType.dense("f64", ("N",), (3, 4))
    op = DiagonalMean((0,))
    (demand,) = op.demand((DIAGONAL, Offsets(-1, 1)), type_)
    assert demand == (DIAGONAL, Offsets(-1, 1))
    read = np.eye(3, dtype=bool)[:, :, None, None] & (np.abs(np.subtract.outer(range(4), range(4))) <= 1)
    found, whole = (op.reference(type_, x) for x in (np.where(read, v, np.nan), v))
    tracked = np.broadcast_to(read[:1, :1], (2, 3, 3, 4, 4))
    assert_close(found[tracked], whole[tracked], "rounding")
    assert_close(whole[:, 1, 2], np.einsum("npphw->nhw", v) / 3, "rounding")
