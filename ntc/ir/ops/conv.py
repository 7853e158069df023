"""Convolution with weights shared over positions."""

from __future__ import annotations

from math import prod, sqrt
from typing import ClassVar

from ntc.errors import ShapeError
from ntc.ir.kernel import Add, Window
from ntc.ir.op import Emit, Pair, Value
from ntc.ir.ops.affine import AffineLayer
from ntc.ir.schema import Count, Extent, Padding, Parameterization, Scale, frozen
from ntc.ir.sliding import Sliding, compact, per_axis, slid_spatial
from ntc.ir.types import Spatial, TensorType


@frozen
class Conv(AffineLayer):
    """Convolution over the spatial axes.

    ntk:       y[p] = w_std / sqrt(n |k|) sum over taps a of W[a] x[s p + a] + b_std b
               K' = w_std^2 A(K) + b_std^2,  A(K)[p, p'] = 1/|k| sum over a of K[s p + a, s p' + a]
               T' = K' + w_std^2 A(T)
    standard:  W ~ N(0, w_std^2 / (n |k|)), b ~ N(0, b_std^2), no scales in the forward pass
               T' = n |k| A(K) + [bias] + w_std^2 A(T)

    for n input channels and |k| filter taps. Positions outside the image count as zeros (padding=same),
    wrap around (circular), or do not occur (valid).
    Source: Novak et al. 2019 (arXiv:1810.05148), eq. 7; Novak et al. 2020 (arXiv:1912.02803), Table 1.

    Parameters: channels of the output; kernel, stride and dilation, one number or one per spatial axis;
    w_std, b_std (standard deviations).
    """

    name: ClassVar[str] = "conv"
    channels: Count
    kernel: Extent
    stride: Extent = 1
    padding: Padding = "same"
    dilation: Extent = 1
    w_std: Scale = 1.0
    b_std: Scale = 0.0
    parameterization: Parameterization = "ntk"
    bias: bool = True

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        if not x.spatial:
            raise ShapeError("conv: its input has no spatial axes", hint="use dense")
        return slid_spatial("kernel", self.geometry(x.spatial)), self.channels

    def geometry(self, spatial: Spatial) -> tuple[Sliding, ...]:
        """Geometry of the filter per spatial axis on an image of these sizes. Raises ShapeError."""
        return self._window(spatial).geometry(spatial)

    def fan_in(self, x: TensorType) -> int:
        return x.channels * prod(per_axis("kernel", self.kernel, x.spatial))

    def weight_shape(self, x: TensorType) -> tuple[int, ...]:
        return *per_axis("kernel", self.kernel, x.spatial), x.channels, self.channels

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        (x,) = xs
        return emit(self._window(x.type.spatial, self.w_std, self.bias_std), x.k)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        (x,) = xs
        here = y
        if self.parameterization == "standard":
            scale = sqrt(self.fan_in(x.type))
            here = emit(self._window(x.type.spatial, scale, float(self.bias)), x.k, name="here")
        below = emit(self._window(x.type.spatial, self.w_std), x.t, name="below")
        return emit(Add(), here, below)

    def _window(self, spatial: Spatial, w_std: float = 1.0, b_std: float = 0.0) -> Window:
        kernel = per_axis("kernel", self.kernel, spatial)
        stride = compact(per_axis("stride", self.stride, spatial))
        dilation = compact(per_axis("dilation", self.dilation, spatial))
        return Window(kernel, stride, dilation, self.padding, w_std, b_std)
