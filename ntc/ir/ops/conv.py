"""Convolution with weights shared over positions, and what all convolutions share."""

from __future__ import annotations

from abc import abstractmethod
from math import prod
from typing import ClassVar

from ntc.errors import ShapeError
from ntc.ir.hyper import Tunable
from ntc.ir.kernel import Window
from ntc.ir.op import Emit, Value
from ntc.ir.ops.affine import AffineLayer
from ntc.ir.schema import Count, Extent, Padding, Parameterization, Positive, frozen
from ntc.ir.sliding import Sliding, Strided, centers, compact, per_axis, slid_spatial
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

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        return centers(self.geometry(x.spatial))

    def linear(self, emit: Emit, x: TensorType, k: Value, w_std: float, b_std: float, name: str | None = None) -> Value:
        return emit(self.window(x.spatial, w_std, b_std), k, name=name)

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
               T' = eta K' + w_std^2 A(T)
    standard:  W ~ N(0, r w_std^2 / (n |k|)), b ~ N(0, b_std^2), the sum divided by sqrt(r)
               T' = eta (n |k| / r A(K) + [bias]) + w_std^2 A(T)

    for n input channels and |k| filter taps. Positions outside the image count as zeros (padding=same),
    wrap around (circular), or do not occur (valid).
    Source: Novak et al. 2019 (arXiv:1810.05148), eq. 7; Novak et al. 2020 (arXiv:1912.02803), Table 1.

    Parameters: channels of the output; kernel, stride and dilation, one number or one per spatial axis;
    w_std, b_std (standard deviations); width_ratio r, of a layer below that is r times as wide as the network it
    stands for; learning_rate eta of this layer's parameters, 0 freezes them.
    """

    name: ClassVar[str] = "conv"
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
