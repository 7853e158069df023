"""Finite networks against the infinite one: `ntc convergence` and what it computes."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pytest

import ntc
from ntc import nn
from ntc.errors import InputError, ParameterError
from ntc.finite.convergence import Convergence, convergence, widened
from ntc.ir.op import TensorOp
from tests.command_line import run

MODEL = "model net = input(4, 2) |> conv(5, 3) |> relu |> sum(conv(5, 3), identity) |> flatten |> dense(3)\n"


def test_slope_is_that_of_independent_samples() -> None:
    """Protects what Figure 2 says: errors of both kernels fall as one over the root of networks times width. The bound
    is three standard deviations over 16 other keys, 0.14, whose means are -0.53 and -0.49."""
    program = ntc.build(nn.input(4) >> nn.dense(8) >> nn.erf() >> nn.dense(2))
    x = np.random.default_rng(0).normal(size=(4, 4))
    found = convergence(program, x, (8, 32), (4, 16, 64), jax.random.key(0))
    assert found.errors["ntk"].shape == (2, 3)
    for kernel in ("nngp", "ntk"):
        assert found.slope(kernel) == pytest.approx(-0.5, abs=0.42)


def test_slope_of_known_errors() -> None:
    """Protects the fit."""
    widths, samples = np.array([2, 4]), np.array([1, 8])
    errors = 3 / np.sqrt(np.multiply.outer(widths, samples))
    assert Convergence(widths, samples, {"ntk": errors}).slope("ntk") == pytest.approx(-0.5)
    with pytest.raises(InputError, match="two widths"):
        Convergence(widths[:1], samples[:1], {"ntk": errors[:1, :1]}).slope("ntk")


def test_only_hidden_layers_are_widened() -> None:
    """Protects the comparison: hidden layers have the width, branches of a sum alike; the last one if it is asked for,
    and the kernel is that of the same network."""
    graph = ntc.read_graph(MODEL)
    for last, width in ((False, 3), (True, 7)):
        wide = widened(graph, 7, last)
        ops = [node.op for node in wide.nodes if isinstance(node.op, TensorOp) and node.op.name in ("conv", "dense")]
        assert [getattr(op, "channels", None) or getattr(op, "features", None) for op in ops] == [7, 7, width]
        x = np.random.default_rng(0).normal(size=(2, 4, 2))
        np.testing.assert_array_equal(ntc.build(wide)(x).ntk, ntc.build(graph)(x).ntk)


def test_command(tmp_path: Path) -> None:
    """Protects `ntc convergence`: numbers, a picture, and mistakes that are said."""
    (tmp_path / "m.nt").write_text(MODEL)
    sizes = "--n 3 --widths 4 --samples 1,9"
    shown = json.loads(run(tmp_path, f"convergence m.nt {sizes} --json --plot c.png").stdout)
    assert np.shape(shown["errors"]["nngp"]) == (1, 2)
    assert shown["slopes"]["ntk"] < 0
    assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(3, 4, 2)))
    assert "slope" in run(tmp_path, f"convergence m.nt {sizes} --x x.npy").stdout
    for bad in ("--widths 4,2", "--samples x", "--widths 0"):
        assert "growing whole numbers" in run(tmp_path, f"convergence m.nt {bad}", status=2).stderr
    with pytest.raises(ParameterError):
        convergence(ntc.build(ntc.read_graph(MODEL)), np.zeros((2, 4, 2)), (0,), (1,), jax.random.key(0))
