"""Convolution without weight sharing."""

from __future__ import annotations

from typing import ClassVar

from ntc.ir.hyper import Tunable
from ntc.ir.kernel import Affine, OnDiagonal
from ntc.ir.op import Emit, Value
from ntc.ir.ops.conv import Convolution
from ntc.ir.schema import Count, Extent, Padding, Parameterization, Positive, frozen
from ntc.ir.types import TensorType


@frozen
class ConvLocal(Convolution):
    """Locally connected layer: a convolution with a filter and a bias of its own at every position.

    ntk:       y[p] = w_std / sqrt(n |k|) sum over taps a of W[p, a] x[s p + a] + b_std b[p]
               K'[p, p'] = [p = p'] (w_std^2 A(K)[p, p] + b_std^2),  A as in conv
               T'[p, p'] = [p = p'] (K'[p, p] + w_std^2 A(T)[p, p])
    standard:  T'[p, p'] = [p = p'] (n |k| A(K)[p, p] + [bias] + w_std^2 A(T)[p, p])

    Different positions are uncorrelated, as they share no weight.
    Source: Novak et al. 2019 (arXiv:1810.05148), section 5.1.

    Parameters: as conv.
    """

    name: ClassVar[str] = "conv_local"
    channels: Count
    kernel: Extent
    stride: Extent = 1
    padding: Padding = "same"
    dilation: Extent = 1
    w_std: Tunable = 1.0
    b_std: Tunable = 0.0
    parameterization: Parameterization = "ntk"
    bias: bool = True
    width_ratio: Positive = 1.0
    learning_rate: Tunable = 1.0

    def outputs(self, x: TensorType) -> int:
        return self.channels

    def weight_shape(self, x: TensorType) -> tuple[int, ...]:
        positions = (axis.outputs for axis in self.geometry(x.spatial))
        return *positions, self.fan_in(x), self.channels

    def bias_shape(self, x: TensorType) -> tuple[int, ...]:
        *positions, _, channels = self.weight_shape(x)
        return *positions, channels

    def linear(self, emit: Emit, x: TensorType, k: Value, w_std: float, b_std: float, name: str | None = None) -> Value:
        shared = emit(self.window(x.spatial, w_std, b_std), k, name="shared")
        return emit(OnDiagonal(), shared, name=name)

    def scaled(self, emit: Emit, unit: Value, scale: Affine, name: str | None) -> Value:
        return emit(OnDiagonal(), emit(scale, unit, name="shared"), name=name)
