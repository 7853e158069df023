"""Convolution with weights shared over positions, and what all convolutions share."""

from __future__ import annotations

from abc import abstractmethod
from math import prod, sqrt
from typing import ClassVar

from ntc.errors import ShapeError
from ntc.ir.kernel import Add, Window
from ntc.ir.op import Emit, Pair, Value
from ntc.ir.ops.affine import AffineLayer
from ntc.ir.schema import Count, Extent, Padding, Parameterization, Scale, frozen
from ntc.ir.sliding import Sliding, compact, per_axis, slid_spatial
from ntc.ir.types import Spatial, TensorType


class Convolution(AffineLayer):
    """A filter that slides over the spatial axes: what its kinds share."""

    kernel: Extent
    stride: Extent
    padding: Padding
    dilation: Extent

    @abstractmethod
    def outputs(self, x: TensorType) -> int:
        """Channels of the output. Raises ShapeError."""

    def parts(self, channels: int) -> int:
        """Number of groups of input channels that are convolved apart."""
        return 1

    def inputs(self, x: TensorType) -> int:
        """Channels that one output channel reads."""
        return x.channels // self.parts(x.channels)

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        if not x.spatial:
            raise ShapeError(f"{self.name}: its input has no spatial axes", hint="use dense")
        return slid_spatial("kernel", self.geometry(x.spatial)), self.outputs(x)

    def geometry(self, spatial: Spatial) -> tuple[Sliding, ...]:
        """Geometry of the filter per spatial axis on an image of these sizes. Raises ShapeError."""
        return self.window(spatial).geometry(spatial)

    def fan_in(self, x: TensorType) -> int:
        return self.inputs(x) * prod(per_axis("kernel", self.kernel, x.spatial))

    def weight_shape(self, x: TensorType) -> tuple[int, ...]:
        return *per_axis("kernel", self.kernel, x.spatial), self.inputs(x), self.outputs(x)

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        (x,) = xs
        return emit(self.window(x.type.spatial, self.w_std, self.bias_std), x.k)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        return emit(Add(), *self.ntk_terms(emit, y, *xs))

    def ntk_terms(self, emit: Emit, y: Value, x: Pair) -> tuple[Value, Value]:
        """What the weights of this layer add to the NTK, and what those below it do."""
        here = y
        if self.parameterization == "standard":
            scale = sqrt(self.fan_in(x.type))
            here = emit(self.window(x.type.spatial, scale, float(self.bias)), x.k, name="here")
        return here, emit(self.window(x.type.spatial, self.w_std), x.t, name="below")

    def window(self, spatial: Spatial, w_std: float = 1.0, b_std: float = 0.0) -> Window:
        """The map on covariances: w_std^2 A(K) + b_std^2."""
        kernel = per_axis("kernel", self.kernel, spatial)
        stride = compact(per_axis("stride", self.stride, spatial))
        dilation = compact(per_axis("dilation", self.dilation, spatial))
        return Window(kernel, stride, dilation, self.padding, w_std, b_std)


@frozen
class Conv(Convolution):
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

    def outputs(self, x: TensorType) -> int:
        return self.channels
