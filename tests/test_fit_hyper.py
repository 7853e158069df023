"""Hyperparameters of a program, fitted by name."""

from __future__ import annotations

import numpy as np
import pytest

from ntc import build, nn, predict
from ntc.errors import InputError

NETWORK = nn.input(1) >> nn.dense(8, nn.hyper(1.0, "first"), 0.2) >> nn.erf() >> nn.dense(1, nn.hyper(0.7, "last"))


def test_fit_finds_a_maximum_over_the_names_given() -> None:
    """Protects the choice by name: evidence as said, neighbours lower, others unchanged."""
    program = build(NETWORK, kernels=("nngp",), dtype="float64")
    x = np.linspace(-2, 2, 12)[:, None]
    y = 2 * np.sin(x)
    every = predict.fit_hyper(program, x, y, 1e-2)
    last = predict.fit_hyper(program, x, y, 1e-2, names=["last"])
    assert set(every.parameters) == {"first", "last"}
    assert set(last.parameters) == {"last"}
    assert every.value > last.value > last.history[0] + 0.1

    def evidence(**values: float) -> float:
        return float(predict.log_marginal_likelihood(program(x, hyper=values).nngp, y, 1e-2))

    assert evidence(**last.parameters) == pytest.approx(last.value, rel=1e-9)
    for factor in (0.97, 1.03):
        assert evidence(last=last.parameters["last"] * factor) < last.value
        for name, value in every.parameters.items():
            assert evidence(**every.parameters | {name: value * factor}) < every.value


def test_what_cannot_be_fitted_is_refused() -> None:
    """Protects against a fit of nothing: unknown names, networks without hyperparameters, kernels not computed."""
    program, x = build(NETWORK, kernels=("nngp",)), np.ones((2, 1))
    with pytest.raises(InputError, match="got middle"):
        predict.fit_hyper(program, x, x, names=["middle"])
    with pytest.raises(InputError, match="does not compute the ntk"):
        predict.fit_hyper(program, x, x, kernel="ntk")
    with pytest.raises(InputError, match="got none"):
        predict.fit_hyper(build(nn.input(1) >> nn.dense(1)), x, x)


def test_parameters_of_any_sign_are_fitted() -> None:
    """Protects length scales and offsets of nonlinearities: of a number that may be negative there is no logarithm."""
    network = nn.input(1) >> nn.dense(1, b_std=0.5) >> nn.erf(c=nn.hyper(0.0, "offset")) >> nn.dense(1)
    program = build(network, kernels=("nngp",), dtype="float64")
    x = np.linspace(-2, 2, 12)[:, None]
    y = np.tanh(x) + 1.5
    start = predict.fit_hyper(program.with_hyper({"offset": -0.3}), x, y, 1e-2)
    assert start.value > start.history[0] + 0.1
    assert abs(start.parameters["offset"]) > 0.5
    for change in (-0.05, 0.05):
        moved = program(x, hyper={"offset": start.parameters["offset"] + change}).nngp
        assert float(predict.log_marginal_likelihood(moved, y, 1e-2)) < start.value
