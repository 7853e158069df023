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

import ntc
from ntc import build, estimators, nn, predict
from ntc.errors import InputError, ParameterError, UnsupportedError

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
    assert base.get_params()["hypers__first"] == 1.3
    single = GridSearchCV(base, {"hypers__first": [0.5, 2.0]}, cv=2).fit(X, Y)
    assert (
        single.best_estimator_.hypers_
        == {"first": single.best_params_["hypers__first"]}
        == search.best_params_["hypers"]
    )
    with pytest.raises(InputError, match="no hyperparameter `second`"):
        clone(base).set_params(hypers__second=1.0).fit(X, Y)


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


def table(examples: int = 60) -> tuple[Any, Any]:
    """Noisy numbers that depend on one feature of two."""
    random = np.random.default_rng(1)
    x = random.normal(size=(examples, 2))
    return x, np.sin(2 * x[:, 0]) + 0.3 * random.normal(size=examples)


def test_the_regularisation_is_chosen() -> None:
    """Protects the default: it is what `choose_diag_reg` finds for targets of mean zero and variance one, deviations
    are in that scale, and length scales tell which feature matters."""
    x, y = table()
    model = estimators.NNGPRegressor(LAYERS).fit(x, y)
    scaled = (y - y.mean()) / y.std()
    program = build(nn.input(2) >> LAYERS, kernels=("nngp",), dtype="float64")
    chosen = predict.choose_diag_reg(program(x), scaled)
    assert model.diag_reg_ == pytest.approx(chosen.diag_reg)
    expected = predict.regress(program, x, scaled, X, diag_reg=chosen.diag_reg)
    mean, deviation = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, expected.mean[:, 0] * y.std() + y.mean(), rtol=1e-9)
    np.testing.assert_allclose(deviation, np.sqrt(expected.variance * chosen.scale) * y.std(), rtol=1e-9)
    noise = chosen.scale * chosen.diag_reg * np.mean(np.diag(program(x).nngp)) * y.var()
    assert noise**0.5 == pytest.approx(0.3, rel=0.3)
    fitted = estimators.NNGPRegressor(LAYERS, optimize=True, length_scales=True).fit(x, y)
    assert fitted.length_scales_[1] > 2 * fitted.length_scales_[0]
    assert fitted.log_marginal_likelihood_ > model.log_marginal_likelihood_
    np.testing.assert_allclose(copy.deepcopy(fitted).predict(X), fitted.predict(X), rtol=1e-12)
    assert fitted.score(*table(200)) > model.score(*table(200)) - 0.05
    with pytest.raises(ParameterError, match="length scales are fitted"):
        estimators.NNGPRegressor(length_scales=True).fit(x, y)


def test_weights_are_noise() -> None:
    """Protects `sample_weight` and `class_weight`: noise is divided by the weight, examples of weight zero are not
    there, and a rare class that weighs as much as others is predicted more often."""
    x, y = table()
    weights = np.where(x[:, 0] > 0, 4.0, 0.5)
    weights[0] = 0
    model = estimators.NTKRegressor(LAYERS, diag_reg=0.1).fit(x, y, sample_weight=weights)
    there = weights > 0
    mean = np.average(y[there], weights=weights[there])
    deviation = np.average((y[there] - mean) ** 2, weights=weights[there]) ** 0.5
    program = build(nn.input(2) >> LAYERS, dtype="float64")
    law = predict.regress(program, x[there], (y[there] - mean) / deviation, X, "ntk", 0.1 / weights[there])
    np.testing.assert_allclose(model.predict(X), law.mean[:, 0] * deviation + mean, rtol=1e-9)
    with pytest.raises(ValueError, match="zero"):
        estimators.NTKRegressor(LAYERS).fit(x, y, sample_weight=np.zeros(60))
    labels = np.where(y > 0.8, "rare", "common")
    counts = [
        np.sum(estimators.NNGPClassifier(LAYERS, class_weight=weight).fit(x, labels).predict(x) == "rare")
        for weight in (None, "balanced")
    ]
    assert counts[0] < np.sum(labels == "rare") < counts[1]


@pytest.mark.parametrize("class_", [estimators.NTKClassifier, estimators.NNGPClassifier])
def test_probabilities_are_as_right_as_they_say(class_: Any) -> None:
    """Protects calibration: on other examples the log loss is less than without, and near that of the truth; classes
    and probabilities agree; `posterior` is the probability of the largest output."""
    random = np.random.default_rng(2)
    x, other = random.normal(size=(150, 2)), random.normal(size=(400, 2))

    def drawn(x: Any) -> Any:
        return (random.uniform(size=len(x)) < 1 / (1 + np.exp(-3 * x[:, 0]))).astype(int)

    labels, truth = drawn(x), drawn(other)
    left_out = class_(LAYERS).fit(x, labels)
    plain = class_(LAYERS, probabilities="posterior").fit(x, labels)
    losses = [predict.negative_log_likelihood(model.predict_proba(other), truth) for model in (left_out, plain)]
    best = np.stack([1 / (1 + np.exp(3 * other[:, 0])), 1 / (1 + np.exp(-3 * other[:, 0]))], axis=1)
    assert losses[0] < min(losses[1] - 0.1, predict.negative_log_likelihood(best, truth) + 0.04)
    np.testing.assert_array_equal(np.argmax(left_out.predict_proba(other), axis=1), left_out.predict(other))
    assert estimators.NTKClassifier(LAYERS, t=10.0).fit(x, labels).predict_proba(other).shape == (400, 2)
    with pytest.raises(ParameterError, match="left_out or posterior"):
        class_(LAYERS, probabilities="guess").fit(x, labels)


def test_means_need_no_variances(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the time of `predict`, and of probabilities that need means alone: nothing is solved for test inputs."""
    x, y = table()
    regressor = estimators.NTKRegressor(LAYERS).fit(x, y)
    classifier = estimators.NNGPClassifier(LAYERS).fit(x, y > 0)
    monkeypatch.setattr(type(regressor.program_), "diagonal", None)
    assert regressor.predict(X).shape == (6,)
    assert classifier.predict(X).shape == classifier.predict_proba(X)[:, 0].shape == (6,)


def test_they_are_at_the_top_and_say_what_they_are() -> None:
    """Protects `ntc.NTKClassifier`, and a repr that can be read."""
    assert ntc.NTKClassifier is estimators.NTKClassifier
    assert {"NNGPClassifier", "NNGPRegressor", "NTKClassifier", "NTKRegressor"} <= set(dir(ntc))
    assert repr(ntc.NNGPRegressor(t=3.0)) == "NNGPRegressor(t=3.0)"
    shown = repr(ntc.NNGPClassifier(LAYERS, optimize=True))
    assert "dense(8, w_std=hyper(1.3, 'first'), b_std=0.2) >> erf() >> dense(1)" in shown
    skip = nn.sum(nn.identity(), nn.repeat(2, nn.dense(4, 1.5) >> nn.relu()))
    network = nn.input(2, 1) >> nn.flatten() >> skip >> nn.output("features")
    expected = "sum(identity(), repeat(2, dense(4, w_std=1.5) >> relu()))"
    assert repr(network) == f"input(2, 1) >> flatten() >> {expected} >> output('features')"


def test_rows_may_end_with_a_pattern() -> None:
    """Protects graphs in tables: features of the vertices, then the matrix of edges, as pipelines and folds cut them;
    the same as `regress` with `Examples`."""
    random = np.random.default_rng(0)
    layers = nn.aggregate() >> nn.dense(8) >> nn.relu() >> nn.flatten() >> nn.dense(1)
    network = nn.input(3, 2) >> layers
    x, edges, y = random.normal(size=(9, 3, 2)), random.random((9, 3, 3)), random.normal(size=9)
    table = np.concatenate([x.reshape(9, -1), edges.reshape(9, -1)], axis=1)
    model = estimators.NNGPRegressor(network, diag_reg=1e-2).fit(table[:6], y[:6])
    first, second = (predict.Examples(x[rows], pattern=edges[rows]) for rows in (slice(6), slice(6, 9)))
    scale, offset = y[:6].std(), y[:6].mean()
    program = ntc.build(network, dtype="float64")
    law = predict.regress(program, first, (y[:6, None] - offset) / scale, second, "nngp", 1e-2)
    np.testing.assert_allclose(model.predict(table[6:]), law.mean[:, 0] * scale + offset)
    with pytest.raises(InputError, match="6 numbers and its pattern 9, X has 14 features"):
        estimators.NNGPRegressor(network).fit(table[:, 1:], y)
    with pytest.raises(ParameterError, match="to the end, and in memory"):
        estimators.NNGPRegressor(network, t=1.0).fit(table, y)
    with pytest.raises(UnsupportedError, match="means and variances alone"):
        model.predict(table, return_cov=True)
