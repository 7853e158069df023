"""`nt.Kernel`, networks that continue from one, and layers with a `kernel_fn` of one's own.

The oracle is the network in one piece, whose program has tests of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ntc
from ntc import Kernel, stax
from ntc.errors import InputError, NotGaussianError, ParameterError, UnsupportedError
from tests.assertions import assert_close

X1 = np.random.default_rng(0).normal(size=(3, 6))
X2 = np.random.default_rng(1).normal(size=(2, 6))
IMAGES1 = np.random.default_rng(2).normal(size=(3, 4, 3, 2))
IMAGES2 = np.random.default_rng(3).normal(size=(2, 4, 3, 2))
MATRICES = ("nngp", "ntk", "cov1", "cov2")
FACTS = ("x1_is_x2", "is_gaussian", "is_input", "shape1", "shape2", "batch_axis", "channel_axis")


@pytest.fixture(autouse=True)
def _float64_and_strict_ranks() -> Iterator[None]:
    with jax.enable_x64(True), jax.numpy_rank_promotion("raise"):
        yield


@stax.layer
def OwnRelu(scale: float = 1.0) -> Any:  # noqa: N802
    """scale * relu, with its arc-cosine kernels written out (Cho and Saul 2009)."""

    def init_fn(rng: Any, shape: Any) -> Any:
        return shape, ()

    def apply_fn(params: Any, x: Any, **kwargs: Any) -> Any:
        return scale * jax.nn.relu(x)

    @stax.requires(batch_axis=0, channel_axis=-1, is_gaussian=True)
    def kernel_fn(k: Kernel, **kwargs: Any) -> Kernel:
        cov2 = k.cov1 if k.x1_is_x2 else k.cov2
        size = jnp.sqrt(k.cov1[:, None] * cov2[None, :])
        cosine = jnp.clip(k.nngp / size, -1, 1)
        angle = jnp.arccos(cosine)
        nngp = size / (2 * jnp.pi) * (jnp.sqrt(1 - cosine**2) + (jnp.pi - angle) * cosine)
        ntk = k.ntk * (jnp.pi - angle) / (2 * jnp.pi)
        own = k.replace(nngp=nngp, ntk=ntk, cov1=k.cov1 / 2, cov2=None if k.x1_is_x2 else cov2 / 2)
        return own.replace(is_gaussian=False) * scale

    return init_fn, apply_fn, kernel_fn


def residual(relu: Any) -> Any:
    """Branches with and without the nonlinearity, which is also repeated."""
    branch = stax.serial(stax.Dense(4), relu(), stax.Dense(4, 1.2))
    block = stax.serial(stax.FanOut(2), stax.parallel(branch, stax.Dense(4, 0.7, 0.2)), stax.FanInSum())
    return stax.serial(stax.Dense(4, 1.3, 0.2), stax.repeat(block, 2), relu(), stax.Dense(2, 1.1, 0.1))


def assert_same(found: Kernel, wanted: Kernel, tolerance: Any = "rounding") -> None:
    for name in MATRICES:
        one, other = getattr(found, name), getattr(wanted, name)
        assert (one is None) == (other is None), name
        if one is not None:
            assert one.shape == other.shape
            assert_close(one, other, tolerance)
    for name in FACTS:
        assert getattr(found, name) == getattr(wanted, name), name


def test_a_kernel_says_what_it_is_of() -> None:
    """Protects scripts that read other fields than the two matrices: variances are those of k(x, x)."""
    kernel_fn = stax.serial(stax.Dense(5, 1.3, 0.2), stax.Relu())[2]
    kernel = kernel_fn(X1, X2)
    assert_close(kernel.cov1, np.diag(kernel_fn(X1, None, "nngp")), "rounding")
    assert_close(kernel.cov2, np.diag(kernel_fn(X2, None, "nngp")), "rounding")
    assert (kernel.shape1, kernel.shape2) == ((3, 5), (2, 5))
    assert (kernel.x1_is_x2, kernel.is_gaussian, kernel.is_input) == (False, False, False)
    assert kernel_fn(X1).cov2 is None
    assert stax.Flatten()[2](IMAGES1, None).is_input
    assert stax.Dense(3)[2](X1, None).is_gaussian
    found = kernel_fn(X1, X2, ("cov2", "ntk"))
    assert found._fields == ("cov2", "ntk")
    np.testing.assert_array_equal(found.cov2, kernel.cov2)
    with pytest.raises(ParameterError, match="field of a Kernel"):
        kernel_fn(X1, X2, "covariance")


@pytest.mark.parametrize(
    ("readout", "second"), [("flatten", None), ("pool", IMAGES2), ("none", None)], ids=["flatten", "pool", "none"]
)
def test_networks_compose(second: Any, readout: str) -> None:
    """Protects kernel_fn2(kernel_fn1(x)): equal to the network in one piece, with positions in between."""
    tails = {
        "flatten": [stax.Flatten(), stax.Dense(1, 1.0, 0.1)],
        "pool": [stax.GlobalAvgPool()],
        "none": [],
    }
    below = stax.serial(stax.Conv(8, (2, 2), padding="SAME", b_std=0.1), stax.Relu())
    above = stax.serial(stax.Conv(3, (3, 2), padding="SAME"), stax.Erf(), *tails[readout])
    kernel = below[2](IMAGES1, second)
    assert kernel.nngp.shape[2:] == (4, 4, 3, 3)
    wanted = stax.serial(below, above)[2](IMAGES1, second)
    assert_same(above[2](kernel.reverse() if readout == "flatten" else kernel), wanted)


def test_many_kernels_compose() -> None:
    """Protects networks that are cut where there are several values: tuples in, tuples out."""
    below = stax.serial(stax.FanOut(2), stax.parallel(stax.Dense(4), stax.serial(stax.Dense(4, 1.5), stax.Relu())))
    above = stax.serial(stax.parallel(stax.Erf(), stax.Dense(3)), stax.parallel(stax.Dense(3), stax.Identity()))
    join = stax.serial(stax.FanInSum(), stax.LayerNorm(), stax.Relu())
    wanted = stax.serial(below, above, join)[2](X1, X2)
    assert_same(join[2](above[2](below[2](X1, X2))), wanted)


def test_kernels_may_be_changed_by_hand() -> None:
    """Protects what a Kernel is for: a network on covariances that no network has made. One of a scaled input is that
    of scaled weights, one without NTK is that of features that are not trained, and rows can be cut out."""
    below, above = stax.Dense(4, 1.0, 0.3)[2], stax.serial(stax.Relu(), stax.Dense(1, 1.2, 0.1))[2]
    kernel = below(X1, X2)
    scaled = stax.serial(stax.Dense(4, 2.0, 0.6), stax.Relu(), stax.Dense(1, 1.2, 0.1))[2](X1, X2)
    assert_same(above(kernel * 2.0), scaled)
    assert_same(above((kernel * 4.0) / 2.0), scaled)
    assert_close(above(kernel.replace(ntk=None)).ntk, above(kernel).nngp, "rounding")
    assert_close((kernel + 0.4).nngp, stax.Dense(4, 1.0, 0.5)[2](X1, X2, "nngp"), "rounding")
    np.testing.assert_array_equal((kernel + 0.4).ntk, kernel.ntk)
    part = above(kernel.slice(slice(1, 3), slice(0, 1)))
    assert_same(part, above(below(X1[1:3], X2[:1])))
    made = Kernel(np.eye(3), cov1=np.ones(3), x1_is_x2=True, is_gaussian=True, shape1=(3, 8))
    np.testing.assert_allclose(above(made).nngp[0], 1.44 * np.array([0.5, *[0.5 / np.pi] * 2]) + 0.01, rtol=1e-14)


def test_kernels_that_do_not_fit_are_refused() -> None:
    """Protects against numbers from kernels that lack what the network reads."""
    pool = stax.serial(stax.Relu(), stax.GlobalAvgPool())[2]
    flat = stax.serial(stax.Relu(), stax.Flatten())[2]
    kernel = stax.Conv(8, (2, 2))[2](IMAGES1, None)
    own = stax.Conv(8, (2, 2))[2](IMAGES1, None, diagonal_spatial=True)
    assert own.nngp.shape == (3, 3, 3, 2)
    assert own.cov1.shape == (3, 3, 2)
    assert_close(flat(own).ntk, flat(kernel).ntk, "rounding")
    with pytest.raises(UnsupportedError, match="diagonal_spatial"):
        pool(own)
    with pytest.raises(NotGaussianError):
        pool(kernel.replace(is_gaussian=False))
    for bad in (kernel.replace(cov1=None), kernel.replace(shape1=(3, 9, 9, 8)), kernel.replace(x1_is_x2=False)):
        with pytest.raises(InputError):
            pool(bad)
    with pytest.raises(InputError, match="x2 should be None"):
        pool(kernel, IMAGES2)
    masked = stax.Conv(4, (2, 2), padding="SAME")[2](IMAGES1, None, mask_constant=IMAGES1[0, 0, 0, 0])
    assert masked.mask1.shape == (3, 4, 3, 1)
    with pytest.raises(UnsupportedError, match="masks"):
        pool(masked)
    with pytest.raises(UnsupportedError, match="infinitely many"):
        stax.LayerNorm()[2](stax.Identity()[2](X1, None))


INDEX = st.slices(4) | st.integers(-3, 2)


@settings(max_examples=40)
@given(examples=st.slices(3), rows=INDEX, columns=INDEX, order=st.booleans())
def test_indices_are_those_of_the_values(examples: slice, rows: Any, columns: Any, order: bool) -> None:
    """Protects kernel[...]: it is the Kernel of the values that the same index selects, however axes are stored."""
    values = np.random.default_rng(5).normal(size=(3, 4, 3, 2))
    kernel = _covariance(values)
    stored = kernel.reverse() if order else kernel
    index = examples, rows, columns
    found, wanted = stored[index], _covariance(values[index])
    assert found.shape1 == wanted.shape1
    for name in ("nngp", "cov1"):
        value = getattr(found, name)
        both = not any(isinstance(one, int) for one in (rows, columns))
        value = getattr(found.reverse(), name) if order and both else value
        np.testing.assert_allclose(value, getattr(wanted, name))


def _covariance(values: Any) -> Kernel:
    """That of values (n, *spatial, channels), unnormalised."""
    spatial = values.ndim - 2
    first, second = "abc"[:spatial], "ABC"[:spatial]
    pairs = "".join(x + y for x, y in zip(first, second, strict=True))
    nngp = np.einsum(f"n{first}z,m{second}z->nm{pairs}", values, values)
    cov1 = np.einsum(f"n{first}z,n{second}z->n{pairs}", values, values)
    shape = tuple(values.shape)
    return Kernel(nngp, nngp, cov1, x1_is_x2=True, shape1=shape, shape2=shape)


def test_axes_are_put_in_order() -> None:
    """Protects transpose: the Kernel of images with height and width exchanged."""
    values = np.random.default_rng(5).normal(size=(3, 4, 3, 2))
    wanted = _covariance(values.swapaxes(1, 2))
    for kernel in (_covariance(values), _covariance(values).reverse()):
        found = kernel.transpose((1, 0))
        assert found.shape1 == wanted.shape1
        np.testing.assert_array_equal(found.nngp, wanted.nngp)
    with pytest.raises(ParameterError):
        _covariance(values).transpose((0, 0))


def test_layers_of_ones_own() -> None:
    """Protects scripts that write layers: kernels and finite networks are those of the same layer in `ntc.stax`."""
    own, known = residual(OwnRelu), residual(stax.Relu)
    assert_same(own[2](X1, X2), known[2](X1, X2), "float64")
    key = jax.random.key(0)
    shape, params = own[0](key, (-1, 6))
    assert shape == (-1, 2)
    assert_close(own[1](params, X1), known[1](known[0](key, (-1, 6))[1], X1), "float64")
    with pytest.raises(ParameterError, match="is_gaussian"):
        OwnRelu()[2](X1, X2)
    with pytest.raises(UnsupportedError, match="masks"):
        own[2](X1, None, mask_constant=0.0)


def test_a_flag_is_believed_less_than_numbers() -> None:
    """Protects against symmetrised kernels of other examples: x1_is_x2 is not believed beside cov2, nor beside an entry
    that says otherwise; and what is of one batch stays exact."""
    below, above = stax.Dense(4, 1.1, 0.2)[2], stax.serial(stax.Relu(), stax.Dense(1))[2]
    kernel, own = below(X1, X1[::-1] * 1.5), below(X1)
    wanted = above(kernel)
    flagged = kernel.replace(x1_is_x2=True)
    assert_same(above(flagged), wanted)
    assert_same(jax.jit(above)(flagged), wanted)
    rows = slice(0, 2)
    assert_same(above(flagged.slice(rows, rows)), above(kernel.slice(rows, rows)))
    for wrong in (
        flagged.replace(cov2=None),
        own.replace(ntk=kernel.ntk),
        below(X1, X2).replace(x1_is_x2=True, cov2=None),
    ):
        with pytest.raises(InputError, match="needs cov2"):
            above(wrong)
    noisy = own.replace(cov1=own.cov1 + 1)
    assert_same(above(noisy), above(noisy.replace(x1_is_x2=False, cov2=noisy.cov1)))
    assert_same(above(own.replace(cov2=own.cov1)), above(own))
    images = stax.Conv(3, (2, 2))[2](IMAGES1)
    for stored in (images, images.reverse()):
        assert stax.Relu()[2](stored).x1_is_x2


def test_transformations_of_composed_networks() -> None:
    """Protects scripts that differentiate, map and compile through kernels: the numbers of the network in one piece."""
    own, known = (stax.serial(stax.Dense(4, 1.3, 0.2), relu(), stax.Dense(2))[2] for relu in (OwnRelu, stax.Relu))
    x1, x2 = jnp.asarray(X1), jnp.asarray(X2)
    wanted = jax.grad(lambda x: known(x, x2, "ntk").sum())(x1)
    assert_close(jax.jit(jax.grad(lambda x: own(x, x2, "ntk").sum()))(x1), wanted, "float64")
    slope = jax.jvp(lambda x: own(x, x2, "ntk").sum(), (x1,), (jnp.ones_like(x1),))[1]
    assert_close(slope, wanted.sum(), "float64")
    assert_close(jax.vmap(lambda x: own(x[None], x2, "ntk")[0])(x1), known(x1, x2, "ntk"), "float64")
    below, above = stax.Dense(4, 1.1, 0.2)[2], stax.serial(stax.Relu(), stax.Dense(1))[2]
    assert_same(jax.jit(lambda x, y: above(below(x, y)))(x1, x2), above(below(X1, X2)))
    assert_same(jax.jit(above)(below(X1, None)), above(below(X1, None)))


def test_pieces_are_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects loops: a second call of the same shape builds no graph and no function."""
    kernel_fn = stax.serial(stax.Dense(4), OwnRelu(), stax.Dense(1))[2]
    kernel_fn(X1, X2, "ntk")
    monkeypatch.setattr("ntc.stax.given.lower", None)
    monkeypatch.setattr("ntc.stax.compiled.build", None)
    monkeypatch.setattr("ntc.stax.given.emit", None)
    kernel_fn(X1 + 1, X2, "ntk")


@pytest.mark.parametrize("on_device", [True, False])
def test_batches_of_kernels(on_device: bool) -> None:
    """Protects nt.batch with get=None: variances and shapes are those of all examples, not of a tile."""
    kernel_fn = stax.serial(stax.Dense(4, 1.2, 0.1), stax.Relu())[2]
    batched = ntc.batch(kernel_fn, 2, 0, on_device)
    for second in (X2, None):
        assert_same(batched(X1, second), kernel_fn(X1, second))
        np.testing.assert_array_equal(batched(X1, second, ("cov1", "ntk")).cov1, batched(X1, second).cov1)
    assert isinstance(batched(X1).cov1, jax.Array) == on_device
    with pytest.raises(ParameterError):
        batched(X1, None, "covariance")
