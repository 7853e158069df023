"""Kernels that are not finite: an error with layer and variance, never NaN of finite inputs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ntc
from ntc import nn, stax
from ntc.errors import NonFiniteError

_dense = nn.dense(8, 1.0, 0.1)


def program(layer: Any, dtype: str = "float32") -> Any:
    return ntc.build(nn.input(4) >> _dense >> layer >> _dense >> nn.relu() >> nn.dense(1), dtype=dtype)


X = np.random.default_rng(0).normal(size=(5, 4)) * 300


@pytest.mark.parametrize(("name", "layer"), [("activation", nn.activation("sin(x) * sigmoid(x)")), ("exp", nn.exp())])
@pytest.mark.parametrize("x2", [None, X[:2]], ids=["own", "cross"])
def test_the_error_names_layer_and_variance(name: str, layer: Any, x2: Any) -> None:
    """Protects from matrices of NaN, or of inf, of finite inputs: what no nodes resolve, and overflow."""
    with pytest.raises(NonFiniteError, match=rf"{name}.*is not at a variance of its input of \d") as caught:
        program(layer)(X, x2)
    assert "smaller scale" in str(caught.value)


def test_the_diagonal_is_checked() -> None:
    """Protects `program.diagonal`."""
    with pytest.raises(NonFiniteError, match="example 0 with itself"):
        program(nn.exp()).diagonal(X)


def test_only_what_is_not_finite_is_to_blame() -> None:
    """Protects the numbers of the error: the first bad example is named, and examples of small scale have kernels."""
    x = np.concatenate([X / 300, X[3:]])
    assert np.isfinite(program(nn.exp())(x[:5]).ntk).all()
    with pytest.raises(NonFiniteError, match=r"examples \d and [56] is"):
        program(nn.exp())(x)


def test_inputs_that_are_not_finite_stay_so() -> None:
    """Protects NaN among inputs, whose kernels are NaN, while an overflow beside them is still an error."""
    x = X / 300
    x[1] = np.nan
    found = np.asarray(program(nn.tanh())(x).ntk)
    assert np.isnan(found[1]).all()
    assert np.isfinite(np.delete(np.delete(found, 1, 0), 1, 1)).all()
    with pytest.raises(NonFiniteError):
        program(nn.exp())(np.concatenate([x, X]))


def test_kernel_functions_of_stax() -> None:
    """Protects `kernel_fn` outside of transformations."""
    _, _, kernel_fn = stax.serial(stax.Dense(8), stax.Exp(), stax.Dense(1))
    with pytest.raises(NonFiniteError, match="exp"):
        kernel_fn(X.astype(np.float32), None, "nngp")


def test_the_error_points_at_the_model_file(tmp_path: Path) -> None:
    """Protects the place: the line of the layer in a model."""
    model = tmp_path / "steep.nt"
    model.write_text("model steep =\n  input(4)\n  |> dense(8)\n  |> exp\n  |> dense(1)\n")
    with pytest.raises(NonFiniteError) as caught:
        ntc.build(ntc.load_graph(model))(X)
    assert caught.value.location is not None
    assert caught.value.location.line == 4


def test_deep_networks_are_searched_in_seconds() -> None:
    """Protects from a hang: of 200 layers that double variances, that where float32 ends is named; with every value as
    an output, that took minutes to compile."""
    layer = nn.serial(nn.dense(8, 2.0), nn.relu())
    deep = ntc.build(nn.input(4) >> nn.repeat(200, layer) >> nn.dense(1), kernels=("nngp",))
    x = X[:2] / np.linalg.norm(X[:2], axis=1, keepdims=True) * 2  # of variance one
    with pytest.raises(NonFiniteError, match=r"%dense128\.v"):
        deep(x)


def test_kernels_that_vanish_are_told() -> None:
    """Protects from zeros in silence: variances of 0.02^n leave float32 after 22 layers, which is said with the layer;
    kernels of an input of zeros, or that are zero by definition, are zero."""
    layer = nn.serial(nn.dense(8, 0.2), nn.relu())
    small = ntc.build(nn.input(4) >> nn.repeat(60, layer) >> nn.dense(1))
    x = X[:2] / np.linalg.norm(X[:2], axis=1, keepdims=True) * 2
    with pytest.warns(UserWarning, match=r"nngp and ntk kernels are zero everywhere: at %dense2[23]\.v"):
        assert not np.any(small(x).nngp)
    with pytest.warns(UserWarning, match="zero everywhere"):
        small.diagonal(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small(0 * x)
        none = nn.dense(8, nn.hyper(0.0, "w"))  # known when the program is called
        assert not ntc.build(nn.input(4) >> none >> nn.relu() >> nn.dense(1))(x).nngp.any()
