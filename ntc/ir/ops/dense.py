"""Fully connected layer."""

from __future__ import annotations

from typing import ClassVar

from ntc.ir.hyper import Tunable
from ntc.ir.kernel import Affine
from ntc.ir.op import Emit, Value
from ntc.ir.ops.affine import AffineLayer
from ntc.ir.schema import Count, Parameterization, Positive, frozen
from ntc.ir.sliding import Strided
from ntc.ir.types import Spatial, TensorType


@frozen
class Dense(AffineLayer):
    """Fully connected layer over the channels, at every position alone.

    ntk:       y = w_std / sqrt(n) W x + b_std b,  W, b ~ N(0, 1)
               K' = w_std^2 K + b_std^2
               T' = eta K' + w_std^2 T
    standard:  y = W x / sqrt(r) + b,  W ~ N(0, r w_std^2 / n), b ~ N(0, b_std^2)
               K' as above
               T' = eta (n / r K + [bias]) + w_std^2 T

    for an input of n channels with NNGP K and NTK T. `bias=false` removes b.
    Source: Novak et al. 2020 (arXiv:1912.02803), Table 1; standard parameterisation:
    Sohl-Dickstein et al. 2020 (arXiv:2001.07301), section 2.

    Parameters: features (channels of the output); w_std, b_std (standard deviations); width_ratio r, of a layer below
    that is r times as wide as the network it stands for; learning_rate eta of this layer's parameters, 0 freezes them.
    """

    name: ClassVar[str] = "dense"
    features: Count
    w_std: Tunable = 1.0
    b_std: Tunable = 0.0
    parameterization: Parameterization = "ntk"
    bias: bool = True
    width_ratio: Positive = 1.0
    learning_rate: Tunable = 1.0

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        return x.spatial, self.features

    def fan_in(self, x: TensorType) -> int:
        return x.channels

    def weight_shape(self, x: TensorType) -> tuple[int, ...]:
        return x.channels, self.features

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        return Strided.every(x.spatial)

    def linear(self, emit: Emit, x: TensorType, k: Value, w_std: float, b_std: float, name: str | None = None) -> Value:
        return emit(Affine(w_std, b_std), k, name=name)
