"""Transposed convolution."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import ClassVar

from ntc.errors import ShapeError
from ntc.ir.hyper import Tunable
from ntc.ir.kernel import Dilate, Window
from ntc.ir.op import Emit, Value
from ntc.ir.ops.affine import AffineLayer
from ntc.ir.schema import MAX_EXTENT, Count, Extent, Padding, Parameterization, Positive, frozen
from ntc.ir.sliding import per_axis
from ntc.ir.types import Spatial, TensorType


@frozen
class ConvTranspose(AffineLayer):
    """Transposed convolution: a convolution of stride 1 over the input with s - 1 zeros after every position.

    ntk:       y[p] = w_std / sqrt(n |k|) sum over taps a of W[a] x~[p + a - before] + b_std b,
               x~[s q] = x[q], zero elsewhere
               K' = w_std^2 A(K) + b_std^2,  A(K)[p, p'] = 1/|k| sum over a of K~[p + a - before, p' + a - before],
               K~[s q, s q'] = K[q, q'], zero elsewhere
               T' = K' + w_std^2 A(T)
    standard:  T' = n |k| A(K) + [bias] + w_std^2 A(T)

    for n input channels and |k| filter taps, of which about |k| / prod(s) meet a position that is not zero. Sizes and
    positions are those of `jax.lax.conv_transpose`: padding=same gives s outputs for every input, valid
    max(k - s, 0) more; circular gives as many as same, on a circle.
    Source: Dumoulin & Visin 2016 (arXiv:1603.07285), section 4 (the layer); Novak et al. 2019 (arXiv:1810.05148),
    eq. 7, for the convolution of x~.

    Parameters: channels of the output; kernel and stride, one number or one per spatial axis; scales.
    """

    name: ClassVar[str] = "conv_transpose"
    channels: Count
    kernel: Extent
    stride: Extent = 1
    padding: Padding = "same"
    w_std: Tunable = 1.0
    b_std: Tunable = 0.0
    parameterization: Parameterization = "ntk"
    bias: bool = True
    width_ratio: Positive = 1.0
    learning_rate: Tunable = 1.0

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        if not x.spatial:
            raise ShapeError("conv_transpose: its input has no spatial axes", hint="use dense")
        axes = zip(x.spatial, *self._filters(x.spatial), strict=True)
        more = self.padding == "valid"
        sizes = tuple(size * stride + more * max(window - stride, 0) for size, window, stride in axes)
        if max(sizes) > MAX_EXTENT:
            raise ShapeError(f"conv_transpose: more than {MAX_EXTENT} positions", parameter="stride")
        return sizes, self.channels

    def _filters(self, spatial: Spatial) -> tuple[Spatial, Spatial]:
        """Kernel and stride per axis. Raises ShapeError."""
        return per_axis("kernel", self.kernel, spatial), per_axis("stride", self.stride, spatial)

    def fan_in(self, x: TensorType) -> int:
        return x.channels * prod(per_axis("kernel", self.kernel, x.spatial))

    def weight_shape(self, x: TensorType) -> tuple[int, ...]:
        return *per_axis("kernel", self.kernel, x.spatial), x.channels, self.channels

    def linear(self, emit: Emit, x: TensorType, k: Value, w_std: float, b_std: float, name: str | None = None) -> Value:
        dilate = self._strided(x.spatial)
        dilated = k if set(dilate.stride) == {1} else emit(dilate, k, name="dilated")
        return emit(self._window(x.spatial, w_std, b_std), dilated, name=name)

    def _strided(self, spatial: Spatial) -> Dilate:
        return Dilate(per_axis("stride", self.stride, spatial))

    def _window(self, spatial: Spatial, w_std: float = 1.0, b_std: float = 0.0) -> Window:
        kernel = per_axis("kernel", self.kernel, spatial)
        padding: Padding = "circular" if self.padding == "circular" else "same"
        return Window(kernel, padding=padding, w_std=w_std, b_std=b_std, pads=self.pads(spatial))

    def pads(self, spatial: Spatial) -> tuple[int, ...]:
        """Positions of x~, which ends with s - 1 zeros, that are read before its first and after its last."""
        axes = zip(*self._filters(spatial), strict=True)
        return tuple(pad for window, stride in axes for pad in self._pads(window, stride))

    def _pads(self, window: int, stride: int) -> Iterable[int]:
        if self.padding == "valid":
            return window - 1, max(window - stride, 0)
        before = window - 1 if stride >= window else -(-(window + stride - 2) // 2)
        return before, window - 1 - before
