"""Max pooling of two entries in the limit: against Clark's moments, quadrature, random networks, and refusals."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntc import nn
from ntc.backends.reference import interpret
from ntc.compiler import build
from ntc.errors import UnsupportedError
from ntc.finite import monte_carlo_kernel_fn
from ntc.frontend.layers import Network
from ntc.ir.op import Array
from ntc.ir.types import Between, Distribution
from ntc.passes.translate import Translate
from tests.assertions import assert_close

LINE = nn.input(4, 3)
BELOW = LINE >> nn.conv(8, 2, w_std=1.3, b_std=0.2)


def rules(network: Network, *x: Array, between: Between = "cross") -> dict[str, Array]:
    """Both kernels in the reference."""
    return interpret(Translate(dtype="f64", between=between)(network.graph()), *x)


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def test_variances_are_those_of_clark() -> None:
    """Protects E[max(u, v)^2] of correlated Gaussians of mean zero, Clark's second moment: (v1 + v2) / 2, whatever the
    correlation."""
    x = random(3, 4, 3)
    below = rules(BELOW, x, between="self")["nngp"]
    found = rules(BELOW >> nn.max_pool(2), x, between="self")["nngp"]
    own = np.einsum("nnpp->np", below).reshape(3, 2, 2).mean(-1)
    assert_close(np.einsum("nnpp->np", found), own, "rounding")


def test_means_are_those_of_clark() -> None:
    """Protects E[max(u, v)] = sqrt((v1 + v2 - 2 k) / (2 pi)), Clark's first moment: between independent images the
    kernel is the product of the means."""
    x = np.zeros((2, 2, 4))
    x[0, :, :2], x[1, :, 2:] = random(2, 2), random(2, 2, seed=1)
    below, pooled = (
        rules(nn.input(2, 4) >> nn.dense(8) >> layer, x, between="self")["nngp"]
        for layer in (nn.identity(), nn.max_pool(2))
    )
    means = [np.sqrt((k[0, 0] + k[1, 1] - 2 * k[0, 1]) / (2 * np.pi)) for k in (below[0, 0], below[1, 1])]
    assert_close(pooled[0, 1, 0, 0], means[0] * means[1], "rounding")


def test_probabilities_are_those_of_quadrants() -> None:
    """Protects the NTK: the sum over entries i, j of the windows of P(i and j are the largest) Theta_ij, counted on a
    million draws of the four Gaussians."""
    x, y = random(1, 2, 3), random(1, 2, 3, seed=1)
    network = nn.input(2, 3) >> nn.conv(8, 2, w_std=1.3, b_std=0.2) >> nn.erf() >> nn.dense(8)
    both = np.concatenate([x, y])
    k, t = (rules(network, both, between="self")[label] for label in ("nngp", "ntk"))
    joint = k.transpose(0, 2, 1, 3).reshape(4, 4)
    u = np.random.default_rng(2).multivariate_normal(np.zeros(4), joint, size=1_000_000)
    first, second = u[:, :2].argmax(1), u[:, 2:].argmax(1)
    shares = np.bincount(2 * first + second, minlength=4).reshape(2, 2) / len(u)
    found = rules(network >> nn.max_pool(2), x, y)
    assert abs(found["ntk"][0, 0, 0, 0] - (shares * t[0, 1]).sum()) < 5e-3 * np.abs(t[0, 1]).max()
    products = u[:, :2].max(1) * u[:, 2:].max(1)
    assert abs(found["nngp"][0, 0, 0, 0] - products.mean()) < 5 * products.std() / 1000


@pytest.mark.parametrize(
    "network",
    [
        BELOW >> nn.max_pool(2) >> nn.dense(4) >> nn.relu() >> nn.flatten(),
        BELOW >> nn.max_pool(2, 1) >> nn.global_avg_pool(),
        nn.input(4, 5, 2) >> nn.conv(4, 2) >> nn.max_pool((1, 2), (2, 2)) >> nn.conv(3, 2) >> nn.relu() >> nn.flatten(),
        nn.input(4, 5, 2) >> nn.conv(4, 2) >> nn.max_pool((2, 1), 1, "circular") >> nn.flatten(),
        BELOW >> nn.max_pool(1, 2) >> nn.flatten(),
    ],
    ids=["flatten", "overlap", "stride", "circular", "one"],
)
@pytest.mark.parametrize("between", ["cross", "self"])
def test_programs_agree(network: Network, between: Between) -> None:
    """Protects the backend: in float64 a program is what the reference computes."""
    shape = (*network.first.spatial, network.first.channels)
    given = (random(3, *shape), random(2, *shape, seed=1))[: 2 if between == "cross" else 1]
    found = build(network, dtype="float64")(*given)
    for label, expected in rules(network, *given, between=between).items():
        assert_close(getattr(found, label), expected, "float64 near correlation one")


def test_random_networks_have_these_kernels() -> None:
    """Protects the rule as a whole: one layer below makes it exact at every width, so chance is all there is."""
    network = LINE >> nn.conv(32, 2, w_std=1.3, b_std=0.2) >> nn.max_pool(2, 1) >> nn.flatten() >> nn.dense(1, 1.2)
    program, x = build(network), random(3, 4, 3).astype("f4")
    kernel_fn = monte_carlo_kernel_fn(
        lambda key, shape: (None, program.init(key)), program.apply, jax.random.key(0), 300, standard_error=True
    )
    estimate, kernels = kernel_fn(jnp.asarray(x), None, ("nngp", "ntk")), program(x)
    for label in ("nngp", "ntk"):
        error = np.abs(np.asarray(getattr(estimate.mean, label)) - np.asarray(getattr(kernels, label)))
        assert (error <= 5 * np.asarray(getattr(estimate.standard_error, label))).all()


REFUSED = {
    "four entries": (nn.input(4, 4, 2) >> nn.conv(4, 2) >> nn.max_pool(2), "more than two correlated Gaussians"),
    "three entries": (BELOW >> nn.max_pool(3), "more than two correlated Gaussians"),
    "an edge": (BELOW >> nn.max_pool(2, 1, "same"), "more than two correlated Gaussians"),
    "a nonlinearity below": (BELOW >> nn.relu() >> nn.max_pool(2), "its input is not Gaussian"),
    "the data": (LINE >> nn.max_pool(2), "its input is not Gaussian"),
}


def test_networks_go_on_behind_a_pool() -> None:
    """Protects finite networks: a nonlinearity may follow, which has no rule, as the largest is not Gaussian; behind
    another dense layer it has."""
    network = BELOW >> nn.max_pool(2) >> nn.relu() >> nn.dense(2)
    x = random(2, 4, 3)
    program = build(network)
    assert program.apply(program.init(jax.random.key(0)), x).shape == (2, 2, 2)
    with pytest.raises(UnsupportedError, match="relu has no closed form: its input is not Gaussian"):
        program(x)
    assert build(BELOW >> nn.max_pool(2) >> nn.dense(2) >> nn.relu())(x).ntk.shape == (2, 2, 2, 2)


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_has_finite_networks_alone(name: str) -> None:
    """Protects from numbers that are none: larger windows, windows over the edge, values that are not Gaussian."""
    network, words = REFUSED[name]
    program = build(network)
    assert program.network.tensor_of("max_pool1").distribution is Distribution.FINITE
    x = random(2, *network.first.spatial, network.first.channels)
    assert program.apply(program.init(jax.random.key(0)), x).ndim == x.ndim
    with pytest.raises(UnsupportedError, match=words) as caught:
        program(x)
    assert "--monte-carlo" in str(caught.value)
