"""Layers of `ntc.stax` that pick, move or sum positions: finite layers as JAX has them, kernels as of their outputs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntc import stax
from ntc.errors import ShapeError, UnsupportedError
from ntc.ir.op import Array
from tests.assertions import assert_close

RANDOM = np.random.default_rng(5)
X1, X2 = (RANDOM.normal(size=(n, 4, 3, 2)).astype(np.float32) for n in (5, 5))
BOTH = ((1, 2), (0, 1))
DOTS: dict[str, tuple[str, tuple[int, ...], Any, tuple[int, int]]] = {
    "several axes": ("rhs", (4, 3, 5), (BOTH, ((), ())), (0, 1)),
    "several axes, in another order, on the left": ("lhs", (5, 3, 4), (((1, 2), (2, 1)), ((), ())), (1, 2)),
    "one axis, and one of positions together": ("rhs", (3, 4, 2), (((2,), (0,)), ((1,), (1,))), (1, 2)),
    "weights of positions": ("lhs", (4,), (((), ()), ((0,), (1,))), (1, 3)),
    "copies": ("rhs", (2,), (((), ()), ((), ())), (0, 3)),
    "all of an axis": ("rhs", (3,), (((2,), (0,)), ((), ())), (0, 2)),
    "a matrix for every example": ("rhs", (4, 2, 5), (((1,), (0,)), ((0,), (2,))), (0, 2)),
    "positions of every example": ("lhs", (4, 5, 3), (((), ()), ((0, 2, 1), (1, 2, 0))), (2, 3)),
    "a number": ("lhs", (), (((), ()), ((), ())), (0, 3)),
}
INDICES = {
    "examples": (stax.Slice[::2], (0, 3)),
    "examples, rows, a column": (stax.Slice[1:, ::-2, 0], (0, 2)),
    "a row": (stax.Slice[:, -1], (0, 2)),
    "a column, and rows turned round": (stax.Slice[..., ::-1, 1, :], (0, 2)),
    "one position, of some examples": (stax.Slice[:3, 1, 2], (0, 1)),
    "nothing": (stax.Slice[...], (0, 3)),
}


def gram(first: Any, second: Any, examples: int, channels: int) -> Array:
    """The kernel between two batches of values, which have examples and channels along these axes."""
    a, b = (np.moveaxis(np.asarray(x, np.float64), (examples, channels), (0, -1)) for x in (first, second))
    rank = a.ndim - 2
    products = np.tensordot(a, b, (-1, -1)) / a.shape[-1]
    order = [0, rank + 1, *(axis + side for axis in range(1, rank + 1) for side in (0, rank + 1))]
    return products.transpose(order)


@pytest.mark.parametrize("name", DOTS)
def test_products_with_constants(name: str) -> None:
    """Protects the axes of `lax.dot_general`, where channels and examples end up, and the kernel of every product."""
    side, shape, numbers, (examples, channels) = DOTS[name]
    constant = RANDOM.normal(size=shape).astype(np.float32)
    init_fn, apply_fn, kernel_fn = stax.DotGeneral(**{side: constant}, dimension_numbers=numbers)
    high = jax.lax.Precision.HIGHEST
    operands = [(constant, x) if side == "lhs" else (x, constant) for x in (X1, X2)]
    y1, y2 = (jax.lax.dot_general(*map(jnp.asarray, pair), numbers, high) for pair in operands)
    assert init_fn(jax.random.PRNGKey(0), X1.shape)[0] == y1.shape
    assert_close(apply_fn((), jnp.asarray(X1)), y1, "float32")
    kernel = kernel_fn(X1, X2)
    assert_close(kernel.nngp, gram(y1, y2, examples, channels), "float32")
    assert (kernel.shape1, kernel.batch_axis, kernel.channel_axis) == (y1.shape, examples, channels)


@pytest.mark.parametrize("name", INDICES)
def test_indices_are_those_of_numpy(name: str) -> None:
    """Protects whole numbers, slices of either direction and slices of examples, with the layers below."""
    index, (examples, channels) = INDICES[name]
    init_fn, apply_fn, kernel_fn = stax.Index(index)
    y1, y2 = X1[index], X2[index]
    assert init_fn(jax.random.PRNGKey(0), X1.shape)[0] == y1.shape
    np.testing.assert_array_equal(apply_fn((), jnp.asarray(X1)), y1)
    kernel = kernel_fn(X1, X2)
    assert_close(kernel.nngp, gram(y1, y2, examples, channels), "float32")
    assert kernel.shape1 == y1.shape
    assert kernel.cov1.shape[0] == len(y1)
    below = stax.serial(stax.Conv(3, (2, 2), padding="SAME"), stax.Relu())
    found = stax.serial(below, stax.Index(index), stax.Flatten(), stax.Dense(1))[2](X1, X2, "ntk")
    whole = below[2](X1, X2)
    again = stax.serial(stax.Index(index), stax.Flatten(), stax.Dense(1))[2](whole).ntk
    assert_close(found, again, "float32")


def masked(x: Array, seed: int) -> Array:
    there = np.random.default_rng(seed).random(x.shape[:-1]) < 0.6
    return np.where(there[..., None], x, np.float32(9))


@pytest.mark.parametrize(
    "layer",
    [
        stax.ImageResize((-1, 2, 5, -1), "linear"),
        stax.ImageResize((-1, 7, 2, -1), "nearest"),
        stax.DotGeneral(rhs=RANDOM.normal(size=(3, 4, 2)) * [1, 0], dimension_numbers=(((2,), (0,)), ((1,), (1,)))),
        stax.Index(stax.Slice[::2, ::-1, 1:]),
    ],
    ids=["resized", "nearest", "product", "index"],
)
def test_masks_move_with_positions(layer: Any) -> None:
    """Protects masks through layers that read several positions: an output is masked if all that it reads is. Biases
    of the layer above show where it is; what has one random layer has the NTK of any of its finite networks."""
    x1, x2 = masked(X1, 0), masked(X2, 1)
    axes = {"batch_axis": 1, "channel_axis": 2} if layer[2].part.name == "DotGeneral" else {}
    net = stax.serial(layer, stax.Dense(4, 1.3, 0.7, **axes), stax.GlobalAvgPool(**axes))
    _, apply_fn, kernel_fn = net
    params = net[0](jax.random.PRNGKey(1), x1.shape)[1]
    wide = kernel_fn(x1, x2, "ntk", mask_constant=9.0)
    first, second = (
        jax.jacobian(lambda p, x=x: apply_fn(p, jnp.asarray(x), mask_constant=9.0)[..., 0])(params) for x in (x1, x2)
    )
    flat = [
        np.concatenate([np.reshape(leaf, (len(leaf), -1)) for leaf in jax.tree.leaves(own)], 1)
        for own in (first, second)
    ]
    assert_close(wide, flat[0] @ flat[1].T, "float32")


def test_what_is_not_of_positions_is_refused() -> None:
    """Protects axes that kernels do not have."""
    with pytest.raises(UnsupportedError, match="axis of channels"):
        stax.DotGeneral(rhs=np.ones((2,)), dimension_numbers=(((3,), (0,)), ((), ())))[2](X1)
    with pytest.raises(UnsupportedError, match="one example"):
        stax.Index(0)[2](X1)
    with pytest.raises(ShapeError, match="meet"):
        stax.DotGeneral(rhs=np.ones((5,)), dimension_numbers=(((1,), (0,)), ((), ())))[2](X1)
    halves = stax.parallel(stax.Index(stax.Slice[:2]), stax.Index(stax.Slice[2:4]))
    with pytest.raises(UnsupportedError, match="different examples"):
        stax.serial(stax.Dense(3), stax.FanOut(2), halves, stax.FanInSum())[2](X1)
