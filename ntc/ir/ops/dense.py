"""Fully connected layer."""

from __future__ import annotations

from math import sqrt
from typing import ClassVar

from ntc.ir.kernel import Add, Affine
from ntc.ir.op import Emit, Pair, Value
from ntc.ir.ops.affine import AffineLayer
from ntc.ir.schema import Count, Parameterization, Scale, frozen
from ntc.ir.types import Spatial, TensorType


@frozen
class Dense(AffineLayer):
    """Fully connected layer over the channels, at every position alone.

    ntk:       y = w_std / sqrt(n) W x + b_std b,  W, b ~ N(0, 1)
               K' = w_std^2 K + b_std^2
               T' = K' + w_std^2 T
    standard:  y = W x + b,  W ~ N(0, w_std^2 / n), b ~ N(0, b_std^2)
               K' as above
               T' = n K + [bias] + w_std^2 T

    for an input of n channels with NNGP K and NTK T. `bias=false` removes b.
    Source: Novak et al. 2020 (arXiv:1912.02803), Table 1; standard parameterisation:
    Sohl-Dickstein et al. 2020 (arXiv:2001.07301), section 2.

    Parameters: features (channels of the output), w_std, b_std (standard deviations).
    """

    name: ClassVar[str] = "dense"
    features: Count
    w_std: Scale = 1.0
    b_std: Scale = 0.0
    parameterization: Parameterization = "ntk"
    bias: bool = True

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        return x.spatial, self.features

    def fan_in(self, x: TensorType) -> int:
        return x.channels

    def weight_shape(self, x: TensorType) -> tuple[int, ...]:
        return x.channels, self.features

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        (x,) = xs
        return emit(Affine(self.w_std, self.bias_std), x.k)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        (x,) = xs
        here = y
        if self.parameterization == "standard":
            here = emit(Affine(sqrt(self.fan_in(x.type)), float(self.bias)), x.k, name="here")
        return emit(Add(), here, emit(Affine(self.w_std), x.t, name="below"))
