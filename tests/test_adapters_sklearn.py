"""The adapter to kernels of scikit-learn, and what is said where a tool of another adapter is missing."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel
from sklearn.svm import SVC

from ntc import build, nn, predict
from ntc.adapters.sklearn import NetworkKernel
from ntc.errors import InputError

NETWORK = nn.input(2) >> nn.dense(8, nn.hyper(1.3, "first"), 0.5) >> nn.erf() >> nn.dense(1, nn.hyper(0.8, "last"))
PROGRAM = build(NETWORK, dtype="float64")
RANDOM = np.random.default_rng(0)
X, TEST = RANDOM.normal(size=(12, 2)), RANDOM.normal(size=(5, 2))
Y = np.sin(X[:, 0]) + X[:, 1]


@pytest.mark.parametrize("which", ["nngp", "ntk"])
def test_matrices_and_slopes_are_those_of_the_program(which: Any) -> None:
    """Protects the kernel, its diagonal, and its derivatives by logarithms, against differences of the program."""
    kernel = NetworkKernel(PROGRAM, which)
    matrix, slopes = kernel(X, eval_gradient=True)
    np.testing.assert_allclose(matrix, getattr(PROGRAM(X), which), rtol=1e-12)
    np.testing.assert_allclose(kernel(TEST, X), getattr(PROGRAM(TEST, X), which), rtol=1e-12)
    np.testing.assert_allclose(kernel.diag(X), np.diagonal(matrix), rtol=1e-12)
    for place, name in enumerate(kernel.names):
        value = PROGRAM.hyper[name]
        up, down = (getattr(PROGRAM(X, hyper={name: value * np.exp(h)}), which) for h in (1e-5, -1e-5))
        expected = (np.asarray(up) - np.asarray(down)) / 2e-5
        np.testing.assert_allclose(slopes[..., place], expected, rtol=1e-6, atol=1e-8)


def test_gaussian_process_is_inference_with_the_kernel() -> None:
    """Protects fits of scikit-learn: without optimiser the posterior is ours, with it the evidence is larger, and
    clones do not compile again."""
    kernel = NetworkKernel(PROGRAM)
    fixed = GaussianProcessRegressor(kernel, alpha=0.1, optimizer=None).fit(X, Y)
    mean, deviation = fixed.predict(TEST, return_std=True)
    ours = predict.regress(PROGRAM, X, Y, TEST, diag_reg=0.1 / np.mean(kernel.diag(X)))
    np.testing.assert_allclose(mean, ours.mean[:, 0], rtol=1e-8)
    np.testing.assert_allclose(deviation**2, ours.variance, rtol=1e-6)
    fitted = GaussianProcessRegressor(kernel + WhiteKernel(0.1, "fixed")).fit(X, Y)
    assert fitted.log_marginal_likelihood_value_ > fixed.log_marginal_likelihood_value_ + 0.1
    assert clone(kernel) == kernel
    assert clone(kernel).program is PROGRAM
    assert repr(fitted.kernel_.k1).startswith("NetworkKernel(")
    assert "first=1.3, last=0.8" in repr(kernel)


def test_support_vectors_read_the_kernel() -> None:
    """Protects `SVC(kernel=...)`, which gives features and wants matrices: predictions are those with the matrix."""
    labels = Y > 0
    found = SVC(kernel=NetworkKernel(PROGRAM, "ntk")).fit(X, labels)
    expected = SVC(kernel="precomputed").fit(np.asarray(PROGRAM(X).ntk), labels)
    np.testing.assert_array_equal(found.predict(TEST), expected.predict(np.asarray(PROGRAM(TEST, X).ntk)))


def test_what_does_not_fit_is_refused() -> None:
    """Protects against raw errors: kernels that are not computed, other numbers of features, networks of two inputs,
    with spatial axes."""
    with pytest.raises(InputError, match="computes nngp, not 'ntk'"):
        NetworkKernel(build(NETWORK, kernels=("nngp",)), "ntk")(X)
    with pytest.raises(InputError, match=r"shape \(n, 2\)"):
        NetworkKernel(PROGRAM)(np.ones((3, 4)))
    spatial = build(nn.input(2, 1) >> nn.conv(4, 1) >> nn.relu(), dtype="float64")
    with pytest.raises(InputError, match="keeps spatial axes"):
        NetworkKernel(spatial)(X)


@pytest.mark.parametrize("name", ["tinygp", "gpjax", "gpytorch", "torch", "sklearn"])
def test_a_missing_tool_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects whoever has not installed it: the error names the package."""
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"ntc.adapters.{name}", raising=False)
    with pytest.raises(InputError, match="this adapter needs") as error:
        import_module(f"ntc.adapters.{name}")
    assert {"sklearn": "scikit-learn", "gpytorch": "torch"}.get(name, name) in str(error.value)
