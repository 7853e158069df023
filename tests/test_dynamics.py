"""Training dynamics against matrix exponentials, against the differential equation, and against trained networks."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from ntc import nn, predict
from ntc.compiler import build
from ntc.errors import InputError
from tests.assertions import assert_close
from tests.golden.predict_cases import GOLDEN, kernel_fn, results

pytestmark = pytest.mark.usefixtures("no_promotion_of_ranks")
OUTPUTS = 2


def half_squared(f: Any, y: Any) -> Any:
    """The loss whose gradient flow has a closed form."""
    return 0.5 * jnp.mean((f - y) ** 2)


def kernels(seed: int, n: int, m: int, rank: int) -> tuple[Any, Any, Any, Any]:
    """Train and test-train kernels of one semidefinite kernel of a rank, targets, and initial outputs."""
    random = np.random.default_rng(seed)
    factor = random.normal(size=(n + m, rank)) / np.sqrt(rank)
    kernel = factor @ factor.T
    return kernel[:n, :n], kernel[n:, :n], random.normal(size=(n, OUTPUTS)), random.normal(size=(n, OUTPUTS))


def explicit(k: Any, k_test: Any, y: Any, f: Any, s: float) -> tuple[Any, Any]:
    """f_t(X) and the change of f_t(x), from exponentials of matrices: the lower block of exp([[-K, 0], [I, 0]] s) is
    the integral of exp(-K u) over u from 0 to s, whether or not K has an inverse."""
    n = len(k)
    blocks = np.block([[-k, np.zeros((n, n))], [np.eye(n), np.zeros((n, n))]])
    exponential = scipy.linalg.expm(blocks * s)
    return y + exponential[:n, :n] @ (f - y), k_test @ exponential[n:, :n] @ (y - f)


small = {
    "seed": st.integers(0, 2**32 - 1),
    "n": st.integers(1, 6),
    "m": st.integers(1, 4),
    "rank": st.integers(1, 12),
    "times": st.lists(st.floats(0, 100), min_size=1, max_size=4),
}


@pytest.mark.filterwarnings("ignore::ntc.predict.RoundingWarning")
@given(**small, rate=st.sampled_from([0.1, 1.0, 3.0]))
def test_closed_form_is_the_exponential(seed: int, n: int, m: int, rank: int, times: list[float], rate: float) -> None:
    """Protects gradient flow at every time, for kernels of any rank: eigenvalues that are zero have a limit."""
    k, k_test, y, f = kernels(seed, n, m, rank)
    train, test = predict.gradient_descent_mse(k, y, rate)(np.array(times), f, 0.5, k_test)
    for i, t in enumerate(times):
        expected = explicit(k, k_test, y, f, rate * t / y.size)
        assert_close(train[i], expected[0], "exact", scale=1.0)
        assert_close(test[i], 0.5 + expected[1], "exact", scale=1.0)


@pytest.mark.filterwarnings("ignore::ntc.predict.RoundingWarning")
@given(**{name: small[name] for name in ("seed", "n", "m", "rank")})
def test_infinite_time_is_the_limit(seed: int, n: int, m: int, rank: int) -> None:
    """Protects t = inf: the solution of least norm, by a pseudoinverse, also where the kernel has no inverse."""
    k, k_test, y, f = kernels(seed, n, m, rank)
    train, test = predict.gradient_descent_mse(k, y)(np.inf, f, 0.0, k_test)
    inverse = np.linalg.pinv(k, rcond=1e-12, hermitian=True)
    condition = np.linalg.norm(k, 2) * np.linalg.norm(inverse, 2)
    limit = (1e-13 * condition + 1e-12) * 100
    np.testing.assert_allclose(test, k_test @ inverse @ (y - f), rtol=0, atol=limit)
    np.testing.assert_allclose(train, f + k @ inverse @ (y - f), rtol=0, atol=limit)


def test_no_time_is_infinite_time() -> None:
    """Protects t = None, which is solved by Cholesky, and late times."""
    k, k_test, y, f = kernels(1, 4, 3, 9)
    call = predict.gradient_descent_mse(k, y, diag_reg=0.1)
    for t in (np.inf, 1e9):
        for found, expected in zip(call(t, f, 0.3, k_test), call(None, f, 0.3, k_test), strict=True):
            assert_close(found, expected, "exact")


def test_kernels_of_zeros_move_nothing() -> None:
    """Protects eigenvalues that are exactly zero: initial outputs stay, and nothing is NaN."""
    zeros, y = np.zeros((3, 3)), np.ones((3, 1))
    for t in (0.0, 5.0, np.inf):
        train, test = predict.gradient_descent_mse(zeros, y)(t, 0.25, 0.5, zeros)
        assert np.all(np.asarray(train) == 0.25)
        assert np.all(np.asarray(test) == 0.5)
    _, test = predict.gradient_descent_mse(zeros, y)(6.0, 0.25, 0.5, np.eye(3))  # of no one kernel: it grows with time
    assert_close(test, np.full((3, 1), 0.5 + 6.0 / 3 * 0.75), "rounding")


@pytest.mark.parametrize("momentum", [None, 0.6])
@settings(max_examples=8)
@given(seed=small["seed"], rank=small["rank"], times=small["times"])
def test_the_equation_is_solved(momentum: float | None, seed: int, rank: int, times: list[float]) -> None:
    """Protects the solver: times in any order, repeated and zero, with and without momentum, against exponentials.
    Shapes are the same in all examples, as each is compiled."""
    k, k_test, y, f = kernels(seed, 3, 2, rank)
    times, rate = (times * 4)[:4], 0.7
    call = predict.gradient_descent(half_squared, k, y, rate, momentum)
    train, test = call(np.array(times).reshape(2, 2), f, 0.5, k_test)
    assert train.shape == (2, 2, 3, OUTPUTS)
    for i, t in enumerate(times):
        if momentum is None:
            expected = explicit(k, k_test, y, f, rate * t / y.size)
        else:
            expected = explicit_momentum(k, k_test, y, f, t * rate**0.5, (momentum - 1) / rate**0.5)
        np.testing.assert_allclose(train[i // 2, i % 2], expected[0], atol=1e-5)
        np.testing.assert_allclose(test[i // 2, i % 2], 0.5 + expected[1], atol=1e-5)


def explicit_momentum(k: Any, k_test: Any, y: Any, f: Any, s: float, damping: float) -> tuple[Any, Any]:
    """The same for f'' = damping f' - K (f - y) / |y| from rest: an exponential of one matrix for train and test."""
    n, m = len(k), len(k_test)
    everything = np.zeros((n + m, n + m))
    everything[:, :n] = np.concatenate([k, k_test]) / y.size
    identity = np.eye(n + m)
    flow = scipy.linalg.expm(np.block([[0 * identity, identity], [-everything, damping * identity]]) * s)
    residual = np.concatenate([f - y, np.zeros((m, OUTPUTS))])
    moved = flow[: n + m, : n + m] @ residual
    return y + moved[:n], moved[n:]


@pytest.mark.parametrize("momentum", [None, 0.6])
def test_training_goes_on_where_it_was_left(momentum: float | None) -> None:
    """Protects `ODEState`: outputs and velocities are all there is to a state."""
    k, k_test, y, f = kernels(3, 3, 2, 5)
    call = predict.gradient_descent(half_squared, k, y, 0.7, momentum)
    times = np.array([3.0, 5.0, 8.0, 8.0])
    whole = call(times, predict.ODEState(f, 0.5), None, k_test)
    first = predict.ODEState(*(None if x is None else x[0] for x in vars(whole).values()))
    rest = call(times, first, None, k_test)
    for part, value in vars(whole).items():
        if value is not None:
            np.testing.assert_allclose(getattr(rest, part)[1], value[2], atol=1e-6)
    assert (whole.qx_train is None) == (momentum is None)


def test_losses_without_minimum_are_said() -> None:
    """Protects infinite time: at rest the answer is that of the closed form, and what is never at rest is an error."""
    k, _, y, f = kernels(4, 3, 2, 8)
    found = predict.gradient_descent(half_squared, k, y)(None, f)
    np.testing.assert_allclose(found, y, atol=1e-5)
    never = predict.gradient_descent(lambda f, y: jnp.mean(f * y), k, y, max_steps=100)
    with pytest.raises(InputError, match=r"took 100 steps") as error:
        never(None, f)
    assert "give a time" in str(error.value)


NOT_THE_PEER = "ensemble/relative", "ensemble/absolute"


def test_values_of_neural_tangents() -> None:
    """Protects signatures and conventions: one program that calls both modules finds the same numbers.

    One convention differs: the covariance of `nngp` on the training set itself with regularisation, which there is
    that of initial outputs with the noise in them.
    """
    found = results(predict)
    with np.load(GOLDEN) as golden:
        assert set(found) == set(golden.files)
        for name in golden.files:
            if name.startswith(NOT_THE_PEER) and "own/True/nngp/cov" in name.replace("nngp/own/True", "own/True/nngp"):
                continue
            scale = max(1e-2, np.abs(golden[name]).max())
            limit = 1e-6 if name.startswith("ode") else 1e-9
            np.testing.assert_allclose(found[name], golden[name], rtol=0, atol=limit * scale, err_msg=name)


@given(seed=small["seed"], n=small["n"], m=small["m"], t=st.floats(0, 100), reg=st.sampled_from([0.0, 0.1]))
def test_ensembles_follow_every_member(seed: int, n: int, m: int, t: float, reg: float) -> None:
    """Protects mean and covariance: outputs at time t are linear in the initial ones, whose law is the NNGP. Weights
    are found by training from unit vectors."""
    random = np.random.default_rng(seed)
    x, x_test, y = random.normal(size=(n, 3)), random.normal(size=(m, 3)), random.normal(size=(n, OUTPUTS))
    ensemble = predict.gradient_descent_mse_ensemble(kernel_fn, x, y, 0.5, reg)
    both = np.concatenate([x_test, x])
    prior = kernel_fn(both).nngp
    for get in ("nngp", "ntk"):
        found = ensemble(t, x_test, get, compute_cov=True)
        k, k_test = kernel_fn(x, None, get), kernel_fn(x_test, x, get)
        dynamics = predict.gradient_descent_mse(k, np.zeros((n, n)), 0.5 * n / OUTPUTS, reg)
        jacobian = np.concatenate([np.eye(m), np.asarray(dynamics(t, np.eye(n), 0.0, k_test)[1])], axis=1)
        if get == "ntk" or not reg:
            assert_close(found.covariance, jacobian @ prior @ jacobian.T, "exact", scale=float(np.abs(prior).max()))
        assert_close(found.mean, -jacobian[:, m:] @ y, "exact", scale=1.0)


def test_networks_that_are_trained_have_this_law() -> None:
    """Protects the theory as a whole: mean and variance of wide networks trained by gradient descent, step by step.

    Bounds are 5 standard errors of 200 networks, plus 3 / sqrt(width) of the largest variance for what a finite width
    of 512 and finite steps change.
    """
    width, steps, rate, count = 512, 150, 0.3, 200
    program = build(nn.input(2) >> nn.dense(width, 1.3, 0.3) >> nn.erf() >> nn.dense(1, 1.2, 0.1))
    random = np.random.default_rng(0)
    x, x_test, y = random.normal(size=(4, 2)), random.normal(size=(3, 2)), random.normal(size=(4, 1))

    def loss(parameters: Any) -> Any:
        return half_squared(program.apply(parameters, x), jnp.asarray(y, jnp.float32))

    def trained(key: Any) -> Any:
        def step(_: Any, parameters: Any) -> Any:
            return jax.tree.map(lambda p, g: p - rate * g, parameters, jax.grad(loss)(parameters))

        return program.apply(jax.lax.fori_loop(0, steps, step, program.init(key)), x_test)

    samples = np.asarray(jax.jit(jax.vmap(trained))(jax.random.split(jax.random.key(1), count)))[..., 0]
    law = predict.gradient_descent_mse_ensemble(program, x, y, rate)(steps, x_test, "ntk", compute_cov=True)
    variance, room = np.diag(law.covariance), 3 / width**0.5
    largest = variance.max()
    error = np.abs(samples.mean(0) - law.mean[:, 0])
    assert np.all(error <= 5 * samples.std(0) / count**0.5 + room * largest**0.5)
    assert np.all(np.abs(samples.var(0) - variance) <= (5 * (2 / count) ** 0.5 + room) * largest)
    assert room * largest < 0.5 * largest  # the bound would notice a variance that is left out


def test_first_inside_jit_and_then_outside() -> None:
    """Protects what is kept between calls: nothing of a transformation stays behind, and both give one number."""
    random = np.random.default_rng(5)
    x, x_test, y = random.normal(size=(3, 3)), random.normal(size=(2, 3)), random.normal(size=(3, OUTPUTS))
    k, k_test, prior = kernel_fn(x), kernel_fn(x_test, x), kernel_fn(x_test)
    closed, descent = predict.gradient_descent_mse(k.ntk, y), predict.gradient_descent(half_squared, k.ntk, y)
    ensemble, inference = predict.gradient_descent_mse_ensemble(kernel_fn, x, y), predict.gp_inference(k, y)

    def everything(t: Any) -> Any:
        return (
            closed(t, 0.0, 0.0, k_test.ntk),
            descent(t, 0.0, 0.0, k_test.ntk),
            ensemble(t, x_test, None, compute_cov=True),
            inference("ntk", k_test, prior),
        )

    t = np.array([[0.0, 1.0], [2.0, 3.0]])
    inside, outside = jax.jit(everything)(t), everything(t)
    for a, b in zip(jax.tree.leaves(inside), jax.tree.leaves(outside), strict=True):
        assert_close(a, b, "float32", scale=5.0)


def test_programs_inside_jit_and_then_outside() -> None:
    """Protects what is kept of kernels that are computed inside a transformation, from known and from traced inputs."""
    program = build(nn.input(3) >> nn.dense(4) >> nn.erf() >> nn.dense(1))
    random = np.random.default_rng(11)
    x, x_test, y = random.normal(size=(3, 3)), random.normal(size=(2, 3)), random.normal(size=(3, 1))

    def staged(x1: Any, x2: Any, get: Any) -> Any:
        return jax.jit(program)(x1, x1 if x2 is None else x2)

    for kernel in (program, staged):
        call = predict.gradient_descent_mse_ensemble(kernel, x, y)
        inside = jax.jit(lambda x, call=call: call(2.0, x, "ntk", True))(x_test)
        again = jax.jit(lambda t, call=call: call(t, x_test, "ntk", True))(2.0)
        outside = call(2.0, x_test, "ntk", compute_cov=True)
        for a, b, c in zip(inside, again, outside, strict=True):
            assert_close(a, c, "float32", scale=5.0)
            assert_close(b, c, "float32", scale=5.0)


def test_everything_may_be_traced() -> None:
    """Protects kernels that are arguments of `jax.jit`: the same numbers as outside, in the kernel's precision."""
    _, k_test, y, f = kernels(6, 4, 3, 9)
    k = np.asarray(kernels(6, 4, 3, 9)[0] + np.eye(4), np.float32)
    for t in (None, 2.0, np.array([0.0, 1.0, np.inf])):
        inside = jax.jit(lambda k, y, t=t: predict.gradient_descent_mse(k, y)(t, f, 0.0, k_test))(k, y)
        for a, b in zip(inside, predict.gradient_descent_mse(k, y)(t, f, 0.0, k_test), strict=True):
            assert_close(a, b, "float32", scale=1.0)
    slope = jax.grad(lambda rate: predict.gradient_descent_mse(k, y, rate)(2.0).sum())(1.0)
    call = predict.gradient_descent_mse(k, y, 1.0)
    assert_close(slope, (call(2.02).sum() - call(1.98).sum()) / 0.02, "float32", scale=50.0)


def test_float32_kernels_are_solved_in_float64() -> None:
    """Protects accuracy: of a float32 matrix of condition 1e6, the solution is that of float64 arithmetic."""
    values = np.logspace(-6, 0, 20)
    rotation = np.linalg.qr(np.random.default_rng(7).normal(size=(20, 20)))[0]
    k = ((rotation * values) @ rotation.T).astype(np.float32)
    k, y = (k + k.T) / 2, np.random.default_rng(8).normal(size=(20, 1))
    exact = k[:3] @ np.linalg.solve(np.asarray(k, np.float64), y)
    found = predict.gradient_descent_mse(k, y)(None, None, 0.0, k[:3])
    assert found.dtype == np.float32
    assert_close(found, exact, "float32")
    rough = predict.gradient_descent_mse(k, y, solve_dtype="float32")(None, None, 0.0, k[:3])
    assert np.abs(rough - exact).max() > 1e-4 * np.abs(exact).max()


def test_rounding_is_said_and_more_is_refused() -> None:
    """Protects negative eigenvalues: those of rounding are zero with a warning, any other is an error."""
    k = np.ones((3, 3), np.float32)
    k[0, 1] = k[1, 0] = 1 + 2e-7
    y = np.ones((3, 1))
    with pytest.warns(predict.RoundingWarning, match="of 3 eigenvalues of the kernel matrix are negative by rounding"):
        found = predict.gradient_descent_mse(k, y)(np.inf, None, 0.0, k)
    assert_close(found, y, "float32")
    for t in (None, 1.0):
        with pytest.raises(InputError, match="not positive definite"):
            predict.gradient_descent_mse(np.diag([1.0, -0.1]), np.ones((2, 1)))(t) if t else predict.gp_inference(
                np.diag([1.0, -0.1]), np.ones((2, 1))
            )("nngp", np.ones((1, 2)))


@given(seed=small["seed"], n=st.integers(2, 8), scale=st.sampled_from([1e-6, 1.0, 1e6]), absolute=st.booleans())
def test_the_regularisation_that_is_advised_is_enough(seed: int, n: int, scale: float, absolute: bool) -> None:
    """Protects the diagnosis: a singular matrix is named, with a number that works."""
    k, _, y, _ = kernels(seed, n, 1, 1)
    k = scale * k
    with pytest.raises(InputError, match="not positive definite with diag_reg=0") as error:
        predict.gradient_descent_mse(k, y)(None, None, 0.0, k)
    if absolute:
        with pytest.raises(InputError, match="not positive definite") as error:
            predict.gradient_descent_mse(k, y, 1.0, 0.0, True)(None, None, 0.0, k)
    assert error.value.hint
    advised = float(error.value.hint.split("diag_reg of ")[1].split()[0])
    found = predict.gradient_descent_mse(k, y, 1.0, advised, absolute)(None, None, 0.0, k)
    assert np.isfinite(np.asarray(found)).all()
    assert advised < 1e-6 * (scale if absolute else 1) * max(1, np.abs(k).max() / scale) * n


def test_programs_are_kernel_functions() -> None:
    """Protects the adapter: a program gives what its matrices give, with masks of training and test inputs."""
    network = nn.input(3, 1) >> nn.mask(-1.0) >> nn.conv(4, 2) >> nn.relu() >> nn.global_avg_pool() >> nn.dense(1)
    program = build(network, dtype="float64")
    random = np.random.default_rng(9)
    x, x_test, y = random.normal(size=(4, 3, 1)), random.normal(size=(2, 3, 1)), random.normal(size=(4, 1))
    mask, mask_test = np.zeros((4, 3), bool), np.zeros((2, 3), bool)
    mask[0, 2] = mask_test[1, 2] = True
    ensemble = predict.gradient_descent_mse_ensemble(program, x, y, diag_reg=0.1, mask=(mask, mask))
    found = ensemble(None, x_test, "ntk", True, mask=(mask_test, mask_test))
    train, cross = program(x, mask1=mask), program(x_test, x, mask1=mask_test, mask2=mask)
    prior = program(x_test, mask1=mask_test)
    expected = predict.gp_inference(train, y, 0.1)("ntk", cross, prior)
    assert_close(found.mean, expected.mean, "exact")
    assert_close(found.covariance, expected.covariance, "exact")
    with pytest.raises(InputError, match="does not compute the nngp kernel"):
        predict.gradient_descent_mse_ensemble(build(network, kernels=("ntk",)), x, y)(None, x_test)


K, Y = np.eye(3), np.ones((3, 2))
BAD: dict[str, tuple[Any, str]] = {
    "a kernel of another size": (
        lambda: predict.gradient_descent_mse(np.eye(4), Y),
        "y_train has 3 rows, but k_train_train is of 4",
    ),
    "targets without outputs": (lambda: predict.gradient_descent_mse(K, np.ones(3)), r"shape \(n, 1\)"),
    "an axis that is not there": (lambda: predict.gp_inference(K, Y, trace_axes=(2,)), "not all axes of y_train"),
    "a kernel that is not finite": (lambda: predict.gradient_descent_mse(K * np.nan, Y), "not finite"),
    "a kernel that is not symmetric": (lambda: predict.gradient_descent_mse(np.tri(3), Y)(1.0), "not symmetric"),
    "a kernel of zeros": (lambda: predict.gradient_descent_mse(0 * K, Y)(None, None, 0.0, K), "matrix is zero"),
    "a kernel of words": (lambda: predict.gradient_descent_mse(np.array([["a"]]), Y), "real numbers"),
    "negative regularisation": (lambda: predict.gradient_descent_mse(K, Y, diag_reg=-1.0), "not be negative"),
    "an unknown precision": (lambda: predict.gradient_descent_mse(K, Y, solve_dtype="bf16"), "float32 or float64"),  # type: ignore[arg-type]
    "a negative time": (lambda: predict.gradient_descent_mse(K, Y)(-1.0), "not be negative"),
    "nothing to predict": (lambda: predict.gradient_descent_mse(K, Y)(1.0, None), "nothing to predict"),
    "no test kernel": (lambda: predict.gradient_descent_mse(K, Y)(1.0, 0.0, 0.0), "need k_test_train"),
    "outputs of another shape": (lambda: predict.gradient_descent_mse(K, Y)(1.0, np.ones(3)), "a number or have"),
    "a test kernel of another shape": (lambda: predict.gradient_descent_mse(K, Y)(1.0, 0.0, 0.0, K[:, :2]), "k_test"),
    "an unknown regime": (lambda: predict.gp_inference(K, Y)("gp", K), "nngp, ntk, ntkgp"),
    "one kernel where two are read": (lambda: predict.gp_inference(K, Y)("ntk", K, K), "needs NNGP and NTK"),
    "something that is no kernel": (lambda: predict.gradient_descent_mse_ensemble(3, K, Y), "a program or a function"),
    "too much momentum": (lambda: predict.gradient_descent(half_squared, K, Y, momentum=1.0), "less than 1"),
    "no initial outputs": (lambda: predict.gradient_descent(half_squared, K, Y)(1.0, None, 0.0, K), "are needed"),
    "times that are none": (lambda: predict.gradient_descent(half_squared, K, Y)(np.array([]), 0.0), "times t"),
    "a kernel that is not square": (lambda: predict.max_learning_rate(np.ones((2, 3))), r"\(n, n\)"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_named(case: str) -> None:
    """Protects the errors: what is wrong is said, and no number comes out."""
    action, message = BAD[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=message):
            action()


def test_learning_rate_is_the_edge_of_convergence() -> None:
    """Protects the largest rate: steps just below it converge, steps just above it do not."""
    k, _, y, _ = kernels(10, 4, 1, 9)
    for momentum in (0.0, 0.5):
        rate = float(predict.max_learning_rate(k, y.size, momentum))
        for factor, converges in ((0.98, True), (1.02, False)):
            f, velocity = np.zeros_like(y), np.zeros_like(y)
            for _ in range(3000):
                velocity = momentum * velocity - k @ (f - y) / y.size
                f = np.clip(f + factor * rate * velocity, -1e9, 1e9)
            largest = np.linalg.eigh(k)[1][:, -1] @ (f - y)
            assert (np.abs(largest).max() < 1e-6) == converges
