"""Fixed linear maps of positions, and convolutions that are not one sliding filter: what their layers say they do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

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
from ntc.errors import DependenceError, LimitError, NotGaussianError, NtcError, ShapeError, UnsupportedError
from ntc.frontend.layers import Layer, Network
from ntc.ir import kernel
from ntc.ir.graph import Graph
from ntc.ir.json import from_json, to_json
from ntc.ir.kernel.linear import Linear, Taps
from ntc.ir.offsets import DIAGONAL, Offsets
from ntc.ir.op import Array
from ntc.ir.parser import parse_graph
from ntc.ir.printer import show
from ntc.ir.resampling import Method, resize_matrix
from ntc.ir.schema import Padding
from ntc.ir.types import CovarianceType
from ntc.ir.verify import verify
from ntc.passes.pipeline import OPTIMIZE, run
from ntc.passes.translate import Translate
from tests.assertions import assert_close
from tests.strategies import trials
from tests.test_golden import VALUES, assert_agrees
from tests.test_rules import assert_rules_exact

IMAGE = nn.input(6, 5, 2)
conv = nn.conv(8, 3, w_std=1.2, b_std=0.3)


def kernels(network: Network | Graph, *inputs: Array) -> dict[str, Array]:
    """Of the reference."""
    graph = network if isinstance(network, Graph) else network.graph()
    return interpret(Translate(dtype="f64")(graph), *inputs)


def examples(network: Network, count: int, seed: int = 0) -> Array:
    shape = (count, *network.first.spatial, network.first.channels)
    return np.random.default_rng(seed).normal(size=shape)


def tracked(network: Network, layer: str) -> tuple[Offsets, ...]:
    """The offsets of the NNGP of a layer in the optimised graph."""
    graph = run(network.graph(), [Translate(), *OPTIMIZE])
    return graph.covariance_of(f"{layer}.k").offsets


# Resizing


@trials(60)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from(get_args(Method)), st.booleans())
def test_resize_weights_are_those_of_jax(size: int, outputs: int, method: Method, antialias: bool) -> None:
    """Protects every interpolation kernel, up and down, against the published implementation."""
    with jax.enable_x64(True):
        expected = jax.image.resize(
            jnp.eye(size), (outputs, size), method, antialias, precision=jax.lax.Precision.HIGHEST
        )
    assert_close(resize_matrix(size, outputs, method, antialias), expected, "exact", scale=1.0)


def test_the_stored_resize_exchanges_the_axes() -> None:
    """Protects the order of axes where the peer confuses it: after an odd number of convolutions it holds its
    covariances with axes reversed, and resizes 6x5 to 3x4 where 4x3 is asked for. Monte Carlo (`resize`) says that
    ours are in order."""
    x1, x2 = VALUES["image_resize/x1"], VALUES["image_resize/x2"]
    for size, agrees in (((3, 4), True), ((4, 3), False)):
        layers = [conv, nn.relu(), nn.resize(size), conv, nn.relu(), nn.flatten(), nn.dense(3, 1.1, 0.1)]
        found = build((nn.input(6, 5, 3) >> nn.serial(*layers)).graph(), dtype="float64")(x1, x2)
        for label, value in zip(("nngp", "ntk"), found, strict=True):
            stored = VALUES[f"image_resize/{label}"]
            if agrees:
                assert_agrees(np.asarray(value), stored, "cross")
            else:
                assert np.abs(np.asarray(value) - stored).max() > 1e-3


def test_large_resizes_are_refused() -> None:
    """Protects readers of foreign IR: the weights are a matrix, which has to fit into memory."""
    with pytest.raises(LimitError, match="weights"):
        (nn.input(5000, 1) >> nn.resize(5000)).graph()


# Slices, padding, order


@trials(60)
@given(st.data())
def test_slices_are_those_of_python(data: st.DataObject) -> None:
    """Protects start, stop and step, from either end, with nothing given and beyond the ends."""
    bound = st.one_of(st.none(), st.integers(-7, 7))
    start, stop, step = (data.draw(st.tuples(x, x)) for x in (bound, bound, st.integers(1, 3)))
    x = examples(IMAGE, 2)
    own = x[:, *(slice(*axis) for axis in zip(start, stop, step, strict=True))]
    if not own.size:
        with pytest.raises(ShapeError, match="nothing of axis"):
            (IMAGE >> nn.slice(start, stop, step)).graph()
        return
    found = kernels(IMAGE >> nn.slice(start, stop, step) >> conv, x, x)
    expected = kernels(nn.input(*own.shape[1:]) >> conv, own, own)
    assert_close(found["nngp"], expected["nngp"], "exact")


def test_padding_then_valid_is_same() -> None:
    """Protects `pad` (low and high apart): zeros around the image, then a filter that stays inside."""
    x = examples(IMAGE, 2)
    padded = IMAGE >> nn.pad((1, 0), (1, 1)) >> nn.conv(8, (3, 2), padding="valid", b_std=0.1)
    same = IMAGE >> nn.conv(8, (3, 2), padding="same", b_std=0.1)
    assert_close(kernels(padded, x, x)["ntk"], kernels(same, x, x)["ntk"], "exact")


def test_transposing_the_image_transposes_the_kernel() -> None:
    """Protects the order of axes of `transpose`, in the reference and in a program that tracks unequal offsets."""
    x, y = examples(nn.input(4, 3, 2, 1), 2), examples(nn.input(4, 3, 2, 1), 3, seed=1)
    layers = [nn.conv(8, (3, 1, 2)), nn.relu(), nn.avg_pool((2, 1, 1)), nn.global_avg_pool(), nn.dense(1)]
    turned = [nn.conv(8, (2, 3, 1)), nn.relu(), nn.avg_pool((1, 2, 1)), nn.global_avg_pool(), nn.dense(1)]
    plain = nn.input(4, 3, 2, 1) >> nn.serial(*layers)
    network = nn.input(4, 3, 2, 1) >> nn.transpose((2, 0, 1)) >> nn.serial(*turned)
    for label, value in kernels(plain, x, y).items():
        assert_close(kernels(network, x, y)[label], value, "exact")
        assert_close(getattr(build(network, dtype="float64")(x, y), label), value, "float64")


def test_matrices_that_slice_average_and_turn_around() -> None:
    """Protects rows and columns of `matrix`, and its axis."""
    x = examples(IMAGE, 2)
    rows = tuple(tuple(float(q == p) for q in range(5)) for p in (4, 1))
    average = tuple(tuple(0.5 * (q in (2 * p, 2 * p + 1)) for q in range(6)) for p in range(3))
    pairs: list[tuple[Layer, Layer]] = [
        (nn.matrix(rows, 1) >> nn.flatten(), nn.slice((None, 1), (None, 5), (1, 3)) >> nn.flatten()),
        (nn.matrix(average, 0), nn.avg_pool((2, 1))),
    ]
    for one, other in pairs:
        for label in ("nngp", "ntk"):
            found = kernels(IMAGE >> conv >> one, x, x)[label]
            assert_close(found, kernels(IMAGE >> conv >> other, x, x)[label], "exact")


@pytest.mark.parametrize("readout", [nn.flatten(), nn.global_avg_pool()])
@pytest.mark.parametrize("method", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("sizes", [((9, 4), (5, 7)), ((3, 8), (9, 8)), ((20, 2), (21, 2))])
def test_programs_resize_bands_and_all_pairs(
    sizes: tuple[tuple[int, ...], ...], method: Method, readout: Layer
) -> None:
    """Protects each way in which a program applies a matrix: tap by tap, image after image, and as products."""
    before, after = sizes
    network = nn.input(*before, 2) >> conv >> nn.relu() >> nn.resize(after, method) >> conv >> nn.relu() >> readout
    network = network >> nn.dense(1)
    x, y = examples(network, 2), examples(network, 3, seed=1)
    found = build(network, dtype="float64")(x, y)
    for label, value in kernels(network, x, y).items():
        assert_close(getattr(found, label), value, "float64")


# Demands


@trials(60)
@given(st.data())
def test_demand_of_a_matrix_is_the_smallest_progression(data: st.DataObject) -> None:
    """Protects tracking: all pairs of taps that matter are covered, and nothing beyond their ends or step."""
    outputs, size = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 6))
    entries = data.draw(st.lists(st.sampled_from([0.0, 0.0, 1.0, -2.0]), min_size=30, max_size=30))
    matrix = np.array(entries[: outputs * size]).reshape(outputs, size)
    high, step = data.draw(st.integers(0, outputs - 1)), data.draw(st.integers(1, 2))
    above = Offsets(-(high // step) * step, high // step * step, step if high >= step else 1)
    taps = Taps.of(matrix)
    assert np.array_equal(taps.matrix, matrix)
    tracked_above = range(above.low, above.high + 1, above.step)
    read = {
        q2 - q1
        for p1 in range(outputs)
        for p2 in range(outputs)
        if p2 - p1 in tracked_above
        for q1 in np.flatnonzero(matrix[p1])
        for q2 in np.flatnonzero(matrix[p2])
    }
    below = taps.offsets_below(above)
    found = range(below.low, below.high + 1, below.step)
    assert read <= set(found) if read else below == DIAGONAL
    if read:
        assert (min(read), max(read)) == (below.low, below.high)
        assert len(read) == 1 or below.step == np.gcd.reduce(np.diff(sorted(read)))


@trials(60)
@given(st.integers(-8, 0), st.integers(0, 6), st.integers(1, 4), st.integers(1, 5))
def test_demand_of_a_dilation_is_what_the_stride_divides(low: int, count: int, step: int, stride: int) -> None:
    """Protects {d / s : s divides d}, also of progressions that miss zero."""
    above = Offsets(low, low + count * step, step if count else 1)
    type_ = CovarianceType.dense("f32", ("N", "M"), (20,))
    ((below,),) = kernel.Dilate((stride,)).demand((above,), type_)
    expected = {d // stride for d in range(above.low, above.high + 1, above.step) if d % stride == 0}
    assert set(range(below.low, below.high + 1, below.step)) == (expected or {0})


def test_layers_track_little() -> None:
    """Protects the cost of networks without pooling and of locally connected ones: diagonals alone, or few offsets."""
    head = [nn.relu(), nn.flatten(), nn.dense(1)]
    assert tracked(IMAGE >> conv >> nn.conv_transpose(8, 3, 2) >> nn.serial(*head), "conv1") == (DIAGONAL,) * 2
    assert tracked(IMAGE >> conv >> nn.slice((1, 0), (5, 5), 2) >> nn.serial(*head), "conv1") == (DIAGONAL,) * 2
    assert tracked(IMAGE >> conv >> nn.transpose() >> nn.serial(*head), "conv1") == (DIAGONAL,) * 2
    local = IMAGE >> conv >> nn.conv_local(8, 3) >> nn.relu() >> nn.global_avg_pool() >> nn.dense(1)
    assert tracked(local, "conv1") == (DIAGONAL,) * 2
    up = IMAGE >> conv >> nn.conv_transpose(8, 3, 2) >> nn.relu() >> nn.global_avg_pool() >> nn.dense(1)
    assert tracked(up, "conv1") == (Offsets.full(6), Offsets.full(5))
    strided = IMAGE >> conv >> nn.slice(step=2) >> nn.relu() >> nn.global_avg_pool() >> nn.dense(1)
    assert tracked(strided, "conv1") == (Offsets(-4, 4, 2), Offsets(-4, 4, 2))
    small = IMAGE >> conv >> nn.resize((12, 5), "linear") >> nn.serial(*head)
    assert tracked(small, "conv1") == (Offsets(-1, 1), DIAGONAL)


# Convolutions


def test_local_positions_are_uncorrelated() -> None:
    """Protects the entries between positions: zero, and the diagonal that of shared weights."""
    x = examples(IMAGE, 2)
    local = kernels(IMAGE >> nn.conv_local(8, 3, w_std=1.2, b_std=0.3), x, x)
    shared = kernels(IMAGE >> conv, x, x)
    own = np.eye(6, dtype=bool)[:, :, None, None] & np.eye(5, dtype=bool)
    for label in ("nngp", "ntk"):
        assert np.array_equal(local[label][:, :, ~own], np.zeros_like(local[label][:, :, ~own]))
        assert_close(local[label][:, :, own], shared[label][:, :, own], "exact")


def test_a_transposed_convolution_of_stride_one_is_a_convolution() -> None:
    """Protects the scale, by a layer that is known."""
    x = examples(IMAGE, 2)
    for padding in ("same", "circular"):
        transposed = IMAGE >> conv >> nn.conv_transpose(8, 3, 1, padding, 1.2, 0.3)
        plain = IMAGE >> conv >> nn.conv(8, 3, 1, padding, w_std=1.2, b_std=0.3)
        assert_close(kernels(transposed, x, x)["ntk"], kernels(plain, x, x)["ntk"], "exact")


@pytest.mark.parametrize("padding", ["same", "valid", "circular"])
@pytest.mark.parametrize(("window", "stride"), [(2, 1), (3, 2), (2, 3), (4, 2)])
def test_transposed_convolutions_are_those_of_lax(window: int, stride: int, padding: Padding) -> None:
    """Protects where outputs begin and how many there are, for odd and even paddings: `jax.lax.conv_transpose`, of
    which the finite layer is made (but for circular)."""
    network = nn.input(3, 1) >> nn.conv_transpose(1, window, stride, padding, 1.2, 0.3)
    assert_rules_exact(network.graph(), examples(network, 1), examples(network, 1, seed=1))


def test_groups_after_a_layer_are_a_convolution() -> None:
    """Protects grouped convolutions, also as the second one, as the middle of a network: infinitely many alike
    channels in each group."""
    x = examples(IMAGE, 2)
    grouped = nn.grouped_conv(8, 2, 3, w_std=1.2, b_std=0.3)
    ends = (nn.relu(), nn.flatten(), nn.dense(1))
    many = IMAGE >> conv >> nn.relu() >> grouped >> nn.relu() >> grouped >> nn.serial(*ends)
    plain = IMAGE >> conv >> nn.relu() >> conv >> nn.relu() >> conv >> nn.serial(*ends)
    for label, value in kernels(plain, x, x).items():
        assert_close(kernels(many, x, x)[label], value, "exact")


def test_groups_of_unlike_channels_are_not_gaussian() -> None:
    """Protects against a nonlinearity after groups of the data's channels, of concatenated branches or of flattened
    positions: their means over channels are right, but every channel has a variance of its own."""
    grouped = nn.grouped_conv(8, 2, 3)
    joined = nn.concat(nn.conv(4, 3), nn.conv(4, 3) >> nn.relu())
    for begin in (IMAGE, IMAGE >> joined, IMAGE >> nn.pad(1)):
        network = begin >> grouped
        assert show(network.graph()).count("centered[") == 1
        with pytest.raises(NotGaussianError):
            (network >> nn.relu()).graph()
        (network >> nn.dense(8) >> nn.relu()).graph()
    assert "gaussian" in show((IMAGE >> nn.grouped_conv(8, 1, 3)).graph())


def test_depthwise_needs_a_layer_after_it() -> None:
    """Protects the law of a product of weights and one channel; dense after it makes it Gaussian again."""
    begin = IMAGE >> conv >> nn.relu() >> nn.depthwise_conv(3)
    with pytest.raises(NotGaussianError):
        (begin >> nn.relu()).graph()
    (begin >> nn.dense(8) >> nn.relu()).graph()


def test_depthwise_output_depends_on_what_is_below() -> None:
    """Protects products: E[(W x)^2 x^2] is not E[(W x)^2] E[x^2], as it would be for a Gaussian limit."""
    with pytest.raises(DependenceError):
        (IMAGE >> conv >> nn.product(nn.depthwise_conv(3), nn.identity())).graph()
    (IMAGE >> conv >> nn.product(nn.conv(8, 3), nn.depthwise_conv(3))).graph()


@pytest.mark.parametrize(("layer", "reads"), [(nn.grouped_conv(6, 2, 3), 2), (nn.depthwise_conv(3, 2), 1)])
def test_finite_groups_read_their_own_channels(layer: Layer, reads: int) -> None:
    """Protects the meaning of groups, which K' does not show: an output channel reads the input channels of its own
    group, in order."""
    graph = (nn.input(5, 4) >> layer).graph()
    params = finite.init(graph, jax.random.key(0))

    def output(x: jax.Array) -> jax.Array:
        return finite.apply(graph, params, x[None])[0].sum(0)

    found = np.asarray(jax.jacobian(output)(jnp.ones((5, 4)))).sum(1) != 0  # (outputs, inputs)
    outputs, inputs = found.shape
    expected = np.arange(outputs)[:, None] * (inputs // reads) // outputs == np.arange(inputs) // reads
    assert np.array_equal(found, expected)


def test_groups_divide_channels() -> None:
    """Protects the finite network, which splits channels evenly."""
    for network in (IMAGE >> nn.grouped_conv(9, 2, 3), nn.input(6, 5, 3) >> nn.grouped_conv(8, 2, 3)):
        with pytest.raises(ShapeError, match="do not divide"):
            network.graph()


# Concatenation


def test_images_side_by_side() -> None:
    """Protects the blocks: those of the branches, zero between them."""
    x = examples(IMAGE, 2)
    left, right = conv, nn.conv(8, 3, w_std=0.7) >> nn.slice((None, 0), (None, 2))
    found = kernels(IMAGE >> nn.concat_spatial(left, right, axis=1), x, x)
    for label in ("nngp", "ntk"):
        assert found[label].shape == (2, 2, 6, 6, 7, 7)
        assert_close(found[label][..., :5, :5], kernels(IMAGE >> left, x, x)[label], "exact")
        assert_close(found[label][..., 5:, 5:], kernels(IMAGE >> right, x, x)[label], "exact")
        assert not found[label][..., :5, 5:].any()
        assert not found[label][..., 5:, :5].any()


@pytest.mark.parametrize(
    ("branches", "error", "message"),
    [
        ((conv, conv >> nn.concat_spatial(nn.identity(), nn.identity())), DependenceError, "not independent"),
        ((conv >> nn.relu(), conv >> nn.relu()), UnsupportedError, "concat_spatial: 2 of its branches have a mean"),
        ((conv, nn.conv(4, 3)), ShapeError, "differ beside axis 0"),
        ((conv, nn.conv(8, 3, (1, 2))), ShapeError, "differ beside axis 0"),
        ((conv >> nn.flatten(), conv >> nn.flatten()), ShapeError, "need a spatial axis"),
    ],
)
def test_images_that_cannot_be_side_by_side(branches: Any, error: type[NtcError], message: str) -> None:
    """Protects against blocks that would not be zero, and shapes that do not fit."""
    with pytest.raises(error, match=message):
        (IMAGE >> nn.concat_spatial(*branches)).graph()


# Refusals and text


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        (nn.slice((1,)), ShapeError, "start has 1 axes"),
        (nn.slice((None, 5)), ShapeError, "nothing of axis 1"),
        (nn.pad((1, 1, 1)), ShapeError, "low has 3 axes"),
        (nn.resize((2,)), ShapeError, "size has 1 axes"),
        (nn.flatten() >> nn.resize(2), ShapeError, "no spatial axes"),
        (nn.matrix(((1.0, 2.0),)), ShapeError, "axis 0 of its input has 6 positions"),
        (nn.matrix(((1.0,) * 6, (1.0,) * 5)), ShapeError, "every row"),
        (nn.matrix(()), ShapeError, "every row"),
        (nn.matrix(((1.0,),), 2), ShapeError, "none with number 2"),
        (nn.transpose((0,)), ShapeError, "not an order"),
        (nn.transpose((1, 1)), ShapeError, "not an order"),
        (nn.flatten() >> nn.conv_transpose(8, 3), ShapeError, "no spatial axes"),
        (nn.flatten() >> nn.conv_local(8, 3), ShapeError, "no spatial axes"),
        (nn.conv_transpose(8, 3, 2**31 - 1), ShapeError, "more than"),
        (nn.conv_transpose(8, 3, (2,)), ShapeError, "stride has 1 axes"),
        (nn.pad(2**31 - 1), ShapeError, "more than"),
        (nn.conv_local(8, 7, padding="valid"), ShapeError, "larger than its input"),
    ],
)
def test_what_does_not_fit_is_refused(layer: Layer, error: type[NtcError], message: str) -> None:
    """Protects users from indices and shapes that NumPy would accept or misread."""
    with pytest.raises(error, match=message):
        (IMAGE >> layer).graph()


def test_matrices_print_and_parse() -> None:
    """Protects tuples of tuples in the text and the JSON of both graphs."""
    network = IMAGE >> conv >> nn.matrix(((0.5, -1.0, 0.0, 2.0, 1e-3),), 1) >> nn.slice((None, 0), (-1, None))
    for graph in (network.graph(), Translate()(network.graph())):
        assert parse_graph(show(graph)) == graph
        assert from_json(to_json(graph)) == graph


@pytest.mark.parametrize(
    "op",
    [
        kernel.Dilate((2,)),
        kernel.Dilate((2**31 - 1, 2**31 - 1)),
        kernel.Interpolate((3,), "linear"),
        kernel.Interpolate((2**31 - 1, 1), "cubic"),
        kernel.Contract(2, ((1.0,),)),
        kernel.Contract(0, ((1.0,),)),
        kernel.Contract(0, ()),
        kernel.Permute((0, 0)),
        kernel.Permute((0,)),
    ],
    ids=str,
)
def test_ir_that_does_not_fit_is_refused(op: Linear | kernel.Permute) -> None:
    """Protects readers of IR that somebody else wrote, before anything is allocated."""
    graph = Translate()((IMAGE >> nn.transpose()).graph())
    node = next(node for node in graph.nodes if isinstance(node.op, kernel.Permute))
    nodes = tuple(replace(x, op=op) if x == node else x for x in graph.nodes)
    with pytest.raises(NtcError):
        verify(replace(graph, nodes=nodes))
