"""Fully connected layer."""

from __future__ import annotations

from typing import ClassVar

from ntc.errors import ShapeError, UnsupportedError
from ntc.ir.common import Common, Operand
from ntc.ir.hyper import Tunable
from ntc.ir.kernel import Affine, AxisMean, Constant, DualMean, OnDiagonal
from ntc.ir.op import Emit, Pair, Value, covariance
from ntc.ir.ops.affine import AffineLayer
from ntc.ir.schema import AxisNumber, Count, Parameterization, Positive, frozen
from ntc.ir.sliding import Strided
from ntc.ir.types import Spatial, TensorType


@frozen
class Dense(AffineLayer):
    """Fully connected layer over the channels, at every position alone; or over positions along one axis.

    ntk:       y = w_std / sqrt(n) W x + b_std b,  W, b ~ N(0, 1)
               K' = w_std^2 K + b_std^2
               T' = eta K' + w_std^2 T
    standard:  y = W x / sqrt(r) + b,  W ~ N(0, r w_std^2 / n), b ~ N(0, b_std^2)
               K' as above
               T' = eta (n / r K + [bias]) + w_std^2 T

    for an input of n channels with NNGP K and NTK T. `bias=false` removes b.

    With `axis`, as an MLP-Mixer mixes tokens, W (n, features) and b (features) act along this axis of n positions, and
    are the same for every channel: y[p, c] = w_std / sqrt(n) sum over q of W[q, p] x[q, c] + b_std b[p]. K and T above
    are then [p = p'] times the means over q of K[q, q] and T[q, q], and b_std^2 is [p = p'] b_std^2.
    Given x, outputs at different p are independent, as they share no weight. Those of channels c, c' have covariance
    w_std^2 x[:, c] x[:, c'] / n: w_std^2 times the mean of K[q, q] for c = c', and zero otherwise, up to terms of size
    |K| / n (Frobenius norm over positions). So the law of large numbers is one over positions: the limit is that of
    many channels, and of many positions that are correlated with few others, |K| / n -> 0; behind nonlinearities,
    kernels of networks differ from it by (|K| / n)^2 of their size. Of few positions, or of an image that is nearly
    constant, K' and T' are means over W, from which one network differs.
    What is the same in all channels does not average out: b, and w_std / sqrt(n) sum over q of W[q, p] m where channels
    have a mean m, behind a nonlinearity that is not odd. The covariance M of two channels is tracked as K is: M' is
    [p = p'] (w_std^2 mean over q of M[q, q] + b_std^2), with M = m^2 behind such a nonlinearity. layer_norm takes it
    off. On a value with such a part may follow layer_norm, a sum, flatten, another dense layer along the axis, and a
    nonlinearity between the two; other layers are refused.

    Source: Novak et al. 2020 (arXiv:1912.02803), Table 1; standard parameterisation:
    Sohl-Dickstein et al. 2020 (arXiv:2001.07301), section 2; Tolstikhin et al. 2021 (arXiv:2105.01601) for `axis`, with
    E[y y'] over W and the central limit theorem over q.

    Parameters: features (channels of the output, or positions along `axis`); w_std, b_std (standard deviations);
    width_ratio r, of a layer below that is r times as wide as the network it stands for; learning_rate eta of this
    layer's parameters, 0 freezes them; axis, a spatial axis from 0, none for channels.
    """

    name: ClassVar[str] = "dense"
    features: Count
    w_std: Tunable = 1.0
    b_std: Tunable = 0.0
    parameterization: Parameterization = "ntk"
    bias: bool = True
    width_ratio: Positive = 1.0
    learning_rate: Tunable = 1.0
    axis: AxisNumber | None = None

    @property
    def needs_mean(self) -> bool:
        return self.axis is not None

    @property
    def needs_channels_alike(self) -> bool:
        return self.axis is not None

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        if self.axis is None:
            return x.spatial, self.features
        if self.axis >= len(x.spatial):
            raise ShapeError(
                f"dense: its input has {len(x.spatial)} spatial axes, none with number {self.axis}",
                hint="the first spatial axis is 0; without axis, a dense layer mixes channels",
                parameter="axis",
            )
        return (*x.spatial[: self.axis], self.features, *x.spatial[self.axis + 1 :]), x.channels

    def fan_in(self, x: TensorType) -> int:
        return x.channels if self.axis is None else x.spatial[self.axis]

    def weight_shape(self, x: TensorType) -> tuple[int, ...]:
        return self.fan_in(x), self.features

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        return Strided.every(x.spatial) if self.axis is None else super().visible(x)

    def linear(self, emit: Emit, x: TensorType, k: Value, w_std: float, b_std: float, name: str | None = None) -> Value:
        if self.axis is None:
            return emit(Affine(w_std, b_std), k, name=name)
        mean = emit(AxisMean(self.axis, self.features), k, name="mean")
        return mean if (w_std, b_std) == (1, 0) else self.scaled(emit, mean, Affine(w_std, b_std), name)

    def scaled(self, emit: Emit, unit: Value, scale: Affine, name: str | None) -> Value:
        if self.axis is None or scale.b_std == 0:
            return emit(scale, unit, name=name)
        return emit(OnDiagonal((self.axis,)), emit(scale, unit, name="every"), name=name)

    def common_after(self, *xs: Operand) -> Common | None:
        (x,) = xs
        if self.axis is None:
            return super().common_after(x)
        if x.common is not None and x.common.axis != self.axis:
            if not x.common.added:
                raise UnsupportedError(
                    "dense: all channels of its input have a random part in common, which is independent along axis "
                    f"{x.common.axis} and not along axis {self.axis}",
                    hint=f"axis = {x.common.axis}, or layer_norm before the nonlinearity",
                    parameter="axis",
                )
            return super().common_after(x)
        shifted = x.nonlinear and not x.type.distribution.centered
        return Common(self.axis) if x.common is not None or shifted or self._shifts else None

    @property
    def _shifts(self) -> bool:
        """Whether biases, or gradients by them, are the same in all channels."""
        return self.bias and (self.b_std != 0 or self.parameterization == "standard")

    def common_nngp(self, emit: Emit, *xs: Pair) -> Value:
        (x,) = xs
        return super().nngp(emit, self._between_channels(emit, x))

    def common_ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        (x,) = xs
        return super().ntk(emit, y, self._between_channels(emit, x))

    def _between_channels(self, emit: Emit, x: Pair) -> Pair:
        """The covariances of two channels of the input: zero unless they have a mean or a random part in common."""
        if x.common is not None:
            return x.common
        type_ = covariance(x.k.type)
        k = zero = emit(Constant(0.0, type_.dtype, type_.batch, type_.spatial), name="zero")
        if x.function is not None and not x.type.distribution.centered:
            phi, below = x.function
            k = emit(DualMean(phi), below.k, below.v1, below.v2, name="means")
        return Pair(x.type, k, zero, k, k)
