"""The estimators of scikit-learn."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from ntc import build, estimators, nn, predict
from ntc.errors import InputError, ParameterError

ALL = [
    estimators.NTKRegressor(),
    estimators.NNGPRegressor(),
    estimators.NTKClassifier(),
    estimators.NNGPClassifier(),
]
LAYERS = nn.dense(8, nn.hyper(1.3, "first"), 0.2) >> nn.erf() >> nn.dense(1)
X = np.linspace(-2, 2, 12).reshape(6, 2)
Y = np.stack([np.sin(X[:, 0]), 3 + X[:, 1] ** 2], axis=1)


@parametrize_with_checks(ALL)  # type: ignore[untyped-decorator]
def test_scikit_learn_accepts_them(estimator: Any, check: Any) -> None:
    """Protects the contract that pipelines and searches rely on."""
    check(estimator)


@pytest.mark.parametrize("time", [None, 5.0])
@pytest.mark.parametrize("kernel", ["nngp", "ntk"])
def test_predictions_are_those_of_inference(kernel: str, time: float | None) -> None:
    """Protects scaling and variance: means and deviations are those of the ensemble, in the units of y."""
    class_ = {"nngp": estimators.NNGPRegressor, "ntk": estimators.NTKRegressor}[kernel]
    model = class_(LAYERS, diag_reg=1e-3, t=time).fit(X, Y)
    x_test = X[:3] + 0.1
    mean, deviation = model.predict(x_test, return_std=True)
    scale = Y.std(axis=0)
    program = build(nn.input(2) >> LAYERS, dtype="float64")
    ensemble = predict.gradient_descent_mse_ensemble(program, X, (Y - Y.mean(axis=0)) / scale, diag_reg=1e-3)
    law = ensemble(time, x_test, kernel, True)
    np.testing.assert_allclose(mean, np.asarray(law.mean) * scale + Y.mean(axis=0), rtol=1e-8)
    expected = np.sqrt(np.diagonal(law.covariance))[:, None] * scale
    np.testing.assert_allclose(deviation, expected, rtol=1e-5)
    joint = model.predict(x_test, return_cov=True)[1]
    np.testing.assert_allclose(joint, np.asarray(law.covariance)[..., None] * scale**2, rtol=1e-8, atol=1e-12)
    half = None if time is None else time / 2  # the loss is a mean over outputs, so that of one is twice as steep
    one = class_(LAYERS, diag_reg=1e-3, t=half).fit(X, Y[:, 0])
    np.testing.assert_allclose(one.predict(x_test, return_cov=True)[1], joint[..., 0], rtol=1e-8, atol=1e-12)
    with pytest.raises(ParameterError, match="cannot both"):
        one.predict(x_test, return_std=True, return_cov=True)
    restored = copy.deepcopy(model)  # by the protocol of pickling
    np.testing.assert_allclose(restored.predict(x_test), mean, rtol=1e-12)
    assert model.sample_y(x_test, 4).shape == (3, 2, 4)


def test_hyperparameters_are_searched_and_optimised() -> None:
    """Protects `hypers` and `optimize`: both change the network, the second to where the evidence is larger."""
    base = estimators.NNGPRegressor(LAYERS, diag_reg=1e-2)
    best = clone(base).set_params(optimize=True).fit(X, Y)
    assert best.log_marginal_likelihood_ > base.fit(X, Y).log_marginal_likelihood_
    assert best.hypers_ != base.hypers_ == {"first": 1.3}
    search = GridSearchCV(base, {"hypers": [{"first": 0.5}, {"first": 2.0}]}, cv=2).fit(X, Y)
    assert search.best_estimator_.hypers_ == search.best_params_["hypers"]


def test_images_take_the_shape_of_the_input() -> None:
    """Protects models with an input of their own: features are reshaped, a wrong number of them is refused."""
    text = "model m = input(2, 2, 1) |> conv(4, 2) |> relu |> flatten |> dense(1)"
    x = np.random.default_rng(0).normal(size=(6, 4))
    labels = np.array(["a", "b", "c"] * 2)
    model = estimators.NTKClassifier(text, diag_reg=1e-4).fit(x, labels)
    assert list(model.predict(x)) == list(labels)
    np.testing.assert_allclose(model.predict_proba(x).sum(axis=1), 1)
    with pytest.raises(InputError, match="has 4 numbers, X has 2 features"):
        estimators.NTKClassifier(text).fit(X, labels)
