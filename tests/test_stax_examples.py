"""Layers that read all examples at once. The oracles are their definition, and finite networks of many channels."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntc import stax
from ntc.errors import ParameterError, UnsupportedError
from tests.assertions import assert_close

X1 = np.random.default_rng(0).normal(size=(3, 4, 5, 2))
X2 = np.random.default_rng(1).normal(size=(2, 4, 5, 2)) * 3
BELOW = stax.Conv(1, (3, 3), padding="SAME", b_std=0.3)


def _own(nngp: Any) -> Any:
    """Variances (n, H, W) of covariances (n, n, H, H, W, W) of one batch."""
    return np.einsum("nnhhww->nhw", nngp)


@pytest.mark.parametrize("axis", [(0, -1), (0, 1, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("other", [None, X2], ids=["alone", "two"])
def test_layer_norm_over_examples(axis: tuple[int, ...], other: Any) -> None:
    """Protects the definition: both kernels over the roots of the mean variances of x1 and of x2."""
    with jax.enable_x64(True):
        below = BELOW[2](X1, other)
        found = stax.serial(BELOW, stax.LayerNorm(axis, eps=0.1))[2](X1, other)
        own1, own2 = (BELOW[2](x, None, "nngp") for x in (X1, X1 if other is None else other))
        over = tuple(one for one in axis if one not in (-1, 3))
        scale1, scale2 = (
            np.broadcast_to(1 / np.sqrt(_own(own).mean(over, keepdims=True) + 0.1), _own(own).shape)
            for own in (own1, own2)
        )
        for name in ("nngp", "ntk"):
            expected = np.einsum("nmhgwv,nhw,mgv->nmhgwv", getattr(below, name), scale1, scale2)
            assert_close(getattr(found, name), expected, "float64")
        assert_close(found.cov1, np.einsum("nhgwv,nhw,ngv->nhgwv", below.cov1, scale1, scale1), "float64")
        above = stax.serial(BELOW, stax.LayerNorm(axis), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(1))
        parts = stax.serial(stax.Relu(), stax.GlobalAvgPool(), stax.Dense(1))
        normal = stax.serial(BELOW, stax.LayerNorm(axis))[2](X1, other)
        assert_close(above[2](X1, other, "ntk"), parts[2](normal).ntk, "float64")


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_layer_norm_over_examples_at_finite_width(masked: bool) -> None:
    """Protects `apply_fn`, and kernels with masks: the mean of products of normalised values over channels is the
    NNGP kernel; its deviation is at most sqrt(2 / channels) at a variance near one, times 5 for all entries."""
    channels = 8192
    x = np.where(np.random.default_rng(2).random((3, 4, 5, 1)) < 0.3, np.nan, X1) if masked else X1
    constant = np.nan if masked else None
    network = stax.serial(stax.Dense(channels, b_std=0.3), stax.LayerNorm((0, 1, 2, 3)))
    _, params = network[0](jax.random.key(0), X1.shape)
    y = network[1](params, x, mask_constant=constant)
    kernel = network[2](x, None, "nngp", mask_constant=constant)
    products = jnp.einsum("nhwc,mgvc->nmhgwv", y, y) / channels
    assert_close(1 + y.mean(), 1, "float32")
    np.testing.assert_allclose(products, kernel, rtol=0, atol=5 * float(kernel.max()) * np.sqrt(2 / channels))
    assert_close(_own(np.asarray(kernel)).sum(), 60 if not masked else np.isfinite(x).all(-1).sum(), "float32")


def test_layer_norm_over_examples_with_axes_in_another_order() -> None:
    """Protects `batch_axis` and `channel_axis`; and against kernels of what has no rule."""
    axes = {"batch_axis": 1, "channel_axis": 0}
    moved = stax.serial(stax.Dense(1, **axes), stax.LayerNorm((0, 1, 2), **axes))[2](X1.transpose(3, 0, 1, 2))
    plain = stax.serial(stax.Dense(1), stax.LayerNorm((0, 1, 3)))[2](X1)
    assert_close(moved.nngp, plain.nngp, "float32")
    with pytest.raises(UnsupportedError, match="no Gaussians"):
        stax.serial(stax.Dense(1), stax.Relu(), stax.LayerNorm((0, -1)))[2](X1)
    with pytest.raises(UnsupportedError, match="axes"):
        stax.serial(stax.Dense(1), stax.LayerNorm(0))[2](X1)
    with pytest.raises(ParameterError, match="batch_axis"):
        stax.serial(stax.Dense(1), stax.LayerNorm((1, -1), batch_axis=1))[2](X1)
