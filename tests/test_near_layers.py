"""Kernels between nearly equal inputs in float32, of every nonlinearity: within the digits of float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ntc import nn
from ntc.compiler import build
from ntc.frontend.layers import Apply
from ntc.ir import ops
from ntc.ir.op import Array
from ntc.ir.ops import TENSOR_OPS, Elementwise
from tests.marks import others_slow
from tests.test_activations import ONE_OF_EACH, ONE_OF_EACH_FAMILY
from tests.test_integrals import ACTIVATIONS

DISTANCES = (1e-2, 1e-3, 1e-4, 1e-5)
LAYERS = 2
MANY_LAYERS = 4
STEEP = (ops.Exp, ops.PolynomialFamily, ops.RectifiedPower)
"""Of which one layer is tried, as several overflow float32, but for degrees up to one."""

NEAR: list[Elementwise] = list(
    dict.fromkeys(
        [
            *{type(op): op for op in [*ACTIVATIONS, *ONE_OF_EACH]}.values(),
            ops.RectifiedMonomial(0),
            ops.RectifiedMonomial(1),
            ops.CustomActivation("max(0.1 * x, x)"),
        ]
    )
)


def nearly_equal() -> tuple[Array, Array]:
    """Some examples, and one at every distance from each, as float32 has them."""
    random = np.random.default_rng(0)
    x, way = random.normal(size=(2, 3, 8))
    way *= np.linalg.norm(x, axis=1, keepdims=True) / np.linalg.norm(way, axis=1, keepdims=True)
    others = np.concatenate([x + distance * way for distance in DISTANCES])
    return x.astype(np.float32), others.astype(np.float32)


def errors(activation: Any, kernel: str = "ntk") -> Array:
    """The largest relative error of the kernel in float32 at every distance."""
    layer = nn.serial(nn.dense(8, 1.2, 0.1), Apply(activation))
    layers = 1 if isinstance(activation, STEEP) and getattr(activation, "degree", 2) > 1 else LAYERS
    layers = MANY_LAYERS if isinstance(activation, ops.PiecewiseLinear) else layers  # others take seconds to compile
    network = nn.input(8) >> nn.serial(*[layer] * layers) >> nn.dense(1)
    x, others = nearly_equal()
    found, right = (np.asarray(getattr(build(network, dtype=t)(x, others), kernel), float) for t in TYPES)
    apart = np.abs(found - right) / np.where(right == 0, 1, np.abs(right))
    own = apart.reshape(3, len(DISTANCES), 3)
    return np.array([own[np.arange(3), i, np.arange(3)].max() for i in range(len(DISTANCES))])


TYPES: tuple[Any, Any] = ("float32", "float64")


@pytest.mark.parametrize("activation", others_slow(NEAR, ONE_OF_EACH_FAMILY), ids=str)
def test_near_inputs_keep_their_digits(activation: Elementwise) -> None:
    """Protects NTK and NNGP between inputs at relative distances of 1e-2 to 1e-5: within 1e-5 of float64, though an
    angle that is computed of a covariance in float32 is 3e-4 off."""
    assert np.max(errors(activation)) < 1e-5


def test_every_nonlinearity_is_tried() -> None:
    """Protects a new nonlinearity, which has to say where it jumps."""
    tried = {type(op) for op in NEAR}
    assert {op for op in TENSOR_OPS.values() if issubclass(op, Elementwise)} <= tried
