"""Nonlinearities, applied to every entry."""

from __future__ import annotations

from abc import abstractmethod
from math import inf, pi
from typing import ClassVar

import numpy as np

from ntc.errors import NotGaussianError
from ntc.ir.activation import Activation
from ntc.ir.common import Common, Operand
from ntc.ir.hyper import TunableReal
from ntc.ir.kernel import Add, Dual, DualApart, DualDot, DualDotApart, Mul
from ntc.ir.op import Array, Emit, Pair, TensorOp, Value
from ntc.ir.schema import frozen
from ntc.ir.sliding import Strided
from ntc.ir.types import Distribution, Spatial, TensorType


class Elementwise(TensorOp, Activation):
    """y = phi(x) on Gaussian x.

    K' = E[phi(u) phi(v)],  T' = T * E[phi'(u) phi'(v)],  (u, v) ~ N(0, [[v1, K], [K, v2]]).
    Source: Novak et al. 2020 (arXiv:1912.02803), Table 1.
    """

    @property
    def odd(self) -> bool:
        """Whether phi(-x) = -phi(x), so that the mean stays zero."""
        return False

    @property
    def by_slope(self) -> Elementwise | None:
        """x phi'(x), whose integrals say what a learnt scale before phi adds to the NTK; None if they are not known."""
        return self if self.slopes is not None else None

    @property
    def largest_variance(self) -> float:
        """Of an input, from which on E[phi phi] is infinite."""
        return inf

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        return x.spatial, x.channels

    def distribution(self, *xs: TensorType) -> Distribution:
        if xs[0].distribution is not Distribution.GAUSSIAN:
            raise NotGaussianError(
                f"{self.name}: its input is not Gaussian in the limit of infinite width",
                hint=f"put dense or conv between the layer before and {self.name}",
            )
        return Distribution.CENTERED if self.odd else Distribution.GENERAL

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        return Strided.every(x.spatial)

    def common_after(self, *xs: Operand) -> Common | None:
        """Directly after a matrix along positions, entries are Gaussian over channels and these positions together."""
        (x,) = xs
        if x.common is not None and x.common.added and x.common.axis is not None:
            return Common(x.common.axis, added=False)
        return super().common_after(*xs)

    def common_nngp(self, emit: Emit, *xs: Pair) -> Value:
        (x,) = xs
        assert x.common is not None
        return emit(DualApart(self), x.common.k, x.v1, x.v2)

    def common_ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        (x,) = xs
        assert x.common is not None
        return emit(Mul(), x.common.t, emit(DualDotApart(self), x.common.k, x.v1, x.v2, name="d"))

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        (x,) = xs
        return emit(Dual(self), x.k, x.v1, x.v2)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        (x,) = xs
        slope = emit(DualDot(self), x.k, x.v1, x.v2, name="d")
        psi = self.by_slope
        if not x.learnt or psi is None:
            return emit(Mul(), x.t, slope)
        rest = emit(Mul(), emit(Add((1.0, -x.learnt)), x.t, x.k, name="rest"), slope, name="rest")
        return emit(Add((1.0, x.learnt)), rest, emit(Dual(psi), x.k, x.v1, x.v2, name="own"))


class PiecewiseLinear(Elementwise):
    """phi(x) = a min(x, 0) + b max(x, 0), with theta the angle of correlation, cos theta = K / sqrt(v1 v2):

    E[phi phi]   = (b - a)^2 / (2 pi) sqrt(v1 v2) (sin theta + (pi - theta) cos theta) + a b K
    E[phi' phi'] = (b - a)^2 / (2 pi) (pi - theta) + a b

    A variance of zero counts as correlation one.
    Source: Cho & Saul 2009, eq. 6 (orders 0 and 1), after writing phi as a x + (b - a) relu(x).
    """

    elementary: ClassVar[bool] = True

    fills_masked: ClassVar[bool] = False

    @property
    @abstractmethod
    def slopes(self) -> tuple[float, float]:
        """(a, b): the slopes below and above zero."""

    @property
    def jump(self) -> int | None:
        return 1

    @property
    def odd(self) -> bool:
        return self.slopes[0] == self.slopes[1]

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        a, b = self.slopes
        sine = np.sqrt(np.maximum(v1 * v2 - k**2, 0.0))
        theta = np.arctan2(sine, k)
        return (b - a) ** 2 / (2 * pi) * (sine + (pi - theta) * k) + a * b * k

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        a, b = self.slopes
        theta = np.arctan2(np.sqrt(np.maximum(v1 * v2 - k**2, 0.0)), k)
        return (b - a) ** 2 / (2 * pi) * (pi - theta) + a * b


@frozen
class Relu(PiecewiseLinear):
    """phi(x) = max(x, 0).

    E[phi phi] = sqrt(v1 v2) (sin theta + (pi - theta) cos theta) / (2 pi),  E[phi' phi'] = (pi - theta) / (2 pi),
    cos theta = K / sqrt(v1 v2). Source: Cho & Saul 2009, eq. 6.
    """

    name: ClassVar[str] = "relu"

    @property
    def slopes(self) -> tuple[float, float]:
        return 0.0, 1.0


@frozen
class LeakyRelu(PiecewiseLinear):
    """phi(x) = alpha min(x, 0) + max(x, 0).

    E[phi phi] and E[phi' phi'] are those of ab_relu(alpha, 1). Source: Cho & Saul 2009, eq. 6.
    """

    name: ClassVar[str] = "leaky_relu"
    alpha: TunableReal

    @property
    def slopes(self) -> tuple[float, float]:
        return self.alpha, 1.0


@frozen
class AbRelu(PiecewiseLinear):
    """phi(x) = a min(x, 0) + b max(x, 0).

    E[phi phi]   = (b - a)^2 / (2 pi) sqrt(v1 v2) (sin theta + (pi - theta) cos theta) + a b K,
    E[phi' phi'] = (b - a)^2 / (2 pi) (pi - theta) + a b,  cos theta = K / sqrt(v1 v2).
    Source: Cho & Saul 2009, eq. 6.
    """

    name: ClassVar[str] = "ab_relu"
    a: TunableReal
    b: TunableReal

    @property
    def slopes(self) -> tuple[float, float]:
        return self.a, self.b


@frozen
class Abs(PiecewiseLinear):
    """phi(x) = |x|.

    E[phi phi] and E[phi' phi'] are those of ab_relu(-1, 1). Source: Cho & Saul 2009, eq. 6.
    """

    name: ClassVar[str] = "abs"

    @property
    def slopes(self) -> tuple[float, float]:
        return -1.0, 1.0


@frozen
class Sign(Elementwise):
    """phi(x) = -1, 0 or 1: the sign of x.

    E[phi phi] = 2 asin(K / sqrt(v1 v2)) / pi, zero where a variance is zero;  E[phi' phi'] is taken as zero, as phi' is
    zero almost everywhere: the NTK is that of the weights above alone, as a gradient passes through no sign.
    Source: Cho & Saul 2009, eq. 6 (order 0, as sign(x) = 2 step(x) - 1); the NTK as in Novak et al. 2020.
    """

    elementary: ClassVar[bool] = True

    name: ClassVar[str] = "sign"

    @property
    def jump(self) -> int | None:
        return 0

    @property
    def odd(self) -> bool:
        return True

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        angle = np.arctan2(k, np.sqrt(np.maximum(v1 * v2 - k**2, 0.0)))
        return np.where(v1 * v2 > 0, 2 / pi * angle, 0.0)

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        return np.zeros_like(k + v1 + v2)


class ErrorFunction(Elementwise):
    """phi(x) = a erf(b x) + c."""

    elementary: ClassVar[bool] = True

    a: TunableReal
    b: TunableReal
    c: TunableReal

    @property
    def odd(self) -> bool:
        return self.c == 0

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        s = 2 * self.b**2
        sine: Array = s * k / np.sqrt((1 + s * v1) * (1 + s * v2))
        return 2 / pi * self.a**2 * np.arcsin(np.clip(sine, -1, 1)) + self.c**2

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        s = 2 * self.b**2
        determinant = 1 + s * (v1 + v2) + s**2 * np.maximum(v1 * v2 - k**2, 0.0)  # never below 1
        slope: Array = 2 / pi * self.a**2 * s / np.sqrt(determinant)
        return slope


@frozen
class Erf(ErrorFunction):
    """phi(x) = a erf(b x) + c.

    E[phi phi]   = 2 a^2 / pi asin(s K / sqrt((1 + s v1) (1 + s v2))) + c^2,  s = 2 b^2
    E[phi' phi'] = 2 a^2 s / pi / sqrt((1 + s v1) (1 + s v2) - s^2 K^2)
    Source: Williams 1997, eq. 11 (of which the second is the derivative by K).
    """

    name: ClassVar[str] = "erf"
    a: TunableReal = 1.0
    b: TunableReal = 1.0
    c: TunableReal = 0.0
