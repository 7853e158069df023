"""Dense layers along positions: their rule, what channels then have in common, and where they are refused."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pytest

from ntc import nn
from ntc.backends.reference import interpret
from ntc.compiler import build
from ntc.errors import NtcError, ShapeError, UnsupportedError
from ntc.finite import monte_carlo_kernel_fn
from ntc.frontend.elaborate import read_graph
from ntc.frontend.layers import Layer, Network
from ntc.ir.op import Array
from ntc.ir.ops import Gelu
from ntc.ir.types import Between
from ntc.passes.translate import Translate
from tests.assertions import assert_close

LINE = nn.input(5, 3)
BELOW = LINE >> nn.conv(8, 3, w_std=1.3, b_std=0.2)


def rules(network: Network, *x: Array, between: Between = "cross") -> dict[str, Array]:
    """Both kernels in the reference."""
    return interpret(Translate(dtype="f64", between=between)(network.graph()), *x)


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_outputs_are_means_over_positions(parameterization: str) -> None:
    """Protects the rule: of (n, m, p, p') only p = p' is left, and is the mean of these entries."""
    x, y = random(2, 5, 3), random(3, 5, 3, seed=1)
    below = rules(BELOW, x, y)
    found = rules(BELOW >> nn.dense(4, 1.2, 0.5, parameterization, axis=0), x, y)  # type: ignore[arg-type]
    k, t = (np.einsum("nmpp->nm", below[label]) / 5 for label in ("nngp", "ntk"))
    own = 1.44 * k + 0.25 if parameterization == "ntk" else 5 * k + 1
    assert_close(found["nngp"], (1.44 * k + 0.25)[..., None, None] * np.eye(4), "rounding")
    assert_close(found["ntk"], (own + 1.44 * t)[..., None, None] * np.eye(4), "rounding")


def test_other_axes_keep_their_entries() -> None:
    """Protects images: along the axis that is not mixed, pairs of different rows stay."""
    network = nn.input(3, 4, 2) >> nn.conv(8, 3)
    x, y = random(2, 3, 4, 2), random(2, 3, 4, 2, seed=1)
    below, found = rules(network, x, y)["nngp"], rules(network >> nn.dense(2, axis=1), x, y)["nngp"]
    mean = np.einsum("nmpqww->nmpq", below) / 4
    assert_close(found, mean[..., None, None] * np.eye(2), "rounding")
    program = build(network >> nn.dense(2, axis=1), dtype="float64")
    assert_close(np.asarray(program(x, y).nngp), found, "float64")


def token_mlp(size: int, hidden: int, **options: object) -> Layer:
    """Layer norm, two dense layers along positions with a nonlinearity in between, as in an MLP-Mixer."""
    dense = partial(nn.dense, axis=0, **options)  # type: ignore[arg-type]
    return nn.serial(nn.layer_norm(eps=0.1), dense(hidden), nn.gelu(), dense(size))


def mixer(size: int, width: int, **options: object) -> Network:
    """A block of an MLP-Mixer on `size` tokens, with a head that sees all of them."""
    dense = partial(nn.dense, width, **options)  # type: ignore[arg-type]
    channels = nn.serial(nn.layer_norm(eps=0.1), dense(), nn.gelu(), dense())
    tokens = token_mlp(size, width, **options)
    network = nn.input(size, 4) >> dense() >> nn.sum(nn.identity(), tokens) >> nn.sum(nn.identity(), channels)
    return network >> nn.layer_norm(eps=0.1) >> nn.flatten() >> nn.dense(1)


def test_layer_norm_takes_off_what_channels_have_in_common() -> None:
    """Protects the covariances of two channels, against the recursion written out: after a bias, a nonlinearity and
    another bias, the part that is the same in all channels is not in what layer_norm gives, in either kernel."""
    x, y = random(2, 6, 3), random(3, 6, 3, seed=1)
    after = nn.input(6, 3) >> nn.dense(8) >> token_mlp(4, 7, b_std=0.5) >> nn.layer_norm(eps=0.0)
    found = rules(after, x, y)
    phi = Gelu()

    def normed(a: Array, b: Array) -> Array:
        v1, v2 = ((z * z).mean(-1) + 0.1 for z in (a, b))
        return np.asarray(np.einsum("npc,mpc->nmp", a, b) / 3 / np.sqrt(v1[:, None] * v2[None])).mean(-1)

    k, v1, v2 = normed(x, y), np.diag(normed(x, x))[:, None], np.diag(normed(y, y))[None]
    k, v1, v2, t = k + 0.25, v1 + 0.25, v2 + 0.25, 2 * k + 0.25
    apart, t_apart = np.full_like(k, 0.25), np.full_like(k, 0.25)
    t, t_apart = t * phi.dual_dot(k, v1, v2), t_apart * phi.dual_dot(apart, v1, v2)
    own = [phi.dual(v, v, v) - phi.dual(np.full_like(v, 0.25), v, v) for v in (v1, v2)]
    k, apart = phi.dual(k, v1, v2), phi.dual(apart, v1, v2)
    scale = np.sqrt(own[0] * own[1])
    assert_close(found["nngp"], ((k - apart) / scale)[..., None, None] * np.eye(4), "rounding")
    assert_close(found["ntk"], ((k - apart + t - t_apart) / scale)[..., None, None] * np.eye(4), "rounding")


@pytest.mark.parametrize("between", ["cross", "self"])
def test_programs_of_mixers_agree(between: Between) -> None:
    """Protects the backend: a block in float64 is what the reference computes, and what passes make of it."""
    network, x, y = mixer(4, 6, b_std=0.4), random(3, 4, 4), random(2, 4, 4, seed=1)
    given = (x, y) if between == "cross" else (x,)
    found = build(network, dtype="float64")(*given)
    for label, expected in rules(network, *given, between=between).items():
        assert_close(getattr(found, label), expected, "float64 near correlation one")


def test_wide_mixers_have_these_kernels() -> None:
    """Protects the limit: of networks with n tokens and n channels the NTK is within 2 / n, and five standard errors.
    With what channels have in common it would be a third off, and five times too large between examples."""
    size = 24
    tokens = token_mlp(size, size, b_std=1.0)
    network = nn.input(size, 4) >> nn.dense(size) >> tokens >> nn.layer_norm(eps=0.1) >> nn.flatten() >> nn.dense(1)
    x = random(2, size, 4)
    program = build(network)
    kernel_fn = monte_carlo_kernel_fn(
        lambda key, shape: (None, program.init(key)), program.apply, jax.random.key(0), 32, standard_error=True
    )
    estimate = kernel_fn(x.astype("f4"), None, "ntk")
    found = np.asarray(program(x).ntk)
    error = np.abs(np.asarray(estimate.mean) - found)
    assert (error <= 2 / size * np.abs(found).max() + 5 * np.asarray(estimate.standard_error)).all()


REFUSED = {
    "dense after a bias": (BELOW >> nn.dense(4, b_std=0.3, axis=0) >> nn.dense(3), "random part in common"),
    "dense after a mean": (BELOW >> nn.relu() >> nn.dense(4, axis=0) >> nn.dense(3), "random part in common"),
    "gradients by a bias": (BELOW >> nn.dense(4, 1.0, 0.0, "standard", axis=0) >> nn.dense(3), "random part in common"),
    "pooling": (BELOW >> nn.dense(4, b_std=0.3, axis=0) >> nn.global_avg_pool(), "random part in common"),
    "layer_norm after a nonlinearity": (
        BELOW >> nn.dense(4, b_std=0.3, axis=0) >> nn.relu() >> nn.layer_norm(),
        "random part in common",
    ),
    "layer_norm over positions": (BELOW >> nn.dense(4, b_std=0.3, axis=0) >> nn.layer_norm("all"), "in common"),
    "a nonlinearity of a sum": (
        BELOW >> nn.sum(nn.identity(), nn.dense(5, b_std=0.3, axis=0)) >> nn.relu(),
        "random part in common",
    ),
    "another axis": (
        nn.input(3, 4, 2) >> nn.conv(8, 3) >> nn.dense(4, b_std=0.3, axis=0) >> nn.relu() >> nn.dense(4, axis=1),
        "independent along axis 0 and not along axis 1",
    ),
    "a mean that is not known": (BELOW >> nn.relu() >> nn.avg_pool(2) >> nn.dense(4, axis=0), "mean other than zero"),
    "channels of the data": (LINE >> nn.dense(4, axis=0) >> nn.relu(), "not Gaussian"),
    "a mask": (nn.input(5, 3) >> nn.mask(0.0) >> nn.dense(8) >> nn.dense(4, axis=0), "masked positions"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_deterministic_covariance_is_refused(name: str) -> None:
    """Protects from numbers that no network has: where the common part is not averaged out, the layer is named."""
    network, words = REFUSED[name]
    with pytest.raises(UnsupportedError if "Gaussian" not in words else NtcError, match=words):
        network.graph()


def test_what_averages_over_positions_may_follow() -> None:
    """Protects what is right: another matrix along the axis, a readout of all positions, layer_norm, odd functions."""
    mixed = BELOW >> nn.dense(4, b_std=0.3, axis=0)
    for layers in (nn.flatten(), nn.serial(nn.erf(), nn.dense(3, axis=0)), nn.layer_norm(), nn.dense(2, axis=0)):
        assert (mixed >> layers).graph().nodes
    assert (BELOW >> nn.erf() >> nn.dense(4, axis=0) >> nn.dense(3) >> nn.relu()).graph().nodes


def test_errors_point_at_the_axis() -> None:
    """Protects the message: which parameter, and what would be right."""
    with pytest.raises(ShapeError, match="2 spatial axes, none with number 2") as caught:
        (nn.input(4, 4, 2) >> nn.dense(3, axis=2)).graph()
    assert "first spatial axis is 0" in str(caught.value)
    text = "model net =\n  input(5, 3) |> conv(8, 3) |> dense(4, axis=1)\n"
    with pytest.raises(ShapeError) as caught:
        read_graph(text, "net.nt")
    assert caught.value.location is not None
    assert caught.value.location.line == 2
