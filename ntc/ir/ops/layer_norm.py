"""Layer normalisation."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np

from ntc.errors import ShapeError, UnsupportedError
from ntc.ir.activation import Activation
from ntc.ir.common import Operand
from ntc.ir.hyper import Tunable
from ntc.ir.kernel import Add, DiagonalMean, Dual, DualDot, DualMean, Mul
from ntc.ir.kernel.diagonal import SpatialAxes
from ntc.ir.op import Array, Emit, Pair, TensorOp, Value
from ntc.ir.schema import frozen
from ntc.ir.sliding import Strided
from ntc.ir.types import Distribution, Spatial, TensorType


@frozen
class LayerNorm(TensorOp, Activation):
    """y = (x - mean(x)) / sqrt(var(x) + eps), mean and variance over channels, and over `spatial_axes` if given.

    K' = K / sqrt((V1 + eps) (V2 + eps)),  T' = T / sqrt((V1 + eps) (V2 + eps)),  V1[p] = v1[p, p], V2[p'] = v2[p', p'],
    each averaged over `spatial_axes`: over infinitely many channels of mean zero, the mean is zero and the variance
    is that of one channel. Directly after a nonlinearity phi of u, K - E[phi(u)] E[phi(v)] takes the place of K, and so
    of v1 and v2, as all channels have the mean E[phi(u)]. Other channels of a mean that is not zero are refused. Where
    channels have a random part in common, as after a dense layer along positions, the covariance of two channels is
    taken off, of K and of T.
    Source: Ba et al. 2016 (arXiv:1607.06450), eq. 3; Hron et al. 2020 (arXiv:2006.10540).

    Parameters: spatial_axes (`all`, or numbers of axes from 0), eps.
    """

    name: ClassVar[str] = "layer_norm"
    fills_masked: ClassVar[bool] = False
    spatial_axes: Literal["all"] | SpatialAxes | None = None
    eps: Tunable = 1e-12

    @property
    def needs_width(self) -> bool:
        return True

    @property
    def needs_mean(self) -> bool:
        return True

    def common_after(self, *xs: Operand) -> None:
        """The mean over channels is what they have in common, and is taken off."""
        (x,) = xs
        if x.common is not None and (not x.common.added or self.axes(x.type.spatial)):
            super().common_after(*xs)

    def axes(self, spatial: Spatial) -> tuple[int, ...]:
        """The spatial axes, in order, over which is normalised. Raises ShapeError."""
        if self.spatial_axes == "all":
            return tuple(range(len(spatial)))
        axes = self.spatial_axes or ()
        if len(set(axes)) < len(axes) or any(axis >= len(spatial) for axis in axes):
            raise ShapeError(
                f"layer_norm: spatial_axes = {axes} are not distinct axes of its input, which has {len(spatial)}",
                hint="the first spatial axis is 0",
                parameter="spatial_axes",
            )
        return tuple(sorted(axes))

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        self.axes(x.spatial)
        return x.spatial, x.channels

    def distribution(self, *xs: TensorType) -> Distribution:
        (x,) = xs
        if x.distribution.centered:
            return x.distribution
        if self.axes(x.spatial):
            raise UnsupportedError(
                "layer_norm: over spatial axes, its input may have a mean other than zero, another at every position",
                hint="put it after dense or conv, before the nonlinearity, or normalise over channels alone",
                parameter="spatial_axes",
            )
        return Distribution.CENTERED

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        if not x.distribution.centered:
            raise UnsupportedError(
                "layer_norm: after a nonlinearity it has no rule for inputs with masked positions",
                hint="put it before the nonlinearity",
            )
        if self.axes(x.spatial):
            raise UnsupportedError(
                "layer_norm: spatial_axes has no rule for inputs with masked positions",
                hint="normalise over channels alone",
                parameter="spatial_axes",
            )
        return Strided.every(x.spatial)

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        x = self._centered(emit, *xs)
        return emit(Dual(self._pointwise), x.k, *self._variances(emit, x))

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        x = self._centered(emit, *xs)
        return emit(Mul(), x.t, emit(DualDot(self._pointwise), x.k, *self._variances(emit, x), name="d"))

    def _centered(self, emit: Emit, x: Pair) -> Pair:
        """What is known of the input without its mean."""
        if x.common is not None:
            return self._without_common(emit, x, x.common)
        if x.type.distribution.centered:
            return x
        assert x.function is not None  # the builder has seen to it
        phi, below = x.function

        def without_mean(value: Value, k: Value, v1: Value, v2: Value) -> Value:
            mean = emit(DualMean(phi), k, v1, v2, name="mean")
            return emit(Add((1.0, -1.0)), value, mean, name="centered")

        v1 = without_mean(x.v1, below.v1, below.v1, below.v1)
        v2 = v1 if x.v1 == x.v2 else without_mean(x.v2, below.v2, below.v2, below.v2)
        k = v1 if x.k == x.v1 else without_mean(x.k, below.k, below.v1, below.v2)
        return replace(x, k=k, v1=v1, v2=v2)

    def _without_common(self, emit: Emit, x: Pair, common: Pair) -> Pair:
        """Where channels have a random part in common: what is left of everything without it."""

        def left(value: Value, part: Value) -> Value:
            return emit(Add((1.0, -1.0)), value, part, name="centered")

        v1 = left(x.v1, common.v1)
        v2 = v1 if x.v1 == x.v2 else left(x.v2, common.v2)
        k = v1 if x.k == x.v1 else left(x.k, common.k)
        return replace(x, k=k, t=left(x.t, common.t), v1=v1, v2=v2)

    @property
    def _pointwise(self) -> LayerNorm:
        """Without axes: the function of one variable whose variance is given."""
        return LayerNorm(eps=self.eps)

    def _variances(self, emit: Emit, x: Pair) -> tuple[Value, Value]:
        axes = self.axes(x.type.spatial)
        if not axes:
            return x.v1, x.v2
        first = emit(DiagonalMean(axes), x.v1, name="mean")
        return first, first if x.v2 == x.v1 else emit(DiagonalMean(axes), x.v2, name="mean")

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        return k * self.dual_dot(k, v1, v2)

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        scale: Array = 1 / np.sqrt(v1 + self.eps) / np.sqrt(v2 + self.eps)
        return scale
