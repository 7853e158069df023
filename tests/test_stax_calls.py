"""How `kernel_fn` of `ntc.stax` may be called, and what a Kernel offers to scripts."""

from __future__ import annotations

from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntc
from ntc import Kernel, stax
from ntc.errors import InputError, ParameterError, UnsupportedError
from tests.assertions import assert_close

X1 = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
X2 = np.random.default_rng(1).normal(size=(2, 4)).astype("float32")
NETWORK = stax.serial(stax.Dense(4), stax.Relu(), stax.Dense(1))
PAIR = stax.serial(stax.parallel(stax.Dense(3), stax.Dense(3)), stax.FanInSum())


@pytest.mark.parametrize("kernel_fn", [NETWORK[2], ntc.batch(NETWORK[2], 2)], ids=["whole", "in tiles"])
def test_names_in_any_case(kernel_fn: Any) -> None:
    """Protects listings that ask for NTK: fields are named as they were asked for; and both names of x1."""
    wanted = NETWORK[2](X1, X2)
    found = kernel_fn(X1, X2, ("NTK", "nngp", "Cov1"))
    assert found._fields == ("NTK", "nngp", "Cov1")
    for one, name in zip(found, ("ntk", "nngp", "cov1"), strict=True):
        assert_close(one, getattr(wanted, name), "float32")
    assert_close(kernel_fn(x1_or_kernel=X1, x2=X2, get="NTK"), wanted.ntk, "float32")
    with pytest.raises(InputError, match="x1_or_kernel"):
        kernel_fn(x2=X2)
    with pytest.raises(ParameterError, match="field of a Kernel"):
        NETWORK[2](X1, X2, ("ntk", 3))


def test_variances_of_all_pairs() -> None:
    """Protects `diagonal_batch=False`, whose cov1 and cov2 are the kernels of x1 and of x2."""
    for other in (None, X2):
        found = NETWORK[2](X1, other, diagonal_batch=False)
        assert_close(found.cov1, NETWORK[2](X1, None, "nngp"), "float32")
        assert (found.cov2 is None) == (other is None)
        if other is not None:
            assert_close(found.cov2, NETWORK[2](X2, None, "nngp"), "float32")
        assert not found.diagonal_batch
    own = PAIR[2]((X1, X1), diagonal_batch=False)
    assert own.cov1.shape == (3, 3)


def test_inputs_that_are_not_given_are_those_of_x1() -> None:
    """Protects networks of several inputs, of which x2 has none or some."""
    x1 = (X1, 2 * X1)
    wanted = PAIR[2](x1)
    for found in (PAIR[2](x1, (None, None)), jax.jit(PAIR[2])(x1, (None, None))):
        assert found.x1_is_x2
        assert_close(found.ntk, wanted.ntk, "float32")
    assert_close(ntc.batch(PAIR[2], 2)(x1, (None, None), "ntk"), wanted.ntk, "float32")
    assert_close(PAIR[2](x1, (None, 3 * X1), "ntk"), PAIR[2](x1, (X1, 3 * X1), "ntk"), "float32")
    params = PAIR[0](jax.random.key(0), ((3, 4), (3, 4)))[1]
    empirical = ntc.empirical_ntk_fn(PAIR[1])
    assert_close(empirical(x1, (None, None), params), empirical(x1, None, params), "float32")


def test_axes_of_outputs_may_be_lists() -> None:
    """Protects scripts that name the axes of several outputs in a list, as the peer's layers return them."""
    init_fn, apply_fn, _ = stax.serial(stax.FanOut(2), stax.parallel(stax.Dense(2), stax.Dense(3)))
    _, params = init_fn(jax.random.key(0), X1.shape)
    wanted = ntc.empirical_ntk_fn(apply_fn)(X1, X2, params)
    found = ntc.empirical_ntk_fn(apply_fn, vmap_axes=(0, [0, 0], {}))(X1, X2, params)
    for one, other in zip(found, wanted, strict=True):
        assert_close(one, other, "float32")


def test_layers_of_ones_own_see_no_ntk_that_nobody_wants() -> None:
    """Protects kernels without an NTK: with get="nngp" there is none to pass on."""

    @stax.layer
    def Distances() -> Any:  # noqa: N802
        def kernel_fn(kernel: Kernel, **kwargs: Any) -> Kernel:
            if kernel.ntk is not None:
                raise ValueError("there is no NTK")
            cov2 = kernel.cov1 if kernel.cov2 is None else kernel.cov2
            return kernel.replace(nngp=jnp.exp(2 * kernel.nngp - kernel.cov1[:, None] - cov2[None, :]))

        return lambda rng, shape: (shape, ()), None, kernel_fn

    assert_close(Distances()[2](X1, X2, "nngp"), np.exp(-((X1[:, None] - X2) ** 2).mean(-1)), "float32")
    with pytest.raises(ValueError, match="there is no NTK"):
        Distances()[2](X1, X2)


def test_patterns_end_below_layers_of_ones_own() -> None:
    """Protects Aggregate below a layer of one's own, and says that it cannot be above."""
    x = np.random.default_rng(2).normal(size=(2, 3, 4)).astype("float32")
    pattern = np.ones((2, 3, 3))
    own = stax.layer(lambda: (lambda rng, shape: (shape, ()), lambda params, x, **k: x, lambda k, **others: k))()
    below, above = (stax.serial(stax.Dense(2), layer) for layer in (stax.Aggregate(), own))
    found = stax.serial(below, own, stax.Flatten())[2](x, None, "nngp", pattern=(pattern, pattern))
    wanted = stax.serial(below, stax.Flatten())[2](x, None, "nngp", pattern=(pattern, pattern))
    assert_close(found, wanted, "float32")
    with pytest.raises(UnsupportedError, match="put Aggregate below"):
        stax.serial(above, stax.Aggregate())[2](x, None, "nngp", pattern=(pattern, pattern))


FACTORS = np.random.default_rng(3).normal(size=(3, 4, 5))


@pytest.mark.parametrize(
    ("is_lhs", "numbers", "first", "second"),
    [
        (False, (((1,), (0,)), ((), ())), FACTORS[0], None),
        (True, (((1,), (1,)), ((0,), (0,))), FACTORS, FACTORS[:2] ** 2),
        (False, (((1, 2), (0, 1)), ((), ())), FACTORS[0], FACTORS[1]),
        (True, (((2,), (2,)), ((1,), (1,))), FACTORS, None),
    ],
    ids=["one axis", "an array for each example", "all axes", "paired"],
)
def test_kernels_of_products(is_lhs: bool, numbers: Any, first: Any, second: Any) -> None:
    """Protects Kernel.dot_general: it is the Kernel of the products of the values, written out here."""
    values = [np.random.default_rng(seed).normal(size=(n, 4, 5, 2)) for seed, n in ((5, 3), (6, 2))]
    with jax.enable_x64(True):
        kernel = _kernel(*values, 0, 3)
        products = []
        for x, factor in zip(values, (first, first if second is None else second), strict=True):
            products.append(jax.lax.dot_general(*((factor, x) if is_lhs else (x, factor)), numbers))
        for stored in (kernel, kernel.reverse()):
            found = stored.dot_general(first, first if second is None else second, is_lhs, numbers)
            assert (found.shape1, found.shape2) == (products[0].shape, products[1].shape)
            wanted = _kernel(*products, found.batch_axis, found.channel_axis)
            for name in ("nngp", "cov1", "cov2"):
                assert_close(getattr(found, name), getattr(wanted, name), "float64")


def test_products_that_have_no_kernel_are_refused() -> None:
    """Protects against numbers of something else."""
    kernel = stax.Dense(2)[2](X1)
    with pytest.raises(UnsupportedError, match="sum over examples"):
        kernel.dot_general(np.ones((3, 3)), None, True, (((1,), (0,)), ((), ())))
    with pytest.raises(ParameterError, match="do not fit"):
        kernel.dot_general(np.ones((3, 3)), None, True, (((1,), (7,)), ((), ())))


def _kernel(x: Any, y: Any, batch: int, channel: int) -> Kernel:
    """Of values, unnormalised."""

    def between(first: Any, second: Any) -> Any:
        first, second = (jnp.moveaxis(z, (batch, channel), (0, -1)) for z in (first, second))
        letters = "abc"[: first.ndim - 2]
        pairs = "".join(a + a.upper() for a in letters)
        return jnp.einsum(f"n{letters}z,m{letters.upper()}z->nm{pairs}", first, second)

    own = [jnp.einsum("nn...->n...", between(z, z)) for z in (x, y)]
    axes = {"batch_axis": batch, "channel_axis": channel}
    return Kernel(between(x, y), None, *own, shape1=x.shape, shape2=y.shape, **axes)


def test_requirements_compose() -> None:
    """Protects scripts that combine requirements: `>>` is associative, and `&` the lesser of two."""
    every = [stax.Diagonal(a, b) for a, b in product(stax.Bool, repeat=2)]
    for a, b, c in product(every, repeat=3):
        assert (a >> b) >> c == a >> (b >> c) == (c << b) << a
    no, maybe, yes = stax.Bool
    assert stax.Diagonal(yes, yes) >> stax.Diagonal(no, no) == stax.Diagonal(yes, yes)
    assert stax.Diagonal(yes, no) >> stax.Diagonal(maybe, yes) == stax.Diagonal(no, yes)
    assert stax.Diagonal(maybe, maybe) >> stax.Diagonal(maybe, no) == stax.Diagonal(maybe, no)
    assert stax.Diagonal(yes, maybe) & stax.Diagonal(maybe, yes) == stax.Diagonal(maybe, maybe)
    assert stax.Diagonal(yes, maybe)
    assert not stax.Diagonal(maybe, yes)
