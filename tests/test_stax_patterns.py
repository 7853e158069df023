"""Graphs of examples in `ntc.stax`: which layers read them, and what holds without."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ntc import stax
from ntc.ir.op import Array
from tests.assertions import assert_close

RANDOM = np.random.default_rng(3)
X1, X2 = (RANDOM.normal(size=(n, 3, 2, 4)).astype(np.float32) for n in (3, 2))
P1, P2 = (RANDOM.normal(size=(n, 3, 2, 3, 2)).astype(np.float32) for n in (3, 2))


def gram(first: Array, second: Array) -> Array:
    """The kernel of inputs (n, rows, columns, channels) as `ntc.stax` has it."""
    return np.einsum("nhwc,mHWc->nmhHwW", first, second) / first.shape[-1]


def aggregated(x: Array, pattern: Array) -> Array:
    return np.einsum("nhwHW,nhwc->nHWc", pattern, x)


def test_networks_without_aggregate_ignore_patterns() -> None:
    """Protects that one call serves networks with and without `Aggregate`."""
    kernel_fn = stax.serial(stax.Conv(4, (2, 2)), stax.Relu(), stax.Flatten())[2]
    for get in ("ntk", None):
        found = kernel_fn(X1, X2, get, pattern=(P1, P2))
        wanted = kernel_fn(X1, X2, get)
        np.testing.assert_array_equal(*((x if get else x.ntk) for x in (found, wanted)))


@pytest.mark.parametrize("given", ["both", "first", "none"])
def test_without_a_pattern_an_aggregate_is_the_identity(given: str) -> None:
    """Protects patterns of one side, as `pattern=(p1, None)`: without one, every vertex is its own neighbour."""
    first = P1 if given != "none" else None
    second = P2 if given == "both" else None
    _, apply_fn, kernel_fn = stax.repeat(stax.Aggregate(), 2)
    y1, y2 = X1, X2
    for _ in range(2):
        y1 = y1 if first is None else aggregated(y1, first)
        y2 = y2 if second is None else aggregated(y2, second)
    pattern = None if given == "none" else (first, second)
    kernel = kernel_fn(X1, X2, pattern=pattern)
    assert_close(kernel.nngp, gram(y1, y2), "float32")
    assert_close(kernel.cov2, np.einsum("nn...->n...", gram(y2, y2)), "float32")
    assert_close(apply_fn((), X1, pattern=first), y1, "float32")


@pytest.mark.parametrize(
    ("axes", "rule", "shape"),
    [((2, 1), "nhwHW,nhwc->nHWc", (3, 2, 3, 2)), ((), "n,nhwc->nhwc", ()), (2, "nwW,nhwc->nhWc", (2, 2))],
)
def test_axes_of_vertices_are_in_the_order_of_the_array(axes: Any, rule: str, shape: tuple[int, ...]) -> None:
    """Protects the shape of a pattern however its axes are named; along no axis it scales examples."""
    p1, p2 = (RANDOM.normal(size=(n, *shape)).astype(np.float32) for n in (3, 2))
    _, apply_fn, kernel_fn = stax.Aggregate(axes)
    y1, y2 = np.einsum(rule, p1, X1), np.einsum(rule, p2, X2)
    assert_close(apply_fn((), jnp.asarray(X1), pattern=p1), y1, "float32")
    assert_close(kernel_fn(X1, X2, "nngp", pattern=(p1, p2)), gram(y1, y2), "float32")
    top = stax.serial(stax.Conv(8, (2, 1), padding="SAME"), stax.Relu(), stax.Aggregate(()), stax.Dense(1))[2]
    scales = RANDOM.normal(size=3).astype(np.float32)
    wanted = top(X1, None, "nngp") * np.multiply.outer(scales, scales)[:, :, None, None, None, None]
    assert_close(top(X1, None, "nngp", pattern=(scales, scales)), wanted, "float32")
