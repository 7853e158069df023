"""`ntc.predict` called as users of Neural Tangents call it: names, axes, keywords, kernels in place of matrices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

import ntc
from ntc import nn, predict, stax
from ntc.errors import InputError
from tests.assertions import assert_close


@pytest.fixture(autouse=True)
def _as_careful_users() -> Iterator[None]:
    with jax.enable_x64(True), jax.numpy_rank_promotion("raise"):
        yield


def normal(seed: int, *shape: int) -> Any:
    return random.normal(random.PRNGKey(seed), shape, jnp.float64)


def network() -> Any:
    return stax.serial(stax.Dense(8, 1.5, 0.1), stax.Erf(), stax.Dense(2))


def test_covariance_on_the_training_set() -> None:
    """Protects `x_test=None` with the NNGP, which reads one kernel twice: initial outputs, then no variance."""
    x, y = normal(0, 4, 3), normal(1, 4, 2)
    kernel_fn = network()[2]
    ensemble = predict.gradient_descent_mse_ensemble(kernel_fn, x, y)
    found = ensemble(None, None, "nngp", compute_cov=True)
    assert_close(found.mean, y, "exact")
    assert np.abs(found.covariance).max() == 0
    start = ensemble(0.0, None, ("nngp", "ntk"), compute_cov=True)
    for regime in start:
        assert_close(regime.covariance, kernel_fn(x, None, "nngp"), "float64")


def test_names_in_any_case_and_twice() -> None:
    """Protects `get`: "NTK" is ntk, fields are named as given and read in any case, what is named twice comes twice."""
    x, y, x_test = normal(0, 4, 3), normal(1, 4, 2), normal(2, 3, 3)
    init_fn, apply_fn, kernel_fn = network()
    params = init_fn(random.PRNGKey(0), x.shape)[1]
    empirical = ntc.empirical_kernel_fn(apply_fn)
    compiled = jax.jit(empirical, static_argnums=2)
    ensemble = predict.gradient_descent_mse_ensemble(kernel_fn, x, y, diag_reg=1e-3)
    train, cross = kernel_fn(x, None, ("nngp", "ntk")), kernel_fn(x_test, x, ("nngp", "ntk"))
    calls: dict[str, Any] = {
        "ensemble": lambda get: ensemble(1.0, x_test, get),
        "inference": lambda get: predict.gp_inference(train, y, 1e-3)(get, cross),
        "empirical": lambda get: compiled(x_test, x, get, params),
    }
    for call in calls.values():
        nngp, ntk = call("nngp"), call("ntk")
        assert_close(call("NTK"), ntk, "exact")
        found = call(("NTK", "nngp"))
        assert found._fields == ("NTK", "nngp")
        assert_close(found.NTK, ntk, "exact")
        assert_close(found.ntk, ntk, "exact")
        assert_close(found[1], nngp, "exact")
        first, second = call(("nngp", "nngp"))
        assert_close(first, nngp, "exact")
        assert_close(second, nngp, "exact")
        assert jax.tree.structure(call(("ntk", "nngp"))) == jax.tree.structure(call(("ntk", "nngp")))
        with pytest.raises(InputError, match="get should be nngp, ntk"):
            call("ntkk")
    sampled = ntc.monte_carlo_kernel_fn(init_fn, apply_fn, random.PRNGKey(1), 1)(x_test, x, ("NTK", "nngp"))
    assert sampled._fields == ("NTK", "nngp")
    with pytest.raises(AttributeError, match="no field 'cov1'"):
        _ = empirical(x, None, ("ntk",), params).cov1


@pytest.mark.parametrize("axes", [(0,), (0, 1), (0, -1), (-1, 0, 2), (0, 0, -3), (0, 1, 2), (1, -2), (-1, 2, 2)])
def test_any_axes_may_be_traced(axes: tuple[int, ...]) -> None:
    """Protects trace_axes: that of examples, all of them, one named twice. A kernel that is a mean over axes moves all
    of their entries alike: what is learned is found again from the matrix written out for all outputs."""
    shape = (3, 2, 2)
    traced = sorted({axis % 3 for axis in axes})
    kept = [axis for axis in range(3) if axis not in traced]
    factor = normal(5, int(np.prod([shape[axis] for axis in kept])), 9)
    k = (factor @ factor.T).reshape(*(shape[axis] for axis in kept * 2))
    k = k.transpose([axis + half * len(kept) for axis in range(len(kept)) for half in (0, 1)])
    y, f = normal(6, *shape), normal(7, *shape)
    copies = np.eye(int(np.prod([shape[axis] for axis in traced])))
    order = [*kept, *traced]
    whole = np.kron(factor @ factor.T, copies)
    columns = lambda z: np.asarray(z).transpose(order).ravel()  # noqa: E731
    values, vectors = np.linalg.eigh(whole)
    decay = (vectors * np.exp(-values * 3.0 / y.size)) @ vectors.T
    expected = columns(y) + decay @ columns(f - y)
    train, test = predict.gradient_descent_mse(k, y, trace_axes=axes)(3.0, f, f, k)
    assert_close(columns(train), expected, "float64")
    assert_close(columns(test), expected, "float64")
    if len(traced) == 3:
        flow = predict.gradient_descent(lambda a, b: ((a - b) ** 2).mean() / 2, k, y, trace_axes=axes)
        assert np.abs(columns(flow(3.0, f)) - expected).max() < 1e-6 * np.abs(expected).max()
    mean = predict.gp_inference(k, y, 1e-3, trace_axes=axes)("ntk", k)
    regularised = whole + 1e-3 * np.mean(np.diag(whole)) * np.eye(y.size)
    assert_close(columns(mean), whole @ np.linalg.solve(regularised, columns(y)), "float64")
    law = predict.gp_inference(k, y, 1e-3, trace_axes=axes)("nngp", k, k)
    assert_close(columns(law.mean), columns(mean), "float64")
    apart = np.kron(k.transpose([*range(0, k.ndim, 2), *range(1, k.ndim, 2)]).reshape(len(factor), -1), copies)
    left = apart - apart @ np.linalg.solve(regularised, apart)
    found = np.asarray(law.covariance).transpose([*range(0, k.ndim, 2), *range(1, k.ndim, 2)]).reshape(len(factor), -1)
    assert_close(np.kron(found, copies), left, "float64", scale=float(np.abs(whole).max()))
    assert predict.max_learning_rate(k, y.size) == pytest.approx(2 * y.size / values[-1])


def test_empirical_kernels_of_any_traced_axes() -> None:
    """Protects traces over examples, over all axes, and of axes named twice: means of the whole kernel."""
    f = lambda params, x: jnp.tanh(x @ params)  # noqa: E731
    x, params = normal(0, 3, 4), normal(1, 4, 2)
    for function in (ntc.empirical_nngp_fn, ntc.empirical_ntk_fn):
        whole = function(f, ())(x, None, params)
        assert_close(function(f, (0, -1))(x, None, params), jnp.einsum("aaii->", whole) / 6, "float64")
        assert_close(function(f, (0, 0))(x, None, params), jnp.einsum("aaij->ij", whole) / 3, "float64")
        assert_close(function(f, (-1, 1))(x, None, params), jnp.einsum("abii->ab", whole) / 2, "float64")


def test_keywords_of_ensembles_are_pairs() -> None:
    """Protects keywords of training and test inputs: of pairs the first parts belong to the inputs, trees of equal
    parameters are equal, and anything else that differs is an error."""
    x, x_test, y, weights = normal(0, 4, 3), normal(1, 2, 3), normal(2, 4, 1), (normal(3, 3, 5), normal(4, 5, 9))
    shifts = normal(5, 4, 1), normal(6, 2, 1)

    def kernel_fn(x1: Any, x2: Any, get: Any, shift: Any, params: Any) -> Any:
        one, other = (
            (z + s) @ params[0] @ params[1] for z, s in zip((x1, x1 if x2 is None else x2), shift, strict=True)
        )
        return {"nngp": one @ other.T, "ntk": 2 * one @ other.T + 1}[get] if isinstance(get, str) else Both(one, other)

    class Both:
        def __init__(self, one: Any, other: Any) -> None:
            self.nngp, self.ntk = one @ other.T, 2 * one @ other.T + 1

    def kernels(x1: Any, x2: Any, *shift: Any) -> Any:
        return kernel_fn(x1, x2, ("nngp", "ntk"), shift, weights)

    train, cross = kernels(x, None, shifts[0], shifts[0]), kernels(x_test, x, shifts[1], shifts[0])
    expected = predict.gp_inference(train, y, 1e-2)("ntk", cross, kernels(x_test, None, shifts[1], shifts[1]))
    ensemble = predict.gradient_descent_mse_ensemble(
        kernel_fn, x, y, diag_reg=1e-2, shift=(shifts[0], shifts[0]), params=weights
    )
    again = jax.tree.map(lambda w: w + 0, weights)
    found = ensemble(None, x_test, "ntk", True, shift=(shifts[1], shifts[1]), params=again)
    assert_close(found.mean, expected.mean, "float64")
    assert_close(found.covariance, expected.covariance, "float64")
    for wrong in ({"shift": shifts[1]}, {"params": [*weights]}):
        with pytest.raises(InputError, match="of kernel_fn differs between training and test inputs"):
            ensemble(None, x_test, "ntk", **{"shift": (shifts[1], shifts[1]), "params": weights, **wrong})


def test_networks_sampled_in_blocks_with_keywords() -> None:
    """Protects pairs of keywords with a row for every example: they are cut as the examples are."""
    x, x_test = normal(0, 4, 3), normal(1, 3, 3)
    gains = normal(2, 4, 1), normal(3, 3, 1)

    def init_fn(key: Any, shape: tuple[int, ...]) -> Any:
        return (shape[0], 2), random.normal(key, (3, 2), jnp.float64)

    def sampled(size: int) -> Any:
        apply_fn = lambda params, x, gain: gain * (x @ params)  # noqa: E731
        return ntc.monte_carlo_kernel_fn(init_fn, apply_fn, random.PRNGKey(6), 2, batch_size=size)

    for a, b, gain in ((x, x_test, gains), (x, None, (gains[0], None))):
        assert_close(sampled(2)(a, b, "ntk", gain=gain), sampled(0)(a, b, "ntk", gain=gain), "float64")


def test_kernels_in_place_of_matrices() -> None:
    """Protects a `Kernel` where a matrix is expected: the NTK for training, the NNGP for the evidence."""
    x, y, x_test = normal(0, 4, 3), normal(1, 4, 2), normal(2, 3, 3)
    kernel_fn = network()[2]
    train, cross = kernel_fn(x), kernel_fn(x_test, x)
    loss = lambda a, b: ((a - b) ** 2).mean() / 2  # noqa: E731
    for function in (predict.gradient_descent_mse, lambda k, y: predict.gradient_descent(loss, k, y)):
        of_matrices = function(train.ntk, y)(1.0, 0.0, 0.0, cross.ntk)
        for one, other in zip(function(train, y)(1.0, 0.0, 0.0, cross), of_matrices, strict=True):
            assert_close(one, other, "exact")
        with pytest.raises(InputError, match="k_test_train has several kernels, but k_train_train is one matrix"):
            function(train.ntk, y)(1.0, 0.0, 0.0, cross)
    frozen = train.replace(ntk=None)
    assert_close(
        predict.gradient_descent_mse(frozen, y)(1.0), predict.gradient_descent_mse(train.nngp, y)(1.0), "exact"
    )
    assert predict.max_learning_rate(train) == predict.max_learning_rate(train.ntk)
    assert predict.log_marginal_likelihood(train, y) == predict.log_marginal_likelihood(train.nngp, y)
    assert_close(predict.leave_one_out(train, y).mean, predict.leave_one_out(train.nngp, y).mean, "exact")


def test_states_are_data() -> None:
    """Protects `ODEState.replace`, `asdict` and `astuple`, whose arrays stay arrays."""
    state = predict.ODEState(np.zeros(2), qx_train=np.ones(2))
    moved = state.replace(fx_test=3.0)
    assert moved.astuple() == (state.fx_train, 3.0, state.qx_train, None)
    assert moved.asdict() == {"fx_train": state.fx_train, "fx_test": 3.0, "qx_train": state.qx_train, "qx_test": None}


def test_expansions_by_keyword() -> None:
    """Protects the name of the parameters of expanded networks: `p`."""
    f = lambda params, x: jnp.sin(params * x)  # noqa: E731
    for expand in (ntc.linearize, lambda f, p: ntc.taylor_expand(f, p, 1)):
        assert expand(f, 1.0)(p=2.0, x=0.5) == pytest.approx(np.sin(0.5) + 0.5 * np.cos(0.5))


@pytest.mark.parametrize("kernel", ["nngp", "ntk"])
def test_examples_may_have_masks_and_patterns(kernel: Any) -> None:
    """Protects predictions for graphs and for texts of several lengths: what belongs to an example goes with it, batch
    by batch; the same as from the matrices."""
    random = np.random.default_rng(0)
    network = nn.input(4, 2) >> nn.aggregate() >> nn.dense(8) >> nn.relu() >> nn.global_avg_pool() >> nn.dense(1)
    program = ntc.build(network, dtype="float64")
    x, z, y = random.normal(size=(6, 4, 2)), random.normal(size=(5, 4, 2)), random.normal(size=(6, 1))
    a, b = random.random((6, 4, 4)), random.random((5, 4, 4))
    trained = predict.Trained(program, predict.Examples(x, pattern=a), y, kernel, 1e-3)
    found = trained.predict(predict.Examples(z, pattern=b), batch=2)
    kernels = predict.RegressionKernels(
        program(x, pattern1=a), program(z, x, pattern1=b, pattern2=a), program.diagonal(z, None, b)
    )
    expected = predict.posterior(kernels, y, kernel, 1e-3)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-9)
    np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-9)
    with pytest.raises(InputError, match="x of 6, pattern of 5"):
        predict.Examples(x, pattern=b)
