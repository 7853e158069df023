"""Inputs of which positions are missing."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import ntc
from ntc import nn
from ntc.backends.reference import interpret
from ntc.errors import InputError, UnsupportedError
from ntc.frontend.layers import Layer, Network
from ntc.ir.op import Array
from ntc.passes.translate import Translate
from tests.assertions import assert_close

LENGTHS = (6, 4, 3)


def padded(width: int = 6, value: float = np.nan) -> Array:
    """Sequences of LENGTHS, with missing positions after each."""
    x = np.random.default_rng(0).normal(size=(len(LENGTHS), width, 2))
    for row, length in zip(x, LENGTHS, strict=True):
        row[length:] = value
    return x


POOLED: dict[str, Layer] = {
    "dense": nn.serial(nn.dense(8, 1.2, 0.3), nn.relu(), nn.global_avg_pool(), nn.dense(2)),
    "conv": nn.serial(nn.conv(8, 3, b_std=0.3), nn.erf(c=0.5), nn.conv(8, 3), nn.global_avg_pool()),
    "attention": nn.serial(
        nn.conv(8, 3, b_std=0.3), nn.self_attention(8, 8, 8, 2, b_std=0.2), nn.relu(), nn.global_avg_pool()
    ),
    "attention_linear": nn.serial(
        nn.dense(8, b_std=0.3), nn.self_attention(8, 8, 8, 2, False, "linear", b_std=0.2), nn.global_avg_pool()
    ),
    "normalized": nn.serial(nn.conv(8, 3, b_std=0.3), nn.layer_norm(), nn.gelu(), nn.scale(2.0), nn.global_avg_pool()),
    "residual": nn.serial(
        nn.conv(8, 3, b_std=0.3), nn.sum(nn.identity(), nn.serial(nn.relu(), nn.conv(8, 5))), nn.global_sum_pool()
    ),
}


@pytest.mark.parametrize("name", POOLED)
def test_masked_ends_are_as_if_they_were_not_there(name: str) -> None:
    """Protects every rule of masks: sequences with masked ends have the kernels of the shorter sequences."""
    x = padded()
    found = interpret(Translate(dtype="f64", between="self")((nn.input(6, 2) >> nn.mask() >> POOLED[name]).graph()), x)
    for i, m in enumerate(LENGTHS):
        own = (nn.input(m, 2) >> POOLED[name]).graph()
        expected = interpret(Translate(dtype="f64", between="diagonal")(own), x[i : i + 1, :m])
        for kernel in ("nngp", "ntk"):
            assert_close(found[kernel][i, i], expected[kernel][0], "rounding")


def network(*layers: Layer) -> Network:
    return nn.input(6, 2) >> nn.mask(7.0) >> nn.serial(*layers)


def test_a_mask_array_and_a_value_are_the_same() -> None:
    """Protects mask1 and mask2, for all three ways to call a program."""
    program = ntc.build(network(nn.conv(8, 3, b_std=0.5), nn.relu(), nn.global_avg_pool()), dtype="float64")
    x, mask = padded(value=7.0), padded(value=7.0)[..., 0] == 7.0
    filled = np.where(mask[..., None], 3.0, x)
    for expected, found in (
        (program(x), program(filled, mask1=mask)),
        (program(x, x[:2]), program(filled, filled[:2], mask1=mask, mask2=mask[:2])),
    ):
        assert_close(found.nngp, expected.nngp, "rounding")
        assert_close(found.ntk, expected.ntk, "rounding")


def test_strides_keep_the_middle_of_the_window() -> None:
    """Protects where a mask goes: with windows 2 and stride 2, an output is masked where the first of its two is."""
    x = padded(value=7.0)
    kernels = interpret(Translate(dtype="f64", between="self")(network(nn.conv(8, 2, 2, b_std=1.0)).graph()), x)
    variance = np.einsum("nnpp->np", kernels["nngp"])
    there = [[2 * p < length for p in range(3)] for length in LENGTHS]
    np.testing.assert_array_equal(variance > 0, there)


def test_errors_say_what_is_wrong() -> None:
    """Protects against masks that would not mean what is written."""
    with pytest.raises(UnsupportedError, match="first layer"):
        (nn.input(6, 2) >> nn.dense(3) >> nn.mask()).graph()
    with pytest.raises(UnsupportedError, match="another branch"):
        (nn.input(6, 2) >> nn.sum(nn.serial(nn.mask(), nn.dense(3)), nn.dense(3))).graph()
    two = nn.serial(nn.conv(3, 2, padding="valid"), nn.conv(3, 2, padding="valid"))
    with pytest.raises(UnsupportedError, match="different positions"):
        network(nn.sum(nn.conv(3, 3, padding="valid"), two)).graph()
    with pytest.raises(UnsupportedError, match="no rule for inputs with masked"):
        network(nn.concat_spatial(nn.dense(3), nn.dense(3))).graph()
    with pytest.raises(UnsupportedError, match="spatial_axes has no rule"):
        network(nn.dense(3), nn.layer_norm("all")).graph()
    program = ntc.build(nn.input(6, 2) >> nn.dense(3))
    with pytest.raises(InputError, match="the network has none"):
        program(padded(), mask1=np.zeros((3, 6), bool))
    with pytest.raises(InputError, match="true or false in shape"):
        ntc.build(network(nn.dense(3)))(padded(), mask1=np.zeros((3, 5), bool))


BRANCH = nn.serial(nn.conv(8, 3, b_std=0.3), nn.relu(), nn.global_avg_pool(), nn.dense(4))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_input_has_a_mask_of_its_own(dtype: str) -> None:
    """Protects networks of several inputs: branches that are masked, by values of their own, or not at all, have the
    kernels that they have alone, of near examples too; and the reference reads what programs read."""
    inputs = {"a": padded(), "b": padded(value=7.0)[..., ::-1] * 1.0, "c": padded(value=7.0)}
    inputs["a"][1, :4] = inputs["a"][0, :4] * (1 + 1e-5)  # near, as far as both are there
    masks = {"a": nn.mask(), "b": nn.mask(7.0), "c": nn.identity()}
    branches = {name: nn.input(6, 2, name=name) >> mask >> BRANCH for name, mask in masks.items()}
    joined = nn.sum(*branches.values())
    found = ntc.build(joined, dtype=dtype)(inputs)
    alone = [ntc.build(branch, dtype="float64")(inputs[name]) for name, branch in branches.items()]
    assert_close(found.nngp, sum(np.asarray(one.nngp) for one in alone), dtype)
    assert_close(found.ntk, sum(np.asarray(one.ntk) for one in alone), dtype)
    flat = np.concatenate([x.reshape(3, -1) for x in inputs.values()], axis=1)
    expected = interpret(Translate(dtype="f64", between="self")(joined.graph()), flat)
    assert_close(found.nngp, expected["nngp"], dtype)


def test_a_sum_is_masked_where_all_of_it_is() -> None:
    """Protects positions of which one branch has something: only where both lack it, it is missing; and finite
    networks of such, whose mean square is the variance of one layer on each."""
    x = padded(value=7.0)
    both = nn.sum(
        nn.input(6, 2, name="a") >> nn.mask(7.0) >> nn.dense(4096), nn.input(6, 2, name="b") >> nn.dense(4096)
    )
    network = both >> nn.dense(4096, b_std=1.0)
    kernels = interpret(Translate(dtype="f64", between="self")(network.graph()), np.hstack([x.reshape(3, -1)] * 2))
    variance = np.einsum("nnpp->np", kernels["nngp"])
    there = (x != 7.0).all(-1)
    expected = (x**2).mean(-1) * (1 + there) + 1.0
    assert_close(variance, expected, "rounding")
    params = ntc.finite.init(network.graph(), jax.random.key(0))
    y = ntc.finite.apply(network.graph(), params, (x, x))
    np.testing.assert_allclose((np.asarray(y) ** 2).mean(-1), variance, rtol=5 * np.sqrt(2 / 2048))


def test_joins_of_different_masks_are_refused() -> None:
    """Protects against values of which nobody knows where they are: products and sums of different masks."""
    a, b = (nn.input(6, 2, name=name) for name in "ab")
    masked = a >> nn.mask() >> nn.dense(4)
    for join, other in ((nn.product, b >> nn.dense(4)), (nn.sum, b >> nn.mask() >> nn.dense(4))):
        with pytest.raises(UnsupportedError, match="mask different positions"):
            join(masked, other).graph()
    with pytest.raises(UnsupportedError, match="first layer"):
        nn.sum(a >> nn.dense(4) >> nn.mask(), b >> nn.dense(4)).graph()
