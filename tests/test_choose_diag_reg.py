"""The regularisation that the training set asks for, what is left out, and probabilities fitted to that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from ntc import build, jobs, nn, predict
from ntc.errors import InputError
from ntc.predict.choose_diag_reg import CANDIDATES
from ntc.predict.posterior import Regression

NETWORK = nn.input(2) >> nn.dense(8, 1.3, 0.5) >> nn.relu() >> nn.dense(1)
PROGRAM = build(NETWORK, dtype="float64")
RANDOM = np.random.default_rng(0)
X, TEST = RANDOM.normal(size=(30, 2)), RANDOM.normal(size=(5, 2))
Y = np.stack([np.sin(2 * X[:, 0]), X[:, 1]], axis=1) + 0.3 * RANDOM.normal(size=(30, 2))
KERNELS = PROGRAM(X)
K, T = np.asarray(KERNELS.nngp), np.asarray(KERNELS.ntk)
FEW = CANDIDATES[::4]


def left_out(kernel: Any, y: Any, noise: Any, row: int) -> Any:
    """The mean of one example by training on all others."""
    others = np.delete(np.arange(len(y)), row)
    matrix = kernel[np.ix_(others, others)] + np.diag(np.broadcast_to(noise, len(y))[others])
    return kernel[row, others] @ np.linalg.solve(matrix, y[others])


def test_the_evidence_is_largest_there() -> None:
    """Protects the choice: at the regularisation and scale found, the log marginal likelihood is as said, and no other
    candidate, whatever its scale, has a larger one."""
    found = predict.choose_diag_reg(K, Y)

    def evidence(diag_reg: float, scale: float) -> float:
        return float(predict.log_marginal_likelihood(scale * K, Y, diag_reg)) / Y.size

    assert found.value == pytest.approx(evidence(found.diag_reg, found.scale), rel=1e-10)
    for other in FEW:
        best = minimize_scalar(lambda s, r=other: -evidence(r, np.exp(s)), bounds=(-9, 9), method="bounded")
        assert -best.fun <= found.value + 1e-9


def test_what_is_left_out_is_predicted_best_there() -> None:
    """Protects the other criterion: the error is that of training on all others, for every candidate, with weights."""
    mean = np.mean(np.diag(T))
    weights = RANDOM.uniform(0.5, 2, size=30)
    for given in (None, weights):
        heavy = np.ones(30) if given is None else given
        found = predict.choose_diag_reg(T, Y, criterion="leave_one_out", weights=given)
        relative = np.average(np.diag(T), weights=heavy) / heavy

        def error(diag_reg: float, relative: Any = relative, heavy: Any = heavy) -> float:
            residuals = [Y[i] - left_out(T, Y, diag_reg * relative, i) for i in range(30)]
            return float(np.sum(heavy[:, None] * np.square(residuals)) / (heavy.sum() * 2))

        noise = float(np.mean(found.diag_reg * mean / relative))
        assert -found.value == pytest.approx(error(noise), rel=1e-8)
        assert all(error(other) >= -found.value - 1e-12 for other in FEW)


def test_weights_are_copies() -> None:
    """Protects `sample_weight`: an example of weight three is three equal ones, in the choice and in predictions."""
    weights = np.where(np.arange(30) < 5, 3.0, 1.0)
    rows = np.repeat(np.arange(30), weights.astype(int))
    one, other = predict.choose_diag_reg(K, Y, weights=weights), predict.choose_diag_reg(K[np.ix_(rows, rows)], Y[rows])
    assert one.scale == pytest.approx(other.scale, rel=1e-6)
    expected = predict.regress(PROGRAM, X[rows], Y[rows], TEST, diag_reg=other.diag_reg)
    found = predict.regress(PROGRAM, X, Y, TEST, diag_reg=one.diag_reg)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-8)
    np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-6)


def test_variances_of_networks_that_leave_one_out() -> None:
    """Protects `leave_one_out(nngp=...)`: the law of networks trained on all other examples."""
    noise = 0.05 * np.mean(np.diag(T))
    found = predict.leave_one_out(T, Y, noise, diag_reg_absolute_scale=True, nngp=K)
    for row in (0, 7):
        others = np.delete(np.arange(30), row)
        weights = np.linalg.solve(T[np.ix_(others, others)] + noise * np.eye(29), T[others, row])
        expected = K[row, row] + weights @ K[np.ix_(others, others)] @ weights - 2 * weights @ K[others, row]
        np.testing.assert_allclose(found.mean[row], weights @ Y[others], rtol=1e-9)
        trained = Regression(KERNELS, Y, "ntk", 0.05)
        np.testing.assert_allclose(trained.left_out(np.array([3, row]))[1], weights @ Y[others], rtol=1e-9)
        assert found.variance[row] == pytest.approx(expected, rel=1e-8)
    with pytest.raises(InputError, match="that of the NTK"):
        predict.leave_one_out(T, Y, nngp=K[:3])


def test_auto_is_what_is_chosen(tmp_path: Any) -> None:
    """Protects "auto" in `regress`, `Trained` and with a store: predictions with the number that is chosen, by the
    evidence for the NNGP, by leaving out for the NTK; float32 kernels get no less than their rounding allows."""
    for which, kernel, criterion in (("nngp", K, "evidence"), ("ntk", T, "leave_one_out")):
        chosen = predict.choose_diag_reg(kernel, Y, criterion=criterion).diag_reg
        trained = predict.Trained(PROGRAM, X, Y, which, diag_reg="auto")
        assert trained.diag_reg == chosen
        expected = predict.regress(PROGRAM, X, Y, TEST, which, diag_reg=chosen)
        np.testing.assert_array_equal(trained.predict(TEST).mean, expected.mean)
        job = jobs.create(PROGRAM, X, store=tmp_path / which)
        job.run()
        assert predict.Trained(PROGRAM, X, Y, which, "auto", store=job).diag_reg == pytest.approx(chosen)
    smooth = np.linspace(0, 1, 30)[:, None]
    exact = np.exp(-((smooth - smooth.T) ** 2))
    assert predict.choose_diag_reg(exact, smooth).diag_reg == CANDIDATES[0]
    assert predict.choose_diag_reg(exact.astype(np.float32), smooth).diag_reg > 3 * CANDIDATES[0]


def test_means_alone_need_no_diagonal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects predictions of labels: without variances nothing is solved for test inputs, and their kernels with
    themselves are not computed."""
    trained = predict.Trained(PROGRAM, X, Y, "ntk")
    expected = trained.predict(TEST).mean
    monkeypatch.setattr(type(PROGRAM), "diagonal", None)
    found = trained.predict(TEST, variances=False)
    np.testing.assert_array_equal(found.mean, expected)
    assert np.isnan(found.variance).all()


def test_a_temperature_has_the_least_log_loss() -> None:
    """Protects calibration: no other temperature has less, with weights as with copies; and where all are right it is a
    number."""
    means = RANDOM.normal(size=(200, 3))
    labels = np.array([RANDOM.choice(3, p=p) for p in predict.tempered_probabilities(means, 0.5)])
    found = predict.fit_temperature(means, labels)
    assert found == pytest.approx(0.5, rel=0.25)

    def smoothed(temperature: float) -> float:
        logs = log_softmax(means / temperature, axis=1)
        missing = (1 / (np.bincount(labels)[labels] + 2))[:, None]
        targets = np.where(np.eye(3)[labels] == 1, 1 - missing, missing / 2)
        return -float(np.sum(targets * logs))

    best = minimize_scalar(smoothed, bounds=(0.05, 5), method="bounded", options={"xatol": 1e-9})
    assert found == pytest.approx(best.x, rel=1e-5)
    twice = predict.fit_temperature(np.concatenate([means, means[:50]]), np.concatenate([labels, labels[:50]]))
    weights = np.where(np.arange(200) < 50, 2.0, 1.0)
    assert predict.fit_temperature(means, labels, weights) == pytest.approx(twice, rel=1e-9)
    certain = predict.fit_temperature(np.eye(3)[labels], labels)
    assert 0 < certain < 1
    assert predict.fit_temperature(-np.eye(3)[labels], labels) > 100  # worse than chance: all are alike


def test_what_does_not_fit_is_refused() -> None:
    """Protects against raw errors: words that are no regularisation, weights of zero, other shapes."""
    with pytest.raises(InputError, match='a number or "auto"'):
        predict.regress(PROGRAM, X, Y, TEST, diag_reg="none")
    with pytest.raises(InputError, match="choose_diag_reg"):
        predict.gp_inference(K, Y, diag_reg="auto")("nngp", K)
    with pytest.raises(InputError, match="choose_diag_reg"):
        predict.fit(lambda s: s * K, 1.0, Y, "auto")
    with pytest.raises(InputError, match="30 positive numbers"):
        predict.choose_diag_reg(K, Y, weights=np.zeros(30))
    with pytest.raises(InputError, match="criterion should be"):
        predict.choose_diag_reg(K, Y, criterion="guess")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="should be a matrix"):
        predict.choose_diag_reg(K[:4], Y)
    with pytest.raises(InputError, match="two classes or more"):
        predict.fit_temperature(np.ones(3), np.zeros(3, int))


def test_fits_find_scale_noise_and_length_scales() -> None:
    """Protects `fit_hyper` with `fit_scale` and `length_scales`: the evidence is that at the result, its gradient is
    zero there, and a feature that says nothing gets a long scale."""
    network = nn.input(2) >> nn.dense(8, nn.hyper(1.3, "first"), 0.5) >> nn.erf() >> nn.dense(1)
    program = build(network, kernels=("nngp",), dtype="float64")
    y = np.sin(2 * X[:, :1]) + 0.05 * RANDOM.normal(size=(30, 1))
    found = predict.fit_hyper(program, X, y, 0.1, fit_diag_reg=True, fit_scale=True, length_scales=np.ones(2))
    assert found.length_scales[1] > 3 * found.length_scales[0]
    matrix = np.asarray(program(X / found.length_scales, hyper=found.parameters).nngp)
    value = float(predict.log_marginal_likelihood(found.scale * matrix, y, found.diag_reg))
    assert found.value == pytest.approx(value, rel=1e-9)
    assert predict.choose_diag_reg(matrix, y).value * len(y) == pytest.approx(value, abs=0.1)
    for factor in (0.98, 1.02):
        assert float(predict.log_marginal_likelihood(factor * found.scale * matrix, y, found.diag_reg)) < value
        assert float(predict.log_marginal_likelihood(found.scale * matrix, y, factor * found.diag_reg)) < value
    noises = np.linspace(0.05, 0.2, 30)
    each = predict.fit_hyper(program, X, y, noises, fit_diag_reg=True)
    assert np.ptp(each.diag_reg / noises) < 1e-12
    assert each.value > each.history[0]
