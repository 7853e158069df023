"""What is computed beside predictions: evidence, leave-one-out, samples, probabilities, batches, iterations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from ntc import nn, predict
from ntc.backends.jax.program import Program
from ntc.compiler import build
from ntc.errors import InputError
from ntc.predict.preconditioner import Preconditioner, pivoted_cholesky
from tests.assertions import assert_close, assert_unbiased

pytestmark = pytest.mark.usefixtures("no_promotion_of_ranks")
NETWORK = nn.input(3) >> nn.dense(8, 1.5, 0.1) >> nn.erf() >> nn.dense(2)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def program() -> Program:
    return build(NETWORK, dtype="float64")


def data(seed: int, n: int = 6, columns: int = 2) -> tuple[Any, Any]:
    """A kernel of full rank, and targets."""
    random = np.random.default_rng(seed)
    factor = random.normal(size=(n, n + 2))
    return factor @ factor.T / n + 0.1 * np.eye(n), random.normal(size=(n, columns))


def kernel_of(parameters: Any, x: Any) -> Any:
    """A kernel with hyperparameters, to be differentiated."""
    distance = ((x[:, None] - x[None]) ** 2).sum(-1)
    return parameters["scale"] * jnp.exp(-distance * parameters["rate"][0]) + parameters["rate"][1]


@given(seed=seeds, n=st.integers(1, 6), columns=st.integers(1, 3), reg=st.sampled_from([0.0, 0.3]), whole=st.booleans())
def test_likelihood_is_the_density(seed: int, n: int, columns: int, reg: float, whole: bool) -> None:
    """Protects the log marginal likelihood: the density of a normal law, of every column."""
    k, y = data(seed, n, columns)
    noise = reg if whole else reg * np.trace(k) / n
    expected = sum(multivariate_normal(cov=k + noise * np.eye(n)).logpdf(column) for column in y.T)
    assert_close(predict.log_marginal_likelihood(k, y, reg, whole), expected, "exact", scale=10.0)


@settings(max_examples=5)
@given(seed=seeds, absolute=st.booleans())
def test_gradient_is_that_of_finite_differences(seed: int, absolute: bool) -> None:
    """Protects hyperparameter gradients: of the kernel's parameters and of the regularisation, by both ways."""
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(5, 2)), random.normal(size=(5, 2))

    def value(values: Any) -> Any:
        parameters = {"scale": values[0], "rate": values[1:3]}
        with jax.enable_x64(True):
            kernel = np.asarray(kernel_of(jax.tree.map(jnp.asarray, parameters), jnp.asarray(x)))
        return predict.log_marginal_likelihood(kernel, y, float(values[3]), absolute)

    at, step = np.array([1.3, 0.4, 0.2, 0.1]), 1e-5
    with jax.enable_x64(True):
        parameters = {"scale": jnp.asarray(at[0]), "rate": jnp.asarray(at[1:3])}
        found = predict.log_marginal_likelihood_and_gradient(
            lambda p: kernel_of(p, jnp.asarray(x)), parameters, y, at[3], absolute
        )
        traced = jax.grad(
            lambda p, reg: predict.log_marginal_likelihood(kernel_of(p, jnp.asarray(x)), y, reg, absolute), (0, 1)
        )(parameters, at[3])
    difference = [(value(at + d) - value(at - d)) / (2 * step) for d in step * np.eye(4)]
    for gradient, diag_reg in ((found.gradient, found.diag_reg), traced):
        slopes = [float(gradient["scale"]), *map(float, gradient["rate"]), float(diag_reg)]
        np.testing.assert_allclose(slopes, difference, rtol=1e-6, atol=1e-6)
    assert found.value == pytest.approx(value(at), rel=1e-12)


def test_kernels_of_networks_have_gradients() -> None:
    """Protects the way from inputs to evidence: a float32 program, differentiated by JAX, solved in float64."""
    program = build(NETWORK, kernels=("nngp",))
    random = np.random.default_rng(0)
    x, y = random.normal(size=(5, 3)), random.normal(size=(5, 1))
    found = predict.log_marginal_likelihood_and_gradient(lambda s: program(s * x).nngp, jnp.float32(1.1), y, 0.01)
    values = [predict.log_marginal_likelihood(program(s * x).nngp, y, 0.01) for s in (1.0, 1.2)]
    assert float(found.gradient) == pytest.approx((values[1] - values[0]) / 0.2, rel=0.05)


def test_fit_ends_where_the_gradient_does() -> None:
    """Protects `fit`: the likelihood grows at every step, ends at a maximum, and parameters keep their structure."""
    random = np.random.default_rng(1)
    x = random.normal(size=(30, 1))
    y = np.sin(2 * x) + 0.1 * random.normal(size=x.shape)
    start = {"scale": 0.3, "rate": np.array([0.1, 0.5])}
    seen: list[tuple[int, float]] = []
    with jax.enable_x64(True):
        found = predict.fit(
            lambda p: kernel_of(p, x), start, y, 0.1, fit_diag_reg=True, progress=lambda *report: seen.append(report)
        )
        slopes = predict.log_marginal_likelihood_and_gradient(
            lambda p: kernel_of(p, x), found.parameters, y, found.diag_reg
        )
    assert found.converged
    assert np.all(np.diff(found.history) >= 0)
    assert found.value == found.history[-1] == seen[-1][1] > found.history[0] + 10
    assert float(slopes.gradient["scale"] * found.parameters["scale"]) == pytest.approx(0, abs=0.01)
    assert slopes.diag_reg * found.diag_reg == pytest.approx(0, abs=0.01)
    assert found.diag_reg < 0.05
    with pytest.raises(InputError, match="should be positive"):
        predict.fit(lambda p: kernel_of(p, x), {"scale": -1.0, "rate": np.ones(2)}, y)


@given(seed=seeds, n=st.integers(2, 6), reg=st.sampled_from([0.0, 0.3]))
def test_leaving_one_out_is_leaving_it_out(seed: int, n: int, reg: float) -> None:
    """Protects the closed form: means and variances are those of n fits to n - 1 examples."""
    k, y = data(seed, n)
    found = predict.leave_one_out(k, y, reg, diag_reg_absolute_scale=True)
    for i in range(n):
        others = np.delete(np.arange(n), i)
        call = predict.gp_inference(k[np.ix_(others, others)], y[others], reg, True)
        expected = call("nngp", k[[i]][:, others], k[[i]][:, [i]])
        np.testing.assert_allclose(found.mean[[i]], expected.mean, atol=1e-9)
        np.testing.assert_allclose(found.variance[[i]], expected.covariance[0], atol=1e-9)


def test_samples_have_the_law() -> None:
    """Protects sampling: mean, covariance between outputs of all axes that the kernel has, none along the others."""
    random = np.random.default_rng(2)
    factor = random.normal(size=(3, 2, 4))  # of rank 4 among 6 outputs: singular
    covariance = np.einsum("iak,jbk->ijab", factor, factor)
    mean = random.normal(size=(3, 2, 2))
    drawn = predict.sample(mean, covariance, 4000, seed=0)
    assert drawn.shape == (4000, 3, 2, 2)
    centered = drawn - mean
    assert_unbiased(drawn, mean)
    expected = covariance[..., None, None] * np.eye(2)
    assert_unbiased(np.einsum("siac,sjbd->sijabcd", centered, centered), expected)
    with pytest.raises(InputError, match="not positive semidefinite"):
        predict.sample(np.zeros((2, 1)), np.diag([1.0, -0.1]), 1, seed=0)


@given(seed=seeds, spread=st.sampled_from([0.0, 0.1, 3.0]))
def test_probabilities_of_two_classes(seed: int, spread: float) -> None:
    """Protects class probabilities: of two classes they have a closed form."""
    mean = np.random.default_rng(seed).normal(size=(2, 2))
    found = predict.class_probabilities(predict.Posterior(mean, np.full(2, spread**2)))
    distance = (mean[:, 0] - mean[:, 1]) / max(spread * 2**0.5, 1e-100)
    np.testing.assert_allclose(found[:, 0], norm.cdf(distance), atol=1e-10)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)


def test_what_is_not_known_is_equally_probable() -> None:
    """Protects examples at the origin, of which a network without biases says nothing: mean and variance are zero."""
    found = predict.class_probabilities(predict.Posterior(np.zeros((1, 4)), np.zeros(1)))
    np.testing.assert_allclose(found, 0.25)


def test_probabilities_are_those_of_the_largest_output() -> None:
    """Protects class probabilities: of five classes they are counted."""
    random = np.random.default_rng(3)
    mean, variance = random.normal(size=(3, 5)), np.array([4.0, 9.0, 25.0])
    found = predict.class_probabilities(predict.Posterior(mean, variance))
    draws = mean + np.sqrt(variance)[:, None] * random.normal(size=(20000, 3, 5))
    assert_unbiased(draws.argmax(-1)[..., None] == np.arange(5), found)


def test_scores_of_probabilities() -> None:
    """Protects NLL and ECE: by hand, and for a predictor that is right as often as it says."""
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.05, 0.95]])
    labels = np.array([0, 1, 1, 1])
    expected = -np.log([0.9, 0.4, 0.7, 0.95]).mean()
    assert predict.negative_log_likelihood(probabilities, labels) == pytest.approx(expected)
    # Bins of a tenth: 0.9 and 0.95 are together and right, 0.6 is wrong, 0.7 is right.
    gaps = 2 * abs(0.925 - 1) + 0.6 + abs(0.7 - 1)
    assert predict.expected_calibration_error(probabilities, labels, bins=10) == pytest.approx(gaps / 4)
    random = np.random.default_rng(3)
    honest = random.dirichlet(np.ones(3), 20000)
    drawn = (random.random((20000, 1)) > honest.cumsum(axis=1)).sum(axis=1)
    assert predict.expected_calibration_error(honest, drawn) < 0.02
    posterior = predict.Posterior(np.array([[1.0, 2.0]]), np.array([0.25]))
    assert predict.gaussian_log_likelihood(posterior, [[1.5, 1.0]], 0.75) == pytest.approx(
        norm.logpdf([0.5, -1.0]).mean()
    )
    with pytest.raises(InputError, match="labels should be from 0 to 1"):
        predict.negative_log_likelihood(probabilities, np.array([0, 1, 2, 1]))
    with pytest.raises(InputError, match="have no density"):
        predict.gaussian_log_likelihood(predict.Posterior(np.ones((1, 1)), np.zeros(1)), [[1.0]])


def test_batches_are_the_whole(program: Program) -> None:
    """Protects streaming: batches together are the prediction of all, and no batch is asked for before its turn."""
    random = np.random.default_rng(4)
    x, y, x_test = random.normal(size=(6, 3)), random.normal(size=(6, 2)), random.normal(size=(5, 3))
    taken = []

    def batches() -> Iterator[Any]:
        for i in range(0, 5, 2):
            taken.append(i)
            yield x_test[i : i + 2]

    for kernel in ("nngp", "ntk"):
        trained = predict.Trained(program, x, y, kernel)  # type: ignore[arg-type]
        whole = trained.predict(x_test)
        parts = trained.stream(x_test, batch=2)
        assert_close(np.concatenate([part.mean for part in parts]), whole.mean, "exact")
        assert_close(trained.predict(x_test, batch=3).variance, whole.variance, "exact")
    taken.clear()
    stream = trained.stream(batches())
    assert next(stream).mean.shape == (2, 2)
    assert taken == [0]
    with pytest.raises(InputError, match="should be positive"):
        trained.stream(x_test, batch=0)


@given(seed=seeds, n=st.integers(1, 12), rank=st.sampled_from([0, 2, 100]), reg=st.sampled_from([1e-3, 0.1]))
def test_conjugate_gradients_are_cholesky(seed: int, n: int, rank: int, reg: float) -> None:
    """Protects the iterative solution: to 1e-6 that of the factorisation, and its residual is what it says."""
    k, y = data(seed, n)
    found = predict.conjugate_gradients(predict.DenseOperator(k), y, reg, rank=rank, tolerance=1e-10)
    matrix = k + reg * np.trace(k) / n * np.eye(n)
    np.testing.assert_allclose(found.coefficients, np.linalg.solve(matrix, y), rtol=0, atol=1e-6)
    residual = np.linalg.norm(y - matrix @ found.coefficients) / np.linalg.norm(y)
    assert found.residual == pytest.approx(residual, abs=1e-12)
    assert found.residual <= 1e-9


def test_products_without_a_matrix(program: Program) -> None:
    """Protects matrix-free products: a program, block by block, gives what its whole matrix gives."""
    random = np.random.default_rng(5)
    x, y = random.normal(size=(7, 3)), random.normal(size=(7, 2))
    operator = predict.ProgramOperator(program, x, "ntk", block=3)
    dense = predict.DenseOperator(program(x).ntk)
    assert_close(operator.product(y), dense.product(y), "exact")
    assert_close(operator.diagonal(), dense.diagonal(), "exact")
    found = predict.conjugate_gradients(operator, y, rank=3)
    assert_close(found.coefficients, predict.conjugate_gradients(dense, y, rank=7).coefficients, "float32")


def test_preconditioner_is_an_inverse_that_helps() -> None:
    """Protects the preconditioner: it inverts what it says, and saves iterations on a kernel of fast decay."""
    x = np.random.default_rng(6).normal(size=(80, 2))
    k, y = np.asarray(kernel_of({"scale": 1.0, "rate": [0.3, 0.0]}, x), np.float64), x[:, :1] ** 2
    k = (k + k.T) / 2
    operator = predict.DenseOperator(k)
    factor, left = pivoted_cholesky(operator, 20)
    assert_close(np.diagonal(factor @ factor.T) + left, np.diagonal(k), "exact")
    made = Preconditioner.of(operator, 0.01, 20)
    inverse = np.linalg.inv(factor @ factor.T + made.noise * np.eye(80))
    assert_close(made.apply(y), inverse @ y, "exact")
    counts = [predict.conjugate_gradients(operator, y, 1e-4, rank=rank).iterations for rank in (0, 40)]
    assert counts[1] < counts[0] / 3
    with pytest.raises(InputError, match=r"reached a residual of .* in 2 iterations"):
        predict.conjugate_gradients(operator, y, rank=0, max_iterations=2)
    with pytest.raises(InputError, match="should have shape"):
        predict.DenseOperator(np.ones((2, 3)))


def test_the_page_on_inference_runs() -> None:
    """Protects the documentation: its examples run one after the other."""
    text = (Path(__file__).parents[1] / "docs" / "inference.md").read_text()
    names: dict[str, Any] = {}
    exec("\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), names)
    assert names["law"].covariance.shape == (3, 50, 50)
    assert names["functions"].shape == (5, 50, 1)
    assert np.abs(names["mean"] - np.sin(names["x_test"])).max() < 0.5
