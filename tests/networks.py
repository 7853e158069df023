"""Example networks that several test files share: small, and together with every kind of kernel op."""

from __future__ import annotations

from functools import cache

import numpy as np

from ntc import nn
from ntc.backends.jax.program import Program
from ntc.compiler import build
from ntc.frontend.layers import Network
from ntc.ir.op import Array

_dense = nn.dense(8, 1.3, 0.2)
_conv = nn.conv(8, 3, w_std=1.3, b_std=0.2)

NETWORKS: dict[str, Network] = {
    "mlp": nn.input(3) >> nn.repeat(3, nn.serial(_dense, nn.relu())) >> nn.dense(1),
    "smooth": nn.input(3) >> nn.dense(8, 1.2, 0.3) >> nn.erf() >> nn.dense(8, 1.1) >> nn.erf(1.0, 0.7) >> nn.dense(1),
    "cnn": nn.input(5, 4, 3)
    >> _conv
    >> nn.relu()
    >> nn.avg_pool(2)
    >> _conv
    >> nn.abs()
    >> nn.flatten()
    >> nn.dense(1),
    "residual": nn.input(6, 2)
    >> _conv
    >> nn.sum(nn.serial(nn.relu(), _conv, nn.relu(), _conv), nn.identity())
    >> nn.relu()
    >> nn.global_avg_pool()
    >> nn.dense(1),
    "joined": nn.input(4, 2)
    >> nn.concat(nn.serial(_conv, nn.erf()), nn.conv(4, 3, padding="circular"))
    >> nn.product(_dense, nn.serial(nn.conv(8, 2, parameterization="standard"), nn.leaky_relu(0.1)))
    >> nn.index((1,)),
    "strided": nn.input(5, 4, 2) >> _conv >> nn.relu() >> nn.avg_pool((1, 2), (2, 1)) >> nn.flatten() >> nn.dense(1),
    "image": nn.input(3, 2, 2)
    >> nn.conv(8, 2, (2, 1), w_std=1.2, b_std=0.1)
    >> nn.relu()
    >> nn.sum_pool((1, 2), 1, "same"),
}
"""`image` keeps its spatial axes; `smooth` has no kink; `strided` pools along an axis of which it tracks the
diagonal alone."""


@cache
def program(name: str, dtype: str = "float64") -> Program:
    """The program of a network above, compiled once in a test process."""
    return build(NETWORKS[name], dtype="float64" if dtype == "float64" else "float32")


def inputs(name: str, count: int, seed: int) -> Array:
    """Random examples in general position."""
    network = NETWORKS[name]
    return np.random.default_rng(seed).normal(size=(count, *network.first.spatial, network.first.channels))
