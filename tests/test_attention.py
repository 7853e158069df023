"""Self-attention: the rules against sums written out, limits that are known, and where it is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntc import nn
from ntc.backends.jax import finite
from ntc.backends.jax.finite.attention import embedded
from ntc.backends.reference import interpret
from ntc.compiler import build
from ntc.errors import ShapeError, UnsupportedError
from ntc.frontend.elaborate import read_network
from ntc.frontend.layers import Apply, Network
from ntc.ir import ops
from ntc.ir.kernel import EmbedPositions
from ntc.ir.kernel.attention import matrices
from ntc.ir.op import Array
from ntc.passes.translate import Translate
from tests.assertions import assert_close, assert_unbiased
from tests.strategies import ops_of, trials
from tests.test_programs import assert_program_agrees, betweens, small_chunks

LINE = nn.input(4, 3)
IMAGE = nn.input(2, 3, 3)
_conv = nn.conv(8, 3, w_std=1.2, b_std=0.3)


@st.composite
def attentions(draw: st.DrawFn, spatial: tuple[int, ...]) -> ops.SelfAttention:
    """Layers with any parameters for which there are rules, on eight channels and positions of these sizes."""
    op: ops.SelfAttention = draw(ops_of(ops.SelfAttention, len(spatial)).filter(lambda op: op.closed_form))
    if op.embedding == "added":
        op = replace(op, embedding_channels=None)
    if not draw(st.integers(0, 2)):
        return replace(op, decay_values=draw(st.builds(covariance_of, st.just(spatial), *[st.floats(0.1, 2)] * 2)))
    return replace(op, decay_values=None)


def covariance_of(spatial: tuple[int, ...], power: float, rate: float) -> tuple[float, ...]:
    """exp(-rate sum |p - p'|^power) at all distances, a covariance for powers up to 2 (Schoenberg 1938)."""
    along = np.ix_(*(np.arange(size) ** power for size in spatial))
    return tuple(np.exp(-rate * sum(along)).ravel().tolist())


def rules(network: Network, *x: Array) -> dict[str, Array]:
    """Both kernels of every pair of positions, between two inputs or of one with itself, in the reference."""
    return interpret(Translate(dtype="f64", between="cross" if len(x) == 2 else "self")(network.graph()), *x)


def flat(covariance: Array) -> Array:
    """(n, m, positions, positions)."""
    return matrices(covariance, 2)


def random_inputs(network: Network, count: int, seed: int = 0) -> Array:
    """Examples in general position."""
    return np.random.default_rng(seed).normal(size=(count, *network.first.spatial, network.first.channels))


class Written:
    """The formulas of one pair of examples, with sums over positions written out."""

    def __init__(self, op: ops.SelfAttention, channels: int, spatial: tuple[int, ...]) -> None:
        self.op = op
        self.positions = list(product(*map(range, spatial)))
        width = op.embedding_channels or channels
        self.own, self.other = (1.0, 1.0)
        if op.embedding == "concatenated":
            self.own, self.other = channels / (channels + width), width / (channels + width)
        self.score = op.w_query_std * op.w_key_std
        self.out = (op.w_value_std * op.w_out_std) ** 2

    def embedded(self, k: Array) -> Array:
        if self.op.embedding is None:
            return k
        covariance = np.array([[self.similarity(p, q) for q in self.positions] for p in self.positions])
        return self.own * k + self.other * self.op.embedding_std**2 * covariance

    def similarity(self, p: tuple[int, ...], q: tuple[int, ...]) -> float:
        if self.op.decay_values is not None:
            apart = np.abs(np.subtract(p, q))
            return float(np.reshape(self.op.decay_values, np.max(self.positions, 0) + 1)[tuple(apart)])
        power = 1 if self.op.distance == "manhattan" else 2
        distance = sum(abs(a - b) ** power for a, b in zip(p, q, strict=True))
        match self.op.decay:
            case "inverse":
                return 1 / (1 + self.op.decay_rate * distance)
            case "exponential":
                return float(np.exp(-self.op.decay_rate * distance))
        return float(distance == 0)

    def weights(self, v: Array) -> Array:
        scores = self.score * self.embedded(v)
        match self.op.mechanism:
            case "softmax":
                return np.array([np.exp(row - row.max()) / np.exp(row - row.max()).sum() for row in scores])
            case "absolute":
                return np.abs(scores)
            case "rectified":
                return np.where(scores > 0, scores, 0)
        return scores

    def kernels(self, k: Array, t: Array, v1: Array, v2: Array) -> tuple[Array, Array]:
        """(K', T')."""
        bias = self.op.b_std**2
        values, values_t = (self.embedded(a) if self.op.embed_values else a for a in (k, t))
        d = range(len(k))
        if self.op.linear_scaling:
            g1, g2 = self.weights(v1), self.weights(v2)

            def attended(a: Array) -> Array:
                return np.array([[sum(g1[p, q] * a[q, r] * g2[s, r] for q in d for r in d) for s in d] for p in d])

            nngp = self.out * attended(values)
            return nngp + bias, self.out * attended(values_t) + 2 * nngp + bias
        e, e_t = self.embedded(k), self.embedded(t)
        nngp = self.score**2 * self.out * np.sum(e * values) * e
        from_below = np.sum(e_t * values + e * values_t) * e + np.sum(e * values) * e_t
        return nngp + bias, self.score**2 * self.out * from_below + 4 * nngp + bias


@given(st.data())
@trials(30)
@pytest.mark.parametrize("below", [LINE, IMAGE], ids=["line", "image"])
def test_rules_are_the_sums(below: Network, data: st.DataObject) -> None:
    """Protects every parameter of the rules: K and T of each pair of examples by the formulas, position by position."""
    op = data.draw(attentions(below.first.spatial))
    below = below >> _conv >> nn.relu()
    x1, x2 = random_inputs(below, 2), random_inputs(below, 1, seed=1)
    written = Written(op, 8, below.first.spatial)
    cross = {label: flat(value) for label, value in rules(below, x1, x2).items()}
    v1, v2 = (flat(rules(below, x)["nngp"]) for x in (x1, x2))
    found = {label: flat(value) for label, value in rules(below >> Apply(op), x1, x2).items()}
    for n in range(2):
        expected = written.kernels(cross["nngp"][n, 0], cross["ntk"][n, 0], v1[n, n], v2[0, 0])
        for label, value in zip(("nngp", "ntk"), expected, strict=True):
            assert_close(found[label][n, 0], value, "exact", scale=1e-30)


@given(st.data())
@trials(15)
def test_programs_give_the_rules(data: st.DataObject) -> None:
    """Protects the backend: whole values between loops, marginals read at every position, blocks of attention that
    repeat, poolings and filters below and above; any chunk of lanes and rows."""
    draw = data.draw
    network = draw(st.sampled_from([LINE, IMAGE, nn.input(5, 3)])) >> _conv
    op = draw(attentions(network.first.spatial))
    head = draw(st.sampled_from([nn.flatten(), nn.global_avg_pool(), nn.avg_pool(2), nn.index(), nn.identity()]))
    between = draw(st.sampled_from([nn.relu(), nn.identity(), nn.sum_pool(2, 1, "same")]))
    network = network >> between >> Apply(op) >> head
    x = random_inputs(network, 5, draw(st.integers(0, 99)))
    with small_chunks(draw(st.sampled_from([1, 300, 10**6]))):
        assert_program_agrees(network.graph(), "float64", x[:3], x[3:], "float64", "float64", draw(betweens))


@pytest.mark.parametrize("mechanism", ["softmax", "linear", "absolute", "rectified"])
def test_float32(mechanism: Any) -> None:
    """Protects the default precision where scores are of the size of one, so that rounding is not multiplied."""
    below = LINE >> _conv >> nn.layer_norm() >> nn.erf()
    for linear_scaling in (True, False) if mechanism == "linear" else (True,):
        attend = nn.self_attention(8, 4, 4, 2, linear_scaling, mechanism, embedding="added", decay="exponential")
        network = below >> attend >> nn.relu() >> nn.global_avg_pool() >> nn.dense(1)
        x = random_inputs(network, 5)
        assert_program_agrees(network.graph(), "float32", x[:3], x[3:], "float32", "float32", "self")


@pytest.mark.parametrize("linear_scaling", [True, False])
def test_repeated_attention(linear_scaling: bool) -> None:
    """Protects marginals of repeated blocks: those that attention reads whole are kept from every block."""
    mechanism = "softmax" if linear_scaling else "linear"
    block = nn.serial(nn.layer_norm(), nn.self_attention(8, 4, 4, 2, linear_scaling, mechanism), nn.erf(), _conv)  # type: ignore[arg-type]
    network = LINE >> _conv >> nn.repeat(5, block) >> nn.global_avg_pool() >> nn.dense(1)
    x = random_inputs(network, 5)
    assert_program_agrees(network.graph(), "float64", x[:3], x[3:], "float64", "float64")


def test_attention_in_tiles() -> None:
    """Protects k(x, x) in several tiles, and within another transformation."""
    network = (
        LINE >> _conv >> nn.relu() >> nn.self_attention(8, 4, 4, 2, embedding="added") >> nn.relu() >> nn.flatten()
    )
    x = random_inputs(network, 7)
    program = build(network, dtype="float64")
    expected = rules(network, x)
    with jax.enable_x64(True):
        traced = jax.jit(program)(x)
        gradient = jax.grad(lambda z: program(z, x).ntk.sum())(jnp.asarray(x))  # type: ignore[union-attr]
    assert np.isfinite(np.asarray(gradient)).all()
    tiled = program(x, memory=4000)
    for label, value in expected.items():
        assert_close(getattr(tiled, label), value, "float64")
        assert_close(getattr(traced, label), value, "float64")


def test_equal_scores_average() -> None:
    """Protects the softmax: keys of weight zero give equal weights, and attention is the mean over positions."""
    x = random_inputs(IMAGE, 3)
    attended = rules(IMAGE >> _conv >> nn.relu() >> nn.self_attention(1, 1, 1, 1, w_key_std=0.0, w_value_std=1.3), x)
    pooled = rules(IMAGE >> _conv >> nn.relu() >> nn.global_avg_pool() >> nn.dense(1, 1.3), x)
    for p, q in product(range(6), repeat=2):
        assert_close(flat(attended["nngp"])[:, :, p, q], pooled["nngp"], "exact")
        assert_close(flat(attended["ntk"])[:, :, p, q], pooled["ntk"] + pooled["nngp"], "exact")


def test_large_scores_choose() -> None:
    """Protects the softmax from overflow: with scores of a million, every position reads the one most like it."""
    x = random_inputs(LINE, 2)
    below = LINE >> nn.dense(8) >> nn.layer_norm()
    network = below >> nn.self_attention(1, 1, 1, 1, w_key_std=1e3, w_query_std=1e3)
    for label, value in rules(below, x).items():
        for found in (rules(network, x), vars(build(network)(x))):
            expected = value + 2 * rules(below, x)["nngp"] if label == "ntk" else value
            assert_close(found[label], expected, "float32")


@pytest.mark.parametrize("mechanism", ["softmax", "absolute", "rectified"])
def test_root_scaling_has_no_closed_form(mechanism: str) -> None:
    """Protects from a wrong number: the kernels are refused where the layer is written, but finite networks exist."""
    text = f"model m = input(4, 3)\n  |> self_attention(2, 3, 4, 5, false, {mechanism})"
    graph = read_network(text).graph("m")
    with pytest.raises(UnsupportedError, match="has no closed form") as caught:
        build(graph)(np.ones((2, 4, 3)))
    assert "ntc.finite" in str(caught.value)
    assert caught.value.location is not None
    assert caught.value.location.line == 2
    params = finite.init(graph, jax.random.key(0))
    assert finite.apply(graph, params, jnp.ones((2, 4, 3))).shape == (2, 4, 2)


def test_shapes_that_do_not_fit_are_refused() -> None:
    """Protects from attention without positions, and from sums of different widths."""
    with pytest.raises(ShapeError, match="no spatial axes"):
        (nn.input(3) >> nn.self_attention(1, 1, 1, 1)).graph()
    with pytest.raises(ShapeError, match="embeddings of 5 channels cannot be added"):
        (LINE >> nn.self_attention(1, 1, 1, 1, embedding="added", embedding_channels=5)).graph()
    assert (LINE >> nn.self_attention(1, 1, 1, 1, embedding="added", embedding_channels=3)).graph()


@given(st.data())
@trials(15)
def test_embeddings_have_a_covariance(data: st.DataObject) -> None:
    """Protects R: symmetric, one on the diagonal and positive for any decay, so that there are such embeddings."""
    op = data.draw(ops_of(EmbedPositions, 2).map(lambda op: replace(op, values=(), sizes=())))
    r = matrices(op.covariance((3, 4)), 0)
    assert np.array_equal(r, r.T)
    assert np.array_equal(np.diag(r), np.ones(12))
    assert np.linalg.eigvalsh(r).min() >= -1e-12


@pytest.mark.parametrize("decay", [None, "inverse", "exponential"])
def test_finite_embeddings_have_the_covariance_of_the_rule(decay: Any) -> None:
    """Protects the root of R in the forward pass, by samples of the embeddings."""
    op = ops.SelfAttention(1, 1, 1, 1, embedding="added", embedding_std=0.7, decay=decay, decay_rate=0.3)
    r = EmbedPositions(decay=decay, rate=0.3)
    with jax.enable_x64(True):
        draws = np.asarray(jax.random.normal(jax.random.key(0), (4000, 6, 2)))
        made = jax.vmap(lambda e: embedded(op, {"embedding": 0.7 * e}, jnp.zeros((1, 6, 2)), (2, 3))[0])(draws)
    samples = np.einsum("spc,sqc->spq", made, made) / 2
    assert_unbiased(samples, 0.49 * matrices(r.covariance((2, 3)), 0))
