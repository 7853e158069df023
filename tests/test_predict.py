"""Inference against its formulas written a second time, and against facts that need no formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntc import nn
from ntc.backends.jax.program import Program
from ntc.compiler import build
from ntc.errors import InputError
from ntc.predict import accuracy, one_hot, posterior, regress, regression_kernels, root_mean_square_error

pytestmark = pytest.mark.usefixtures("no_promotion_of_ranks")
NETWORK = nn.input(3) >> nn.dense(8, 1.5, 0.1) >> nn.erf() >> nn.dense(8, 1.2) >> nn.relu() >> nn.dense(2)


@pytest.fixture(scope="module")
def program() -> Program:
    return build(NETWORK, dtype="float64")


def data(seed: int, n: int, m: int) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 3)), random.normal(size=(n, 2)), random.normal(size=(m, 3))


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([1, 2, 6]),
    m=st.sampled_from([1, 4]),
    reg=st.sampled_from([1e-8, 1e-4, 1.0]),
)
def test_posterior_is_the_formula(program: Program, seed: int, n: int, m: int, reg: float) -> None:
    """Protects mean and variance of both kernels: Lee et al. 2018 eq. 8-9, Lee et al. 2019 eq. 16, with inverses."""
    x, y, x_test = data(seed, n, m)
    everything = np.concatenate([x_test, x])
    k, t = (np.asarray(matrix) for matrix in program(everything))
    kernels = regression_kernels(program, x, x_test)
    for kernel, matrix in (("nngp", k), ("ntk", t)):
        train = matrix[m:, m:]
        weights = matrix[:m, m:] @ np.linalg.inv(train + reg * np.trace(train) / n * np.eye(n))
        if kernel == "nngp":
            covariance = k[:m, :m] - weights @ k[m:, :m]
        else:
            covariance = k[:m, :m] + weights @ k[m:, m:] @ weights.T - weights @ k[m:, :m] - k[:m, m:] @ weights.T
        found = posterior(kernels, y, kernel, reg)  # type: ignore[arg-type]
        condition = np.linalg.cond(train + reg * np.trace(train) / n * np.eye(n))
        tolerance = 1e-13 * condition + 1e-12
        np.testing.assert_allclose(found.mean, weights @ y, rtol=0, atol=tolerance * (1 + np.abs(y).max()))
        variance = np.maximum(np.diag(covariance), 0)
        np.testing.assert_allclose(found.variance, variance, rtol=0, atol=tolerance * np.abs(k).max())


def test_without_noise_training_data_are_reproduced(program: Program) -> None:
    """Protects the sign and scale of the mean: at the training inputs it is the targets, with no uncertainty."""
    x, y, _ = data(0, 5, 1)
    for kernel in ("nngp", "ntk"):
        found = regress(program, x, y, x, kernel, diag_reg=0.0)  # type: ignore[arg-type]
        np.testing.assert_allclose(found.mean, y, atol=1e-8)
        np.testing.assert_allclose(found.variance, 0, atol=1e-8)


def test_linear_model_trained_is_linear_model_inferred() -> None:
    """Protects the law of trained networks: of a single dense layer, NTK = NNGP, and training is inference."""
    program = build(nn.input(3) >> nn.dense(2, 1.3, 0.4), dtype="float64")
    x, y, x_test = data(1, 3, 4)
    nngp, ntk = (regress(program, x, y, x_test, kernel, 0.0) for kernel in ("nngp", "ntk"))  # type: ignore[arg-type]
    np.testing.assert_allclose(nngp.mean, ntk.mean, atol=1e-9)
    np.testing.assert_allclose(nngp.variance, ntk.variance, atol=1e-9)


def test_equal_inputs_are_diagnosed(program: Program) -> None:
    """Protects against NaN predictions: a singular matrix is an error that says what regularisation would do."""
    x, y, x_test = data(2, 4, 2)
    x[1] = x[0]
    with pytest.raises(InputError, match=r"not positive definite.*equal or nearly equal") as error:
        regress(program, x, y, x_test, diag_reg=0.0)
    assert error.value.hint is not None
    assert "diag_reg of" in error.value.hint


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "targets of another number": ({"y_train": np.zeros((3, 2))}, "one row for each of the 4"),
    "targets of rank 3": ({"y_train": np.zeros((4, 2, 1))}, "one row for each"),
    "a target that is not a number": ({"y_train": np.full((4, 2), np.nan)}, "not finite"),
    "a negative regularisation": ({"diag_reg": -1.0}, "should not be negative"),
    "a regularisation that is not a number": ({"diag_reg": np.nan}, "should not be negative"),
    "test inputs of another shape": ({"x_test": np.zeros((2, 4))}, "should have shape"),
    "an input that is not finite": ({"x_train": np.full((4, 3), np.inf)}, "not finite"),
    "no training data": ({"x_train": np.zeros((0, 3)), "y_train": np.zeros((0, 2))}, "one row for each"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_are_named(program: Program, case: str) -> None:
    """Protects the errors: what is wrong is said, and no number comes out."""
    change, message = BAD[case]
    x, y, x_test = data(3, 4, 2)
    with pytest.raises(InputError, match=message):
        regress(program, **({"x_train": x, "y_train": y, "x_test": x_test} | change))


def test_ntk_needs_both_kernels() -> None:
    """Protects the case in which a program lacks a kernel that inference needs."""
    program = build(NETWORK, kernels=("ntk",))
    x, y, x_test = data(4, 4, 2)
    with pytest.raises(InputError, match="does not compute the nngp kernel"):
        regress(program, x, y, x_test, "ntk")


def test_spatial_outputs_are_refused() -> None:
    """Protects the case in which the output is not one matrix."""
    program = build(nn.input(2, 1) >> nn.dense(3))
    x = np.ones((3, 2, 1))
    with pytest.raises(InputError, match="keeps spatial axes"):
        regress(program, x, np.zeros((3, 1)), x)


def test_scores() -> None:
    """Protects labels and scores: one-hot targets have mean zero over classes, scores are shares and distances."""
    targets = one_hot(np.array([0, 2]), 4)
    assert targets.tolist() == [[0.75, -0.25, -0.25, -0.25], [-0.25, -0.25, 0.75, -0.25]]
    assert accuracy(targets, np.array([0, 1])) == 0.5
    assert root_mean_square_error(np.array([[1.0], [2.0]]), np.array([[1.0], [4.0]])) == pytest.approx(2**0.5)
