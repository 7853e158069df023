"""Entries between nearly equal examples: float32 programs compute them in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ntc
from ntc import nn
from ntc.backends.jax.run.refine import NEAR, loses_digits
from ntc.compiler import lower
from ntc.ir.op import Array
from tests.strategies import trials
from tests.test_distance import DISTANCES, near

_conv = nn.serial(nn.conv(8, (3,), w_std=1.5, b_std=0.1), nn.relu())
POOLED = nn.input(8, 3) >> nn.repeat(4, _conv) >> nn.avg_pool(2) >> nn.repeat(3, _conv)
"""What no form of float32 keeps the digits of, without a readout."""

PROGRAM = ntc.build(POOLED)


def exact(x1: Array, x2: Array | None = None) -> Array:
    return np.asarray(ntc.build(POOLED, dtype="float64")(x1, x2).ntk)


def close_examples(count: int) -> Array:
    """Some examples, and neighbours of them at all distances, as float32 has them."""
    x = np.random.default_rng(0).normal(size=(count, 8, 3))
    return np.concatenate([x, *(near(x, distance) for distance in DISTANCES)]).astype(np.float32)


def error(found: Any, right: Array) -> float:
    """The largest relative one of the traces over positions."""
    traces = [np.einsum("nmpp->nm", np.asarray(x, np.float64)) for x in (found, right)]
    return float(np.abs(traces[0] / traces[1] - 1).max())


@pytest.mark.parametrize("symmetric", [True, False])
def test_digits_at_every_distance(symmetric: bool) -> None:
    """Protects what is promised of the default: within 1e-5 of float64; without it, ten times that is lost."""
    x = close_examples(2)
    other = None if symmetric else x[::-1]
    right = exact(x, other)
    assert error(PROGRAM(x, other).ntk, right) < 2e-6
    assert error(PROGRAM(x, other, refine=False).ntk, right) > 1e-5


def test_every_entry_of_a_symmetric_matrix() -> None:
    """Protects the mirror image: entries of (m, n, p', p) are those of (n, m, p, p'), positions exchanged."""
    x = close_examples(1)
    k = np.asarray(PROGRAM(x).ntk)
    np.testing.assert_array_equal(k, k.transpose(1, 0, 3, 2))
    np.testing.assert_allclose(k, exact(x), rtol=0, atol=1e-5 * np.abs(k).max())


def test_hyperparameters_reach_float64() -> None:
    """Protects kernels of other hyperparameters than those written in the network."""
    scale = nn.hyper(1.2, "w_std")
    layer = nn.serial(nn.conv(8, (3,), w_std=scale), nn.relu())
    network = nn.input(4, 3) >> layer >> nn.avg_pool(2) >> layer >> nn.global_avg_pool() >> nn.dense(1, w_std=scale)
    x = np.random.default_rng(1).normal(size=(2, 4, 3)).astype(np.float32)
    hyper = {"w_std": 1.9}
    found = ntc.build(network)(x, near(x, 1e-4), hyper=hyper).ntk
    right = ntc.build(network, dtype="float64")(x, near(x, 1e-4).astype(np.float32), hyper=hyper).ntk
    np.testing.assert_allclose(found, right, rtol=1e-6)


@trials(20)
@given(st.data())
def test_pairs_are_those_within_the_distance(data: st.DataObject) -> None:
    """Protects the search: it finds what a search by hand does."""
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    x = random.normal(size=(6, 8, 3))
    scale = data.draw(st.sampled_from([0.25, 0.9, 1.1, 4.0])) * NEAR
    other = np.concatenate([random.normal(size=(2, 8, 3)), near(x, scale)])
    assert PROGRAM._near is not None
    i, j = PROGRAM._near.find(x.astype(np.float32), other.astype(np.float32))
    norms, others = (np.linalg.norm(a.reshape(len(a), -1), axis=1) for a in (x, other))
    distances = np.linalg.norm((x[:, None] - other).reshape(len(x), len(other), -1), axis=2)
    expected = np.argwhere(distances <= NEAR * np.maximum(norms[:, None], others))
    np.testing.assert_array_equal(np.stack([i, j], 1), expected)


def test_inputs_that_are_not_numbers_are_near_to_nothing() -> None:
    """Protects kernels of NaN: they stay NaN, and the others what they are."""
    x = np.stack([np.ones((8, 3)), np.full((8, 3), np.nan), np.ones((8, 3))]).astype(np.float32)
    k = np.asarray(PROGRAM(x).ntk)
    assert np.isnan(k[1]).all()
    assert np.isfinite(k[np.ix_([0, 2], [0, 2])]).all()


@pytest.mark.parametrize(
    ("network", "wanted"),
    [
        (nn.input(8) >> nn.dense(8) >> nn.relu() >> nn.dense(1), False),
        (POOLED, True),
        (nn.input(8) >> nn.dense(8) >> nn.erf() >> nn.dense(1), False),
        (nn.input(8) >> nn.dense(8) >> nn.sign() >> nn.dense(1), True),
        (nn.input(8) >> nn.dense(8) >> nn.elu() >> nn.dense(1), True),
    ],
    ids=["distance form", "pooled", "smooth", "sign", "elu"],
)
def test_where_digits_are_lost(network: Any, wanted: bool) -> None:
    """Protects speed: float64 is for graphs that lose digits, and never for those of float64."""
    assert loses_digits(lower(network.graph())) == wanted
    assert not loses_digits(lower(network.graph(), dtype="float64"))
