"""Stored values of Neural Tangents 0.6.5: the rules, and their composition, against another implementation."""

from __future__ import annotations

import json
from functools import lru_cache
from math import pi
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntc import stax
from ntc.backends.jax.inputs import Inputs
from ntc.backends.reference import interpret
from ntc.ir.graph import Graph
from ntc.ir.op import Array
from ntc.ir.types import Between
from ntc.passes.translate import Translate
from ntc.stax.compiled import network
from ntc.stax.part import layouts
from tests.golden.networks import myrtle, wrn

HERE = Path(__file__).with_name("golden")
NETWORKS = {entry["id"]: entry for entry in json.loads((HERE / "neural_tangents.json").read_text())}
VALUES = np.load(HERE / "neural_tangents.npz")

SUPPORTED = [
    "dense",
    "dense_nobias",
    "dense_deep_relu",
    "dense_standard",
    "dense_standard_s",
    "phi_relu",
    "phi_leaky",
    "phi_abrelu",
    "phi_abs",
    "phi_erf",
    "phi_erf_abc",
    "phi_sigmoid_like",
    "phi_gelu",
    "phi_sin",
    "phi_sin_abc",
    "phi_cos",
    "phi_rbf",
    "phi_sign",
    "phi_exp",
    "phi_gaussian",
    "phi_expnorm",
    "phi_hermite3",
    "phi_monomial3",
    "phi_rectmono2",
    "phi_poly",
    "phi_gabor",
    "phi_identity",
    "conv_same",
    "conv_valid",
    "conv_circular",
    "conv_stride_same",
    "conv_stride_gap",
    "conv_circular_stride_gap",
    "conv_valid_gap",
    "conv1d_gap",
    "conv3d",
    "conv_no_readout",
    "conv_standard",
    "avgpool_flat",
    "avgpool_same_flat",
    "avgpool_same_norm",
    "avgpool_overlap_gap",
    "avgpool_circular",
    "sumpool",
    "global_sum_pool",
    "gap",
    "flatten_first",
    "dense_on_image_gap",
    "residual",
    "residual_conv_gap",
    "fan_in_prod",
    "fan_in_concat_channel",
    "index_center",
    "aggregate",
    "mask_gap",
    "mask_flat",
    "mask_attention",
    "repeat",
    "wide_resnet",
    "myrtle5",
    "myrtle10",
    "conv_transpose",
    "conv_transpose_valid",
    "conv_local",
    "conv_local_gap",
    "index_slice_gap",
    "dot_general",
    "fan_in_concat_spatial",
    "dropout_train",
    "dropout_train_gap",
    "dropout_test",
    "layernorm_channel",
    "layernorm_all",
    "attention_linear",
    "attention_sqrt",
    "attention_relu_flat",
    "attention_pos_emb",
]


@lru_cache(maxsize=1)
def layer_of(name: str) -> Any:
    """The stored expression, evaluated."""
    with jax.enable_x64(True):  # some have arrays of numbers
        return eval(NETWORKS[name]["network"], {"stax": stax, "jnp": jnp, "wrn": wrn, "myrtle": myrtle})


def graph_of(name: str) -> Graph:
    """The stored network as a tensor graph."""
    part, shape = layer_of(name)[2].part, VALUES[f"{name}/x1"].shape
    graph, _ = network(part, shape, layouts(shape, part.placed), NETWORKS[name]["options"].get("mask"))
    return graph


def packed(name: str, number: int) -> Array:
    """A stored input, with the pattern of its graph in further channels, if it has one."""
    pattern = VALUES.get(f"{name}/pattern{number}")
    found: Array = Inputs(graph_of(name), np.float64).packed("x", VALUES[f"{name}/x{number}"], None, pattern)
    return found


def stored(name: str, label: str) -> Array:
    """The stored values. The diagonal of phi_rectmono2 is NaN there, and is put in from its formulas: at variance v
    of the pre-activations NNGP = w^2 3 v^2 / 2 + b^2, NTK = NNGP + w^2 v E[(2 u)^2; u > 0]."""
    values = VALUES[f"{name}/{label}"]
    if name == "phi_rectmono2" and label.endswith("_self"):
        variance = 1.3**2 * np.mean(VALUES[f"{name}/x1"] ** 2, axis=1) + 0.2**2
        nngp = 1.3**2 * 3 * variance**2 / 2 + 0.2**2
        own = nngp if label == "nngp_self" else nngp + 1.3**2 * variance * 4 * variance / 2
        off = ~np.eye(len(own), dtype=bool)
        assert np.isfinite(values[off]).all()
        values = np.where(off, values, np.diag(own))
    return values


@pytest.mark.parametrize("name", SUPPORTED)
@pytest.mark.parametrize("between", ["cross", "self"])
def test_reference_gives_the_stored_values(name: str, between: Between) -> None:
    """Protects every rule and constant of the layers in these networks, to 1e-9."""
    kernel = Translate(dtype="f64", between=between)(graph_of(name))
    inputs = [packed(name, number) for number in ((1, 2) if between == "cross" else (1,))]
    suffix = "" if between == "cross" else "_self"
    for label, value in interpret(kernel, *inputs).items():
        assert_agrees(value, stored(name, f"{label}{suffix}"), between)


@pytest.mark.parametrize("name", SUPPORTED)
def test_stax_gives_the_stored_values(name: str) -> None:
    """Protects `ntc.stax`, the passes and the jax backend on these networks: float64 to 1e-9, both matrices."""
    x1, x2, *patterns = (VALUES[f"{name}/{x}"] for x in ("x1", "x2", "pattern1", "pattern2") if f"{name}/{x}" in VALUES)
    given = {"pattern": tuple(patterns) or None, "mask_constant": NETWORKS[name]["options"].get("mask")}
    kernel_fn = layer_of(name)[2]
    with jax.enable_x64(True):
        found = kernel_fn(x1, x2, ("nngp", "ntk"), **given), kernel_fn(x1, None, ("nngp", "ntk"), **given)
    for suffix, kernels in zip(("", "_self"), found, strict=True):
        for label, value in zip(("nngp", "ntk"), kernels, strict=True):
            assert_agrees(np.asarray(value), stored(name, f"{label}{suffix}"), "self" if suffix else "cross")


def assert_agrees(value: Array, stored: Array, between: Between) -> None:
    """To 1e-9 of the largest entry. Of k(x, x), the blocks of an example with itself to 1e-7: there the stored
    values carry the error of an arccos at correlation one, about sqrt(eps); ours are exact, which
    `test_diagonal_is_exact` shows."""
    assert value.shape == stored.shape
    error = np.abs(value - stored) / np.abs(stored).max()
    if between == "self":
        own = np.arange(len(error))
        assert error[own, own].max() <= 1e-7
        error[own, own] = 0.0
    assert error.max() <= 1e-9


def test_diagonal_is_exact() -> None:
    """Protects k(x, x) at correlation one, where the arccos formula loses half the digits.

    For dense-relu-dense, with v = w^2 |x|^2 / n + b^2: NNGP = w^2 v / 2 + b^2, NTK = NNGP + w^2 v / 2.
    """
    x = VALUES["phi_relu/x1"]
    weight, bias = 1.3**2, 0.2**2
    variance = weight * np.mean(x**2, axis=1) + bias
    nngp = weight * variance / 2 + bias
    found = interpret(Translate(dtype="f64", between="self")(graph_of("phi_relu")), x)
    np.testing.assert_allclose(np.diag(found["nngp"]), nngp, rtol=1e-14)
    np.testing.assert_allclose(np.diag(found["ntk"]), nngp + weight * variance / 2, rtol=1e-14)


def hermite_quadrature(nodes: int, x: Array) -> tuple[Array, Array]:
    """NNGP and NTK of dense, tanh, dense by Gauss-Hermite quadrature of so many nodes in either variable."""
    z, weights = np.polynomial.hermite.hermgauss(nodes)
    k = 1.3**2 * x @ x.T / x.shape[1] + 0.2**2
    root = np.sqrt(np.diag(k))
    c = np.clip(k / root[:, None] / root, -1, 1)[..., None, None]
    u = np.sqrt(2) * root[:, None, None, None] * z[:, None]
    v = np.sqrt(2) * root[None, :, None, None] * (c * z[:, None] + np.sqrt(1 - c**2) * z)
    of = [np.einsum("abij,i,j->ab", f(u) * f(v), weights, weights) / pi for f in (np.tanh, lambda x: np.cosh(x) ** -2)]
    nngp = 1.3**2 * of[0] + 0.2**2
    return nngp, nngp + 1.3**2 * k * of[1]


def test_tanh_is_within_the_error_of_the_stored_quadrature() -> None:
    """Protects tanh: the stored values are those of 25 nodes, to 1e-9, and ours those of 200, to 1e-10, between
    different examples; with itself, those of 200 as well."""
    name = "phi_elementwise_numerical_tanh"
    x = VALUES[f"{name}/x1"]
    found = interpret(Translate(dtype="f64", between="self")(graph_of(name)), x)
    for label, coarse, fine in zip(("nngp", "ntk"), hermite_quadrature(25, x), hermite_quadrature(200, x), strict=True):
        size = np.abs(fine).max()
        np.testing.assert_allclose(coarse, VALUES[f"{name}/{label}_self"], atol=1e-9 * size, rtol=0)
        np.testing.assert_allclose(found[label], fine, atol=1e-10 * size, rtol=0)
