"""Noise that differs among examples: `diag_reg` as an array."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntc import predict
from ntc.backends.jax.result import Kernels
from ntc.errors import InputError

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(9, 30))
K = (FEATURES @ FEATURES.T / 30)[:7, :7]
CROSS = (FEATURES @ FEATURES.T / 30)[7:, :7]
PRIOR = (FEATURES @ FEATURES.T / 30)[7:, 7:]
Y = RANDOM.normal(size=(7, 2))
NOISE = np.array([0.01, 0.5, 0.02, 1.0, 0.3, 0.05, 0.2])
A = K + np.diag(NOISE) * np.mean(np.diag(K))
"""What is to be inverted."""


def test_posterior() -> None:
    """Protects `regress` and its like: Rasmussen and Williams 2006, eq. 2.25 and 2.26, with noise per example."""
    kernels = predict.RegressionKernels(Kernels(K, None), Kernels(CROSS, None), Kernels(np.diag(PRIOR), None))
    found = predict.posterior(kernels, Y, "nngp", NOISE)
    np.testing.assert_allclose(found.mean, CROSS @ np.linalg.solve(A, Y), rtol=1e-10)
    variance = np.diag(PRIOR - CROSS @ np.linalg.solve(A, CROSS.T))
    np.testing.assert_allclose(found.variance, variance, rtol=1e-10)


def test_gradient_descent() -> None:
    """Protects the signatures of Neural Tangents, at infinity and in time, and under transformations."""
    predict_fn = predict.gradient_descent_mse(K, Y, diag_reg=NOISE)
    _, test = predict_fn(None, np.zeros_like(Y), np.zeros((2, 2)), CROSS)
    np.testing.assert_allclose(test, CROSS @ np.linalg.solve(A, Y), rtol=1e-6)
    values, vectors = np.linalg.eigh(A)
    filtered = vectors @ np.diag((1 - np.exp(-3.0 * values / Y.size)) / values) @ vectors.T @ Y
    _, test = predict_fn(3.0, np.zeros_like(Y), np.zeros((2, 2)), CROSS)
    np.testing.assert_allclose(test, CROSS @ filtered, rtol=1e-6)
    with jax.enable_x64(True):
        traced = jax.jit(lambda noise: predict.gp_inference(Kernels(jnp.asarray(K), None), Y, noise)("nngp", CROSS))
        np.testing.assert_allclose(traced(NOISE), CROSS @ np.linalg.solve(A, Y), rtol=1e-6)


def test_evidence_and_its_derivatives() -> None:
    """Protects fits beside noise that is known: the likelihood, and derivatives by the kernel and by every noise."""

    def value(scale: float, noise: Any) -> float:
        a = scale * K + np.diag(noise) * np.mean(np.diag(scale * K))
        return float(-(Y * np.linalg.solve(a, Y)).sum() / 2 - np.linalg.slogdet(a)[1] - Y.size / 2 * np.log(2 * np.pi))

    assert predict.log_marginal_likelihood(K, Y, NOISE) == pytest.approx(value(1.0, NOISE), rel=1e-6)
    found = predict.log_marginal_likelihood_and_gradient(lambda scale: scale * jnp.asarray(K), 1.3, Y, NOISE)
    assert found.value == pytest.approx(value(1.3, NOISE), rel=1e-9)
    step = 1e-5
    assert float(found.gradient) == pytest.approx(
        (value(1.3 + step, NOISE) - value(1.3 - step, NOISE)) / 2 / step, rel=1e-6
    )
    for i, unit in enumerate(np.eye(len(NOISE))):
        slope = (value(1.3, NOISE + step * unit) - value(1.3, NOISE - step * unit)) / 2 / step
        assert found.diag_reg[i] == pytest.approx(slope, rel=1e-5)


def test_leave_one_out() -> None:
    """Protects closed-form cross-validation: each example is predicted from the others, with their noise."""
    found = predict.leave_one_out(K, Y, NOISE * np.mean(np.diag(K)), diag_reg_absolute_scale=True)
    for i in range(len(K)):
        rest = np.arange(len(K)) != i
        weights = np.linalg.solve(A[np.ix_(rest, rest)], K[rest, i])
        np.testing.assert_allclose(found.mean[i], weights @ Y[rest], rtol=1e-8)
        np.testing.assert_allclose(found.variance[i], K[i, i] - weights @ K[rest, i], rtol=1e-8)


@pytest.mark.parametrize("rank", [0, 3])
def test_conjugate_gradients(rank: int) -> None:
    """Protects large training sets, and the preconditioner, whose diagonal is that of the noise."""
    found = predict.conjugate_gradients(predict.DenseOperator(K), Y, NOISE, rank=rank)
    np.testing.assert_allclose(found.coefficients, np.linalg.solve(A, Y), rtol=1e-6)


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (NOISE[:-1], "one for each of 7"),
        (-NOISE, "should not be negative, got -0.01"),
        (np.eye(7), "one for each of 7"),
    ],
    ids=["short", "negative", "matrix"],
)
def test_noise_that_is_none_is_refused(noise: Any, message: str) -> None:
    """Protects from broadcasting, and from kernels that are not positive definite."""
    for call in (
        lambda: predict.log_marginal_likelihood(K, Y, noise),
        lambda: predict.conjugate_gradients(predict.DenseOperator(K), Y, noise),
    ):
        with pytest.raises(InputError, match=message):
            call()


def test_other_numbers_of_targets_are_named() -> None:
    """Protects the most common slip of shapes: the error says y_train, and both numbers."""
    message = "y_train has 6 rows, but k_train_train is of 7 training inputs"
    with pytest.raises(InputError, match=message):
        predict.gradient_descent_mse(K, Y[:-1])
    with pytest.raises(InputError, match=message):
        predict.log_marginal_likelihood(K, Y[:-1])
