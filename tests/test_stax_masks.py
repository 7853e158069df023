"""Masks of `ntc.stax`: constants that are traced, and what goes on from kernels of masked inputs."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
import pytest

from ntc import Kernel, stax
from ntc.errors import InputError, UnsupportedError
from tests.assertions import assert_close

RANDOM = np.random.default_rng(0)
SEQUENCES1 = 3 * RANDOM.normal(size=(3, 5, 2))
SEQUENCES2 = 3 * RANDOM.normal(size=(2, 5, 2))
NETWORK = stax.serial(stax.Conv(4, (3,), padding="SAME", b_std=0.1), stax.Erf(), stax.GlobalAvgPool(), stax.Dense(1))
ATTENTION = stax.serial(stax.GlobalSelfAttention(8, n_chan_key=8, n_chan_val=2, n_heads=2), stax.Flatten())


def sequences(constant: float, dtype: Any) -> list[Any]:
    """Two batches, of which some positions and one channel are missing if the type has the constant."""
    batches = [SEQUENCES1.astype(dtype), SEQUENCES2.astype(dtype)]
    for at, x in enumerate(batches):
        if constant >= 0 or np.isnan(constant):
            x[0, 3 + at :] = constant
            x[1, 1, 0] = constant
    return batches


@pytest.mark.parametrize(
    ("constant", "dtype", "network"),
    [
        (0.1, "float32", NETWORK),
        (np.nan, "float32", ATTENTION),
        (7, "int32", NETWORK),
        (-1, "uint8", ATTENTION),
    ],
)
def test_a_traced_constant_is_as_a_known_one(constant: float, dtype: str, network: Any) -> None:
    """Protects `jax.jit(kernel_fn)(x1, x2, mask_constant=c)` and finite networks: numbers are those without jit."""
    x1, x2 = sequences(constant, dtype)
    init_fn, apply_fn, kernel_fn = network
    get = ("nngp", "ntk")
    wanted = kernel_fn(x1, x2, get, mask_constant=constant)
    found = jax.jit(kernel_fn, static_argnames="get")(x1, x2, get, mask_constant=constant)
    for one, other in zip(found, wanted, strict=True):
        assert_close(one, other, "float32")
    _, params = init_fn(jax.random.key(0), x1.shape)
    applied = jax.jit(apply_fn)(params, x1, mask_constant=constant)
    assert_close(applied, apply_fn(params, x1, mask_constant=constant), "float32")


def test_gradients_and_masks_of_a_traced_constant() -> None:
    """Protects derivatives by the inputs, which are zero where something is missing, and the masks of a Kernel."""
    x1, x2 = sequences(0.1, "float32")

    def total(x: Any, constant: Any) -> Any:
        return NETWORK[2](x, x2, "ntk", mask_constant=constant).sum()

    wanted = jax.grad(total)(x1, 0.1)
    assert not wanted[0, 3:].any()
    assert wanted[0, :3].all()
    assert_close(jax.jit(jax.grad(total))(x1, 0.1), wanted, "float32")
    kernel = jax.jit(partial(stax.Dense(4)[2], x1, x2))(mask_constant=0.1)
    np.testing.assert_array_equal(kernel.mask1[..., 0], (x1 == np.float32(0.1)).all(-1))
    np.testing.assert_array_equal(kernel.mask2[..., 0], (x2 == np.float32(0.1)).all(-1))


def test_what_is_no_number_is_not_missing() -> None:
    """Protects against NaN and infinity in data, which a traced constant must not take for what it marks."""
    x = SEQUENCES1.astype("float32")
    x[0, 0, 0], x[1, 0, 0], x[2, 2] = np.nan, np.inf, 10
    found = jax.jit(partial(NETWORK[2], x, get="ntk"))(mask_constant=10.0)
    wanted = NETWORK[2](x, get="ntk", mask_constant=10)
    np.testing.assert_array_equal(np.isfinite(found), np.diag([False, False, True]))
    assert_close(found[2, 2], wanted[2, 2], "float32")


def test_whole_numbers_are_compared_as_real_ones() -> None:
    """Protects finite networks of pixels: 0.5 is not 0, and -1 is not 255."""
    init_fn, apply_fn, _ = stax.serial(stax.Flatten(), stax.Dense(3))
    x = np.array([[[0, 255], [3, 4]]], np.uint8)
    _, params = init_fn(jax.random.key(0), x.shape)
    for constant in (0.5, -1.0):
        assert_close(apply_fn(params, x, mask_constant=constant), apply_fn(params, x), "float32")


def test_infinity_marks_what_is_missing() -> None:
    """Protects constants that are infinite."""
    x = SEQUENCES1.astype("float32")
    wanted = NETWORK[2](np.where(x == x[0, 4], np.nan, x), get="ntk", mask_constant=np.nan)
    assert_close(NETWORK[2](np.where(x == x[0, 4], np.inf, x), get="ntk", mask_constant=np.inf), wanted, "float32")


def test_constants_that_are_no_numbers_are_refused() -> None:
    """Protects against a raw error of JAX."""
    with pytest.raises(InputError, match="mask_constant should be one number"):
        NETWORK[2](SEQUENCES1, get="ntk", mask_constant=np.zeros(3))
    with pytest.raises(InputError, match="mask_constant should be one number"):
        NETWORK[2](SEQUENCES1, get="ntk", mask_constant="zero")


@stax.layer
@stax.supports_masking(remask_kernel=True)
def Halved() -> Any:  # noqa: N802
    """Every other position, times two."""

    def init_fn(rng: Any, shape: Any) -> Any:
        return (shape[0], (shape[1] + 1) // 2, shape[2]), ()

    def apply_fn(params: Any, x: Any, mask: Any = None, **kwargs: Any) -> Any:
        assert mask is None or mask.shape == (*x.shape[:2], 1)
        return 2 * x[:, ::2]

    def kernel_fn(kernel: Kernel, **kwargs: Any) -> Kernel:
        found = {name: getattr(kernel, name) for name in ("nngp", "ntk", "cov1", "cov2")}
        return kernel.replace(**{name: 4 * x[..., ::2, ::2] for name, x in found.items() if x is not None})

    return init_fn, apply_fn, kernel_fn, lambda mask, shape: mask[:, ::2]


ABOVE = stax.serial(stax.Relu(), stax.Conv(5, (2,), padding="SAME"), stax.GlobalAvgPool(), stax.Dense(1))


@pytest.mark.parametrize("alone", [True, False])
def test_masked_kernels_go_on(alone: bool) -> None:
    """Protects composed networks on sequences of different length: they are the network in one piece, also
    after strides, and masks of a Kernel are those of its positions."""
    x1, x2 = sequences(9.0, "float32")
    other = None if alone else x2
    conv = stax.Conv(4, (2,), strides=(2,), padding="VALID", b_std=0.3)
    below = conv[2](x1, other, mask_constant=9.0)
    np.testing.assert_array_equal(below.mask1[..., 0], (x1[:, :-1:2] == 9).all(-1))
    assert (below.mask2 is None) == alone
    found = ABOVE[2](below)
    wanted = stax.serial(conv, ABOVE)[2](x1, other, mask_constant=9.0)
    assert found.mask1 is None
    for name in ("nngp", "ntk", "cov1"):
        assert_close(getattr(found, name), getattr(wanted, name), "float32")
    composed = jax.jit(lambda x, y, c: ABOVE[2](conv[2](x, y, mask_constant=c)).ntk)(x1, other, 9.0)
    assert_close(composed, wanted.ntk, "float32")


def test_layers_of_ones_own_follow_masks() -> None:
    """Protects `supports_masking`: kernels and finite networks are those of the same layer made of a convolution, whose
    one tap at every other position has the weight 2; a layer that says nothing of masks is refused."""
    x1, x2 = sequences(9.0, "float32")
    below = stax.Conv(4, (2,), padding="SAME", b_std=0.3)
    own = stax.serial(below, Halved(), ABOVE)
    known = stax.serial(stax.Conv(4, (2,), padding="SAME", W_std=2.0, b_std=0.6), stax.AvgPool((1,), (2,)), ABOVE)
    assert_close(own[2](x1, x2, "nngp", mask_constant=9.0), known[2](x1, x2, "nngp", mask_constant=9.0), "float32")
    _, params = own[0](jax.random.key(0), x1.shape)
    found = own[1](params, x1, mask_constant=9.0)
    assert_close(found, known[1](params, x1, mask_constant=9.0), "float32")
    silent = stax.layer(lambda: (lambda rng, shape: (shape, ()), lambda params, x, **k: x, lambda k, **others: k))()
    for refused in (
        lambda: stax.serial(below, silent)[2](x1, mask_constant=9.0),
        lambda: stax.serial(below, silent)[1]([params[0], ()], x1, mask_constant=9.0),
    ):
        with pytest.raises(UnsupportedError, match="says nothing of masks"):
            refused()


def test_kernels_are_masked_by_hand() -> None:
    """Protects Kernel.mask: zero where one of both positions is missing, whatever the order of axes."""
    images = RANDOM.normal(size=(2, 3, 4, 2)).astype("float32")
    missing = np.zeros((2, 3, 4, 1), bool)
    missing[0, 1, 2:] = missing[1, 2] = True
    conv = stax.Conv(4, (2, 2), padding="SAME")[2]
    kernel = conv(np.where(missing, 0, images))
    wanted = conv(np.where(missing, 5, images), mask_constant=5.0)
    own = conv(np.where(missing, 0, images), diagonal_spatial=True)
    for found in (kernel.mask(missing, None), kernel.reverse().mask(missing, missing).reverse()):
        assert_close(found.nngp, wanted.nngp, "float32")
        assert_close(found.cov1, wanted.cov1, "float32")
        np.testing.assert_array_equal(found.mask1, wanted.mask1)
    assert_close(own.mask(missing, None).nngp, np.einsum("nmaabb->nmab", wanted.nngp), "float32")
    with pytest.raises(InputError, match="a mask of shape"):
        kernel.mask(missing[:, :2], None)


def test_masked_arrays_of_users() -> None:
    """Protects `unmask_fn` of functions that return `MaskedArray`."""
    found = stax.unmask_fn(lambda x: (stax.MaskedArray(x, x > 2), x, stax.MaskedArray(x)))(np.arange(4.0))
    np.testing.assert_array_equal(found[0], [0, 1, 2, 0])
    np.testing.assert_array_equal(found[1], found[2])


def test_several_inputs_are_masked_each() -> None:
    """Protects networks of several masked inputs: kernels, their masks and finite networks are those of each."""
    pairs = [(sequences(9.0, "float32")[i], 2 * sequences(4.5, "float32")[i][:, :4]) for i in (0, 1)]
    layers = NETWORK, stax.serial(stax.Conv(3, (2,)), stax.Relu())
    several = stax.parallel(*layers)
    kernels = several[2](*pairs, mask_constant=9.0)
    _, params = several[0](jax.random.key(0), (pairs[0][0].shape, pairs[0][1].shape))
    outputs = several[1](params, pairs[0], mask_constant=9.0)
    for number, layer in enumerate(layers):
        wanted = layer[2](*(pair[number] for pair in pairs), mask_constant=9.0)
        assert_close(kernels[number].ntk, wanted.ntk, "float32")
        for name in ("mask1", "mask2"):
            found, expected = getattr(kernels[number], name), getattr(wanted, name)
            assert found is expected is None or np.array_equal(found, expected)
        y = layer[1](params[number], pairs[0][number], mask_constant=9.0)
        assert_close(outputs[number], y, "float32")
    joined = stax.serial(
        stax.parallel(NETWORK, stax.serial(layers[1], stax.GlobalSumPool(), stax.Dense(1))), stax.FanInSum()
    )
    found = joined[2](*pairs, "nngp", mask_constant=9.0)
    assert found.shape == (3, 2)
    assert np.isfinite(found).all()
