"""Networks of `ntc.stax` that are copied and pickled: to other processes, into caches, beside results."""

from __future__ import annotations

import copy
import pickle  # noqa: TID251  # what users do
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntc import batch, stax


def tanh(x: Any) -> Any:
    """A function that has a name, as `jnp.tanh` has none that pickle finds."""
    return jnp.tanh(x)


LAYERS = {
    "Dense": (3, 1.2),
    "Index": ((slice(None), slice(0, 2)),),
    "Conv": (3, (2,)),
    "ConvTranspose": (3, (2,)),
    "ConvLocal": (3, (2,)),
    "AvgPool": ((2,),),
    "SumPool": ((2,),),
    "MaxPool": ((2,),),
    "BatchNorm": ("test",),
    "LeakyRelu": (0.1,),
    "ABRelu": (-0.1, 0.9),
    "Hermite": (2,),
    "Monomial": (2,),
    "RectifiedMonomial": (2,),
    "Polynomial": ((1.0, 2.0),),
    "Dropout": (0.5, "test"),
    "Elementwise": (tanh,),
    "ElementwiseNumerical": (tanh, 5),
    "GlobalSelfAttention": (3, 2, 2, 2),
    "FanOut": (2,),
    "ImageResize": ((-1, 8, -1), "linear"),
}
"""Arguments of layers that need some."""

FINITE = {"Softmax", "LogSoftmax"}
"""Those that have finite networks alone."""

OTHERS = {"Aggregate", "FanInSum", "FanInProd", "FanInConcat"}
"""Those that need graphs or several inputs."""

NONE = {
    "AggregateImplementation",
    "AttentionMechanism",
    "Bool",
    "Diagonal",
    "MaskedArray",
    "Padding",
    "PositionalEmbedding",
}
"""What is no layer."""

X = np.random.default_rng(0).normal(size=(3, 4, 2))


@stax.layer
def Doubled(factor: float = 2.0) -> Any:  # noqa: N802
    """A layer of one's own."""

    def kernel_fn(kernel: Any, **kwargs: Any) -> Any:
        scaled = {name: factor**2 * getattr(kernel, name) for name in ("nngp", "ntk", "cov1")}
        return kernel.replace(**scaled)

    return lambda rng, shape: (shape, ()), lambda params, x, **kwargs: factor * x, kernel_fn


def network() -> Any:
    """Branches, repetitions and a layer of one's own."""
    residual = stax.serial(stax.FanOut(2), stax.parallel(stax.Identity(), stax.Conv(3, (3,), padding="SAME")))
    block = stax.serial(stax.Relu(), residual, stax.FanInSum(), stax.Conv(3, (1,)))
    return stax.serial(
        stax.Conv(3, (2,), padding="SAME"), stax.repeat(block, 2), Doubled(3.0), stax.Flatten(), stax.Dense(1)
    )


NAMES = [name for name in stax.__all__ if name[0].isupper() and name not in NONE | {"Slice"}]


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_is_pickled(name: str) -> None:
    """Protects whoever sends a network to a worker, from any layer that cannot be sent: all constructors are here."""
    layer = getattr(stax, name)(*LAYERS.get(name, ()))
    init, apply, kernel = pickle.loads(pickle.dumps(layer))
    assert init.part is apply.part is kernel.part
    assert kernel.part is not layer[2].part
    assert repr(kernel) == repr(layer[2])
    if name in FINITE:
        assert np.array_equal(apply((), X), layer[1]((), X))
    elif name not in OTHERS | {"FanOut"}:
        get = "nngp" if name in ("ImageResize",) else "ntk"
        below, above = stax.Dense(3, b_std=0.1), (stax.Flatten(), stax.Dense(1))
        found, expected = (stax.serial(below, own, *above)[2](X, None, get) for own in ((init, apply, kernel), layer))
        assert np.array_equal(found, expected)


def test_a_network_is_the_same_after_a_call() -> None:
    """Protects caches and process pools: the same kernels, outputs and parameters, with nothing compiled in them."""
    init, apply, kernel = network()
    expected = kernel(X, None, "ntk")
    _, params = init(jax.random.key(0), X.shape)
    data = pickle.dumps((init, apply, kernel))
    assert len(data) < 4000
    again = pickle.loads(data)
    assert np.array_equal(again[2](X, None, "ntk"), expected)
    assert np.array_equal(again[1](params, X), apply(params, X))
    for copied in (copy.copy(kernel), copy.deepcopy(kernel)):
        assert np.array_equal(copied(X, None, "ntk"), expected)
    nested = copy.deepcopy({"network": (init, apply, kernel)})
    assert np.array_equal(nested["network"][2](X, None, "ntk"), expected)


def test_batched_functions_are_pickled() -> None:
    """Protects tiles that are computed elsewhere."""
    tiles = batch(stax.serial(stax.Flatten(), stax.Dense(1))[2], 2)
    assert np.array_equal(pickle.loads(pickle.dumps(tiles))(X, None, "ntk"), tiles(X, None, "ntk"))


def test_a_function_that_cannot_be_pickled_is_named() -> None:
    """Protects users from errors about the inside of the library: pickle speaks of their own function."""
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(stax.Elementwise(lambda x: jnp.tanh(2 * x)))
