"""Layers of one's own whose values have other shapes than their inputs.

The oracle is the network of the layers above, on the inputs that the layer makes.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntc import Kernel, stax
from ntc.errors import InputError
from tests.assertions import assert_close

X1 = np.random.default_rng(0).normal(size=(3, 4))
X2 = np.random.default_rng(1).normal(size=(2, 4))
IMAGES = np.random.default_rng(2).normal(size=(2, 5, 4, 3))


def _changed(kernel: Kernel, function: Any) -> Kernel:
    """A function of all matrices."""
    names = ("nngp", "ntk", "cov1", "cov2")
    return kernel.replace(
        **{name: function(x) for name in names for x in [getattr(kernel, name)] if x is not None},
    )


@stax.layer
def Repeated(count: int) -> Any:  # noqa: N802
    """The same channels several times."""

    def init_fn(rng: Any, shape: Any) -> Any:
        return (*shape[:-1], count * shape[-1]), ()

    def apply_fn(params: Any, x: Any, **kwargs: Any) -> Any:
        return jnp.concatenate([x] * count, -1)

    return init_fn, apply_fn, lambda kernel, **kwargs: kernel


@stax.layer
def Scales(count: int) -> Any:  # noqa: N802
    """A new axis: the value times 1, 2, ..."""
    factors = jnp.arange(1.0, count + 1)

    def init_fn(rng: Any, shape: Any) -> Any:
        return (shape[0], count, shape[1]), ()

    def apply_fn(params: Any, x: Any, **kwargs: Any) -> Any:
        return x[:, None] * factors[:, None]

    def kernel_fn(kernel: Kernel, **kwargs: Any) -> Kernel:
        return _changed(kernel, lambda x: x[..., None, None] * jnp.outer(factors, factors))

    return init_fn, apply_fn, kernel_fn


@stax.layer
def Halved() -> Any:  # noqa: N802
    """Every other row of images."""

    def init_fn(rng: Any, shape: Any) -> Any:
        return (shape[0], (shape[1] + 1) // 2, *shape[2:]), ()

    def apply_fn(params: Any, x: Any, **kwargs: Any) -> Any:
        return x[:, ::2]

    def kernel_fn(kernel: Kernel, **kwargs: Any) -> Kernel:
        return _changed(kernel, lambda x: x[..., ::2, ::2, :, :])

    return init_fn, apply_fn, kernel_fn


@stax.layer
def Twice() -> Any:  # noqa: N802
    """Two results, with other channels."""

    def init_fn(rng: Any, shape: Any) -> Any:
        return ((*shape[:-1], 5 * shape[-1]), shape), ((), ())

    def apply_fn(params: Any, x: Any, **kwargs: Any) -> Any:
        return jnp.concatenate([x] * 5, -1), x

    return init_fn, apply_fn, lambda kernel, **kwargs: (kernel, kernel)


@pytest.mark.parametrize("other", [None, X2], ids=["alone", "two"])
def test_channels_are_those_of_init(other: Any) -> None:
    """Protects the standard parameterisation, whose NTK is that of all channels, and concatenation, which weighs by
    them. For a dense layer above of weights 1, theta' = channels * k + theta."""
    with jax.enable_x64(True):
        below = stax.serial(stax.Dense(64, parameterization="standard"), stax.Relu())
        kernel = below[2](X1, other)
        dense = stax.Dense(1, parameterization="standard")
        found = stax.serial(below, Repeated(3), dense)[2](X1, other)
        assert_close(found.ntk, 3 * 64 * kernel.nngp + kernel.ntk, "float64")
        two = stax.serial(stax.Dense(8), stax.FanOut(2), stax.parallel(Repeated(3), stax.Dense(8)), stax.FanInConcat())
        first, second = (stax.serial(stax.Dense(8), layer)[2](X1, other) for layer in (Repeated(3), stax.Dense(8)))
        assert_close(two[2](X1, other).nngp, (3 * first.nngp + second.nngp) / 4, "float64")
        assert first.shape1 == (3, 24)
        parts = stax.serial(stax.Dense(8), Twice())[2](X1, other)
        assert [part.shape1 for part in parts] == [(3, 40), (3, 8)]


def test_axes_and_positions_are_those_of_init() -> None:
    """Protects layers that add an axis or take positions away: finite networks and kernels of what they make."""
    above = stax.serial(stax.Conv(4, (2,), padding="SAME", b_std=0.1), stax.Relu(), stax.GlobalAvgPool())
    own = stax.serial(Scales(3), above)
    made = X1[:, None] * np.arange(1.0, 4)[:, None]
    assert_close(own[2](X1, None, "nngp"), above[2](made, None, "nngp"), "float32")
    key = jax.random.key(0)
    shape, params = own[0](key, X1.shape)
    assert shape == (3, 4)
    assert own[1](params, X1).shape == shape
    above = stax.serial(stax.Conv(4, (2, 2), padding="SAME"), stax.Relu(), stax.Flatten())
    kernel = Halved()[2](IMAGES)
    assert kernel.shape1 == kernel.shape2 == (2, 3, 4, 3)
    assert_close(stax.serial(Halved(), above)[2](IMAGES, None, "ntk"), above[2](IMAGES[:, ::2], None, "ntk"), "float32")


def test_shapes_that_do_not_fit_are_refused() -> None:
    """Protects against kernels with the shapes of something else."""

    @stax.layer
    def Wrong() -> Any:  # noqa: N802
        return (lambda rng, shape: ((shape,) * 3, ())), None, lambda kernel, **kwargs: (kernel, kernel)

    with pytest.raises(InputError, match="Wrong: its init_fn gives shape"):
        Wrong()[2](X1)
