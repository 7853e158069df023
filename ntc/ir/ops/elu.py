"""Functions that are straight above zero and an exponential below."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import lru_cache
from math import erfc, pi, sqrt
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

import numpy as np
from pydantic import Field, InstanceOf

from ntc.ir.hyper import Hyper, TunableReal, in_range
from ntc.ir.op import Array
from ntc.ir.ops.activation import Elementwise
from ntc.ir.quadrature import panels
from ntc.ir.schema import frozen

LARGEST = 64.0
"""Standard deviation, in units of the decay, beyond which integrals are NaN: they would lose digits."""


if TYPE_CHECKING:
    Decay: TypeAlias = float
else:
    Decay = Annotated[float, Field(ge=1e-3, le=1e3)] | Annotated[InstanceOf[Hyper], in_range(1e-3, 1e3)]


class ExponentialLinear(Elementwise):
    """phi(x) = above x for x > 0, else depth (exp(x / decay) - 1). With u = -sqrt(v1) r sin x and v = -sqrt(v2) r
    sin(pi - theta - x), cos theta = K / sqrt(v1 v2), both are negative for 0 < x < pi - theta, and the integrals are

    1 / (2 pi) integral over x and r > 0 of phi(u) phi(v) r exp(-r^2 / 2),

    where that over r has a closed form: of r exp(-r^2 / 2 - p r) it is 1 - p m(p), m the Mills ratio of the Gaussian,
    (1 - Phi) / phi. Likewise where the signs differ, for 0 < x < theta, and where both are positive it is that of relu
    (Cho & Saul 2009). A variance of zero counts as correlation one; of sqrt(v) / decay > 64 they are NaN.
    """

    fills_masked: ClassVar[bool] = False

    @property
    def jump(self) -> int | None:
        """Of celu and elu(1) the slope is continuous, but it is computed of the same angle."""
        return 1

    @property
    @abstractmethod
    def above(self) -> float:
        """The slope above zero."""

    @property
    @abstractmethod
    def depth(self) -> float:
        """What it falls to."""

    @property
    @abstractmethod
    def decay(self) -> float:
        """The length on which it does."""

    def dual(self, k: Array, v1: Array, v2: Array) -> Array:
        theta, root1, root2 = _angle_and_roots(k, v1, v2)
        p1, p2 = root1 / self.decay, root2 / self.decay

        def both_below(x: Array) -> Array:
            return _both(p1 * np.sin(x), p2 * np.sin(pi - theta - x))

        def one_below(x: Array) -> Array:
            at1, at2 = np.sin(x), np.sin(theta - x)
            return root1 * at1 * mixed(p2 * at2) + root2 * at2 * mixed(p1 * at1)

        straight = root1 * root2 * (np.sin(theta) + (pi - theta) * np.cos(theta))
        below = self.depth**2 * _over_angle(both_below, pi - theta)
        between = self.above * self.depth * _over_angle(one_below, theta)
        return self._where_known(self.above**2 * straight + below + between, p1, p2) / (2 * pi)

    def dual_dot(self, k: Array, v1: Array, v2: Array) -> Array:
        theta, root1, root2 = _angle_and_roots(k, v1, v2)
        p1, p2, steepest = root1 / self.decay, root2 / self.decay, self.depth / self.decay

        def both_below(x: Array) -> Array:
            return damped(p1 * np.sin(x) + p2 * np.sin(pi - theta - x))

        def one_below(x: Array) -> Array:
            return damped(p2 * np.sin(theta - x)) + damped(p1 * np.sin(x))

        below = steepest**2 * _over_angle(both_below, pi - theta)
        between = self.above * steepest * _over_angle(one_below, theta)
        return self._where_known(self.above**2 * (pi - theta) + below + between, p1, p2) / (2 * pi)

    def _where_known(self, value: Array, p1: Array, p2: Array) -> Array:
        return np.where(np.maximum(p1, p2) <= LARGEST, value, np.nan)


@frozen
class Elu(ExponentialLinear):
    """phi(x) = x for x > 0, else alpha (exp(x) - 1).

    E[phi phi] and E[phi' phi'] are integrals over the angle of correlation alone: see `ExponentialLinear`. Source: the
    polar form of Cho & Saul 2009, section 2; the function: Clevert et al. 2016 (arXiv:1511.07289).
    """

    name: ClassVar[str] = "elu"
    alpha: TunableReal = 1.0

    @property
    def above(self) -> float:
        return 1.0

    @property
    def depth(self) -> float:
        return self.alpha

    @property
    def decay(self) -> float:
        return 1.0


@frozen
class Selu(ExponentialLinear):
    """phi(x) = 1.0507 x for x > 0, else 1.7581 (exp(x) - 1), which keeps mean zero and variance one.

    E[phi phi] and E[phi' phi'] are integrals over the angle of correlation alone: see `ExponentialLinear`. Source: the
    polar form of Cho & Saul 2009, section 2; the function: Klambauer et al. 2017 (arXiv:1706.02515), eq. 2 and 14.
    """

    name: ClassVar[str] = "selu"

    @property
    def above(self) -> float:
        return 1.0507009873554805

    @property
    def depth(self) -> float:
        return 1.6732632423543772 * self.above

    @property
    def decay(self) -> float:
        return 1.0


@frozen
class Celu(ExponentialLinear):
    """phi(x) = x for x > 0, else alpha (exp(x / alpha) - 1), which has no kink.

    E[phi phi] and E[phi' phi'] are integrals over the angle of correlation alone: see `ExponentialLinear`. Source: the
    polar form of Cho & Saul 2009, section 2; the function: Barron 2017 (arXiv:1704.07483).
    """

    name: ClassVar[str] = "celu"
    alpha: Decay = 1.0

    @property
    def above(self) -> float:
        return 1.0

    @property
    def depth(self) -> float:
        return self.alpha

    @property
    def decay(self) -> float:
        return self.alpha


def mills_drop(p: Array) -> Array:
    """m(0) - m(p), p >= 0, to the precision of float64: by the series of m, by erfc, by its continued fraction."""
    small, large = np.minimum(p, 1), np.maximum(p, 6)
    term, odd = small, small
    for n in range(1, 24):
        term = term * small**2 / (2 * n + 1)
        odd = odd + term
    near = odd - sqrt(pi / 2) * np.expm1(small**2 / 2)
    tail = np.vectorize(lambda x: erfc(x / sqrt(2)), otypes=[np.float64])(np.minimum(p, 6))
    middle = sqrt(pi / 2) * (1 - tail * np.exp(np.minimum(p, 6) ** 2 / 2))
    fraction = large
    for n in range(60, 0, -1):
        fraction = large + n / fraction
    return np.where(p < 1, near, np.where(p < 6, middle, sqrt(pi / 2) - 1 / fraction))


def damped(p: Array) -> Array:
    """The integral of r exp(-r^2 / 2 - p r) over r > 0."""
    return 1 - p * (sqrt(pi / 2) - mills_drop(p))


def mixed(p: Array) -> Array:
    """The integral of r^2 (exp(-p r) - 1) exp(-r^2 / 2) over r > 0."""
    return -mills_drop(p) - p * damped(p)


def _both(p: Array, q: Array) -> Array:
    """The integral of r (exp(-p r) - 1) (exp(-q r) - 1) exp(-r^2 / 2) over r > 0."""
    together = mills_drop(p + q)
    return p * (together - mills_drop(p)) + q * (together - mills_drop(q))


def _angle_and_roots(k: Array, v1: Array, v2: Array) -> tuple[Array, Array, Array]:
    """The angle of correlation, and both standard deviations."""
    theta = np.arctan2(np.sqrt(np.maximum(v1 * v2 - k**2, 0.0)), k)
    return np.where(v1 * v2 > 0, theta, 0.0), np.sqrt(v1), np.sqrt(v2)


def _over_angle(integrand: Callable[[Array], Array], width: Array) -> Array:
    """The integral over (0, width), on Gauss-Legendre panels that shrink towards both ends."""
    total = np.zeros_like(width)
    for part, weight in zip(*_panels(), strict=True):
        total = total + weight * (integrand(width * part) + integrand(width * (1 - part)))
    return total * width


@lru_cache
def _panels() -> tuple[Array, Array]:
    """Nodes and weights on (0, 1 / 2)."""
    return panels(np.array([0.0, *0.25 ** np.arange(5.0, 0.0, -1.0), 0.5]), 12)
