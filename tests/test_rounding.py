"""Kernels that are singular, or rounded: predictions where they are determined, warnings and errors where not."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

from ntc import nn, predict
from ntc.compiler import build
from ntc.errors import InputError
from tests.assertions import assert_close

pytestmark = pytest.mark.usefixtures("no_promotion_of_ranks")


def rbf(a: Any, b: Any) -> Any:
    """A kernel of full rank between distinct points."""
    return np.exp(-((a[:, None] - b) ** 2) / 2)


X = np.array([-2.0, 0.1, 2.2])
X_TEST = np.array([-1.0, 0.5, 3.0])
Y = np.array([[1.0], [-0.5], [0.3]])
TWICE = [0, 1, 2, 1]


def test_equal_inputs_with_equal_targets_are_one_input() -> None:
    """Protects singular kernels without regularisation: means and covariances are those without the second copy."""
    k, cross, prior = rbf(X, X), rbf(X_TEST, X), rbf(X_TEST, X_TEST)
    mean = cross @ np.linalg.solve(k, Y)
    covariance = prior - cross @ np.linalg.solve(k, cross.T)
    singular, wide = k[TWICE][:, TWICE], cross[:, TWICE]
    with pytest.warns(predict.RoundingWarning, match="1 of 4 eigenvalues of .* are zero within rounding"):
        found = predict.gp_inference(singular, Y[TWICE])("nngp", wide, prior)
    assert_close(found.mean, mean, "float64")
    assert_close(found.covariance, covariance, "float64")
    with pytest.warns(predict.RoundingWarning):
        flow = predict.gradient_descent_mse(singular, Y[TWICE])(None, None, 0.0, wide)
    assert_close(flow, mean, "float64")


def test_what_a_singular_kernel_cannot_say_is_refused() -> None:
    """Protects against wrong numbers: targets that contradict each other, and test inputs nearer than rounding tells
    the training inputs apart, are errors with the regularisation that would do."""
    k, cross = rbf(X, X)[TWICE][:, TWICE], rbf(X_TEST, X)[:, TWICE]
    contradicting = Y[TWICE] + np.array([[0.0], [0.0], [0.0], [1e-3]])
    apart = cross + np.array([0.0, 1e-6, 0.0, -1e-6])
    for targets, rows in ((contradicting, cross), (Y[TWICE], apart)):
        with pytest.raises(InputError, match="not positive definite with diag_reg=0") as error:
            predict.gradient_descent_mse(k, targets)(None, None, 0.0, rows)
        assert "diag_reg of" in (error.value.hint or "")


def test_smooth_kernels_are_refused_where_digits_are_lost() -> None:
    """Protects against truncated solutions: eigenvalues that fall without a gap through the rounding, and targets that
    they would be needed for."""
    x = np.linspace(0, 1, 30)
    k = rbf(x, x)
    with pytest.raises(InputError, match="not positive definite"):
        predict.gp_inference(k, np.sign(x - 0.4)[:, None])("nngp", k[:3])


LINE = np.linspace(-3, 3, 60).astype(np.float32)[:, None]


@cache
def kernels_on_a_line(bias: float, dtype: Any) -> tuple[Any, Any]:
    """Of relu networks, between 60 points, and of 19 between them with these."""
    layers = nn.dense(8, 2**0.5, bias) >> nn.relu() >> nn.dense(8, 2**0.5, bias) >> nn.relu() >> nn.dense(1)
    program = build(nn.input(1) >> layers, dtype=dtype)
    between = (LINE[1:] + LINE[:-1])[::3] / 2
    return program(LINE), program(between, LINE)


@pytest.mark.parametrize(
    ("kernel", "bias", "diag_reg", "said"),
    [
        ("ntk", 0.0, 1e-3, True),  # 50 % off
        ("nngp", 0.1, 1e-6, True),  # 10 % off
        ("nngp", 0.1, 1e-4, False),  # 0.2 % off
        ("ntk", 0.1, 1e-4, False),
    ],
)
def test_rounding_is_compared_with_the_regularisation(kernel: str, bias: float, diag_reg: float, said: bool) -> None:
    """Protects from predictions that rounding of a float32 kernel makes: they are said, and only they are. What is
    advised instead is quiet, and as the exact kernel has it within a hundredth or so."""
    y = np.sin(LINE) + 0.1 * np.random.default_rng(0).normal(size=LINE.shape)
    exact, rounded = ([getattr(k, kernel) for k in kernels_on_a_line(bias, dtype)] for dtype in ("float64", "float32"))

    def predicted(kernels: Any, reg: float, t: float | None) -> tuple[Any, list[Any]]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", predict.RoundingWarning)
            mean = predict.gradient_descent_mse(kernels[0], y, diag_reg=reg)(t, None, 0.0, kernels[1])
        return np.asarray(mean), [str(one.message) for one in caught if "less exact than" in str(one.message)]

    for t in (None, np.inf):
        assert predicted(exact, diag_reg, t)[1] == []
        (right, _), (found, messages) = predicted(exact, diag_reg, t), predicted(rounded, diag_reg, t)
        assert (np.abs(found - right).max() > 0.02 * np.abs(y).max()) == bool(messages) == said
        if messages:
            advised = float(messages[0].split("diag_reg of ")[1].split()[0])
            (right, _), (found, again) = predicted(exact, advised, t), predicted(rounded, advised, t)
            assert again == []
            assert np.abs(found - right).max() < 0.05 * np.abs(y).max()
