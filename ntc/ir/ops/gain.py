"""A learnt scale and shift of every channel, as behind a normalisation."""

from __future__ import annotations

from math import hypot, sqrt
from typing import ClassVar

from ntc.ir.kernel import Add, Affine
from ntc.ir.op import Emit, Pair, TensorOp, Value, Weight
from ntc.ir.schema import Finite, Scale, frozen
from ntc.ir.sliding import Strided
from ntc.ir.types import Distribution, Spatial, TensorType


@frozen
class Gain(TensorOp):
    """y_c = g_c x_c + b_c, of numbers for every channel c that are learnt: g_c ~ N(scale, scale_std^2), b_c ~ N(0, b_std^2).

    K' = s^2 K + b_std^2,  T' = eta (K + [bias]) + s^2 T,  s^2 = scale^2 + scale_std^2:
    dy_c / dg_c = x_c, dy_c / db_c = 1. With scale_std = 0, as layers begin, all channels are alike and the output has the
    law of the input; else they have variances of their own, and a nonlinearity must not follow.
    Source: Ba et al. 2016 (arXiv:1607.06450), eq. 4, gain and bias (the layer); K' and T' are the means over g and b.

    Parameters: scale and scale_std of g; bias, whether there is b; b_std of b; learning_rate eta, 0 freezes both.
    """

    name: ClassVar[str] = "gain"
    scale: Finite = 1.0
    scale_std: Scale = 0.0
    bias: bool = True
    b_std: Scale = 0.0
    learning_rate: Scale = 1.0

    @property
    def size(self) -> float:
        """s, the root of the mean of g^2."""
        return hypot(self.scale, self.scale_std)

    @property
    def bias_std(self) -> float:
        """Standard deviation of b; 0 without."""
        return self.b_std if self.bias else 0.0

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        return x.spatial, x.channels

    def distribution(self, *xs: TensorType) -> Distribution:
        (x,) = xs
        alike = self.scale_std == 0 or not x.distribution.centered
        return x.distribution if alike else Distribution.CENTERED

    @property
    def keeps_channels_alike(self) -> bool:
        return self.scale_std == 0

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        return Strided.every(x.spatial)

    def weights(self, x: TensorType) -> dict[str, Weight]:
        own = {"w": Weight((x.channels,), self.scale_std, 1.0, self.learning_rate, mean=self.scale)}
        return own | ({"b": Weight((x.channels,), self.b_std, 1.0, self.learning_rate)} if self.bias else {})

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        return emit(Affine(self.size, self.bias_std), xs[0].k)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        (x,) = xs
        below = emit(Affine(self.size), x.t, name="below")
        if self.learning_rate == 0:
            return below
        rate = sqrt(self.learning_rate)
        here = emit(Affine(rate, rate if self.bias else 0.0), x.k, name="here")
        return emit(Add(), here, below)
