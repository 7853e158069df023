"""What must hold of the kernels whatever the code: identities of the mathematics, in the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntc import nn
from ntc.backends.reference import interpret
from ntc.frontend.layers import Layer, Network
from ntc.ir.op import Array
from ntc.passes.translate import Translate
from tests.assertions import assert_close

seeds = st.integers(0, 2**32 - 1)


def kernels(network: Network, x1: Array, x2: Array) -> dict[str, Array]:
    """Both kernels of the rules."""
    return interpret(Translate(dtype="f64")(network.graph()), x1, x2)


def arrays(seed: int, *shape: int) -> tuple[Array, Array]:
    """Three and two inputs."""
    random = np.random.default_rng(seed)
    return random.normal(size=(3, *shape)), random.normal(size=(2, *shape))


def assert_equal_networks(a: Network, b: Network, seed: int) -> None:
    """Both networks have the same kernels."""
    x1, x2 = arrays(seed, *a.first.spatial, a.first.channels)
    first, second = kernels(a, x1, x2), kernels(b, x1, x2)
    for label, value in first.items():
        assert_close(value, second[label], "rounding")


@given(seeds, st.integers(1, 8))
def test_deep_linear_network(seed: int, depth: int) -> None:
    """Protects the recursion of the NTK: with w_std = 1 and no bias, NNGP = K and NTK = depth K."""
    x1, x2 = arrays(seed, 5)
    found = kernels(nn.input(5) >> nn.repeat(depth, nn.dense(3)), x1, x2)
    gram = x1 @ x2.T / 5
    assert_close(found["nngp"], gram, "rounding")
    assert_close(found["ntk"], depth * gram, "rounding")


@given(seeds, st.integers(1, 5), st.floats(0.1, 3), st.floats(0, 2))
def test_deep_linear_network_with_scales(seed: int, depth: int, w_std: float, b_std: float) -> None:
    """Protects scales: K_l = w^2 K + b^2 and T_l = K_l + w^2 T, by hand."""
    x1, x2 = arrays(seed, 5)
    found = kernels(nn.input(5) >> nn.repeat(depth, nn.dense(3, w_std, b_std)), x1, x2)
    k, t = x1 @ x2.T / 5, np.zeros((3, 2))
    for _ in range(depth):
        k = w_std * w_std * k + b_std * b_std
        t = k + w_std * w_std * t
    assert_close(found["nngp"], k, "rounding")
    assert_close(found["ntk"], t, "rounding")


HOMOGENEOUS: dict[str, Network] = {
    "dense": nn.input(4) >> nn.repeat(3, nn.serial(nn.dense(8, 1.4), nn.relu())) >> nn.dense(1),
    "leaky": nn.input(4) >> nn.dense(8, 1.4) >> nn.leaky_relu(-0.3) >> nn.dense(8) >> nn.abs() >> nn.dense(1),
    "convolutional": nn.input(5, 2)
    >> nn.conv(8, 3)
    >> nn.relu()
    >> nn.sum(nn.serial(nn.conv(8, 3), nn.relu(), nn.conv(8, 3)), nn.identity())
    >> nn.avg_pool(2)
    >> nn.flatten()
    >> nn.dense(1),
}


@given(seeds, st.floats(1e-3, 1e3))
@pytest.mark.parametrize("name", HOMOGENEOUS)
def test_positive_homogeneity(name: str, seed: int, scale: float) -> None:
    """Protects kernels at any scale of the input: without biases, k(c x, x') = c k(x, x') for c > 0."""
    network = HOMOGENEOUS[name]
    x1, x2 = arrays(seed, *network.first.spatial, network.first.channels)
    found, expected = kernels(network, scale * x1, x2), kernels(network, x1, x2)
    for label, value in expected.items():
        assert_close(found[label], scale * value, "rounding")


CIRCULAR = nn.serial(
    nn.conv(8, (3, 2), padding="circular", dilation=(1, 2), w_std=1.3, b_std=0.1),
    nn.relu(),
    nn.avg_pool((2, 2), 1, "circular"),
    nn.conv(8, 3, padding="circular"),
    nn.erf(),
)


@given(seeds, st.integers(0, 3), st.integers(0, 4))
@pytest.mark.parametrize("pool", [nn.global_avg_pool(), nn.global_sum_pool()], ids=["mean", "sum"])
def test_shift_invariance(pool: Layer, seed: int, down: int, right: int) -> None:
    """Protects circular padding: a circular CNN under a global pool does not see where its input begins."""
    network = nn.input(4, 5, 2) >> CIRCULAR >> pool >> nn.dense(1)
    x1, x2 = arrays(seed, 4, 5, 2)
    found, expected = kernels(network, np.roll(x1, (down, right), (1, 2)), x2), kernels(network, x1, x2)
    for label, value in expected.items():
        assert_close(found[label], value, "rounding")


@given(seeds, st.integers(0, 3), st.integers(0, 4))
def test_shift_equivariance(seed: int, down: int, right: int) -> None:
    """Protects positions under circular padding: both inputs shifted, every entry moves along."""
    network = nn.input(4, 5, 2) >> CIRCULAR
    x1, x2 = arrays(seed, 4, 5, 2)
    moved = [np.roll(x, (down, right), (1, 2)) for x in (x1, x2)]
    found, expected = kernels(network, *moved), kernels(network, x1, x2)
    for label, value in expected.items():
        shifted = np.roll(value, (down, down, right, right), (2, 3, 4, 5))
        assert_close(found[label], shifted, "rounding")


@given(seeds)
def test_reflection_equivariance(seed: int) -> None:
    """Protects the centre of odd filters under padding=same: images reflected, the kernel is reflected."""
    network = nn.input(5, 2) >> nn.conv(8, 3, dilation=2, w_std=1.2) >> nn.relu() >> nn.avg_pool(3, 1, "same", True)
    x1, x2 = arrays(seed, 5, 2)
    found, expected = kernels(network, x1[:, ::-1], x2[:, ::-1]), kernels(network, x1, x2)
    for label, value in expected.items():
        assert_close(found[label], value[:, :, ::-1, ::-1], "rounding")


@given(seeds)
def test_axes_may_be_exchanged(seed: int) -> None:
    """Protects the order of per-axis parameters: transposed images and parameters, transposed kernel."""

    def network(order: tuple[int, int]) -> Network:
        def pair(first: int, second: int) -> tuple[int, int]:
            return tuple((first, second)[i] for i in order)  # type: ignore[return-value]

        filters = nn.conv(8, pair(3, 2), pair(1, 2), "same", pair(2, 1), 1.2, 0.3)
        return nn.input(*pair(4, 5), 2) >> filters >> nn.relu() >> nn.avg_pool(pair(2, 1), pair(1, 2))

    x1, x2 = arrays(seed, 4, 5, 2)
    expected = kernels(network((0, 1)), x1, x2)
    found = kernels(network((1, 0)), x1.transpose(0, 2, 1, 3), x2.transpose(0, 2, 1, 3))
    for label, value in expected.items():
        assert_close(found[label], value.transpose(0, 1, 4, 5, 2, 3), "rounding")


def same(text: str, left: Network, right: Network) -> object:
    return pytest.param(left, right, id=text)


X = nn.input(3)
IMAGE = nn.input(4, 3, 2)
pre = nn.dense(8, 1.3, 0.2)
filters = nn.conv(8, 3, w_std=1.3, b_std=0.2)
whole = nn.conv(8, (4, 3), padding="valid", w_std=1.3, b_std=0.2)
gap = nn.global_avg_pool()
body = nn.serial(nn.dense(8, 1.2, 0.1), nn.relu())


@pytest.mark.parametrize(
    ("left", "right"),
    [
        same("leaky_relu(1) is the identity", X >> pre >> nn.leaky_relu(1.0) >> pre, X >> pre >> pre),
        same("leaky_relu(0) is relu", X >> pre >> nn.leaky_relu(0.0) >> pre, X >> pre >> nn.relu() >> pre),
        same("ab_relu(0, 1) is relu", X >> pre >> nn.ab_relu(0.0, 1.0) >> pre, X >> pre >> nn.relu() >> pre),
        same("ab_relu(-1, 1) is abs", X >> pre >> nn.ab_relu(-1.0, 1.0) >> pre, X >> pre >> nn.abs() >> pre),
        same("relu(-x) is like relu", X >> pre >> nn.ab_relu(-1.0, 0.0) >> pre, X >> pre >> nn.relu() >> pre),
        same("2 relu", X >> pre >> nn.ab_relu(0.0, 2.0) >> pre, X >> pre >> nn.relu() >> nn.dense(8, 2.6, 0.2)),
        same("erf scales", X >> pre >> nn.erf(2.0) >> nn.dense(8), X >> pre >> nn.erf() >> nn.dense(8, 2.0)),
        same("repeat is unrolled", X >> nn.repeat(3, body), X >> body >> body >> body),
        same("repeat 0 is nothing", X >> nn.repeat(0, body) >> pre, X >> pre),
        same("sum of one", X >> nn.sum(pre) >> nn.relu(), X >> pre >> nn.relu()),
        same(
            "a value and itself are twice the value",
            X >> body >> nn.sum(nn.identity(), nn.identity()) >> pre,
            X >> body >> nn.scale(2.0) >> pre,
        ),
        same(
            "a value three times, and another",
            X >> body >> nn.sum(nn.identity(), nn.dense(8, 2.0), nn.identity(), nn.identity()) >> pre,
            X >> body >> nn.sum(nn.scale(3.0), nn.dense(8, 2.0)) >> pre,
        ),
        same("product of one", X >> nn.product(pre) >> nn.relu(), X >> pre >> nn.relu()),
        same("concat of one", X >> nn.concat(pre) >> nn.relu(), X >> pre >> nn.relu()),
        same("concat of equals", X >> nn.concat(body, body) >> pre, X >> body >> pre),
        same("concat counts channels", X >> nn.concat(nn.dense(2), nn.dense(6, 2.0)), X >> nn.dense(1, 3.25**0.5)),
        same("two layers add up", X >> nn.sum(nn.dense(8, 3.0), nn.dense(8, 4.0)), X >> nn.dense(8, 5.0)),
        same("1x1 conv is dense", IMAGE >> nn.conv(8, 1, w_std=1.3, b_std=0.2), IMAGE >> pre),
        same(
            "1x1 convs are dense layers",
            IMAGE >> nn.repeat(3, nn.serial(nn.conv(8, 1, w_std=1.3, b_std=0.2), nn.relu())),
            IMAGE >> nn.repeat(3, nn.serial(pre, nn.relu())),
        ),
        same(
            "standard 1x1 convs are dense layers",
            IMAGE >> nn.repeat(3, nn.conv(8, 1, w_std=1.3, b_std=0.2, parameterization="standard")),
            IMAGE >> nn.repeat(3, nn.dense(8, 1.3, 0.2, "standard")),
        ),
        same(
            "standard 1x1 conv is dense",
            IMAGE >> nn.conv(8, 1, w_std=1.3, b_std=0.2, parameterization="standard"),
            IMAGE >> nn.dense(8, 1.3, 0.2, "standard"),
        ),
        same("pool of one", IMAGE >> filters >> nn.avg_pool(1), IMAGE >> filters),
        same("sum pool", IMAGE >> nn.sum_pool((3, 2)) >> nn.dense(8), IMAGE >> nn.avg_pool((3, 2)) >> nn.dense(8, 6.0)),
        same("pool of all is global", IMAGE >> filters >> nn.avg_pool((4, 3)) >> nn.flatten(), IMAGE >> filters >> gap),
        same("sum pool of all is global", IMAGE >> nn.sum_pool((4, 3)) >> nn.flatten(), IMAGE >> nn.global_sum_pool()),
        same("negative index", IMAGE >> filters >> nn.index((-1, 0)), IMAGE >> filters >> nn.index((3, 0))),
        same("center index", IMAGE >> filters >> nn.index(), IMAGE >> filters >> nn.index((2, 1))),
        same("valid conv sees all", IMAGE >> whole >> nn.flatten(), IMAGE >> nn.flatten() >> pre),
        same("edges count", IMAGE >> nn.avg_pool(9, 9, "same", True), IMAGE >> nn.avg_pool((4, 3))),
        same("no edges", IMAGE >> nn.avg_pool(2, 2, "valid", True), IMAGE >> nn.avg_pool(2, 2, "valid")),
    ],
)
@given(seeds)
def test_equal_networks(left: Network, right: Network, seed: int) -> None:
    """Protects relations between layers: two ways to say one network have the same kernels."""
    assert_equal_networks(left, right, seed)
