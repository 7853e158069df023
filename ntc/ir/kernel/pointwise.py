"""Kernel ops that act on every entry alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import ClassVar

import numpy as np
from pydantic import InstanceOf

from ntc.errors import VerifyError
from ntc.ir.activation import Activation
from ntc.ir.hyper import TunableReal
from ntc.ir.kernel.dense import bias, spread_variance, turned
from ntc.ir.kernel.families import Uniform
from ntc.ir.offsets import DIAGONAL
from ntc.ir.op import MANY, Array, KernelOp, OffsetsPerAxis, covariance, same_type
from ntc.ir.schema import frozen
from ntc.ir.types import CovarianceType, Form, Type
from ntc.ir.work import Work


@frozen
class Affine(Uniform):
    """w_std^2 K + b_std^2; w_std^2 D, as the bias cancels."""

    name: ClassVar[str] = "affine"
    w_std: TunableReal = 1.0
    b_std: TunableReal = 0.0

    def fold(self, *numbers: float | None) -> float | None:
        if isinstance(self.b_std, float) and 0.0 in (self.w_std, numbers[0]):
            return self.b_std**2
        return super().fold(*numbers)

    @property
    def identity(self) -> bool:
        return self == Affine()

    @property
    def linear_in_distances(self) -> bool:
        return self.w_std != 0

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        return self.w_std**2 * operands[0] + bias(result, self.b_std)


@frozen
class Add(Uniform):
    """Sum of the operands, each times its weight (1 if `weights` is empty); of distances as of covariances."""

    name: ClassVar[str] = "add"
    arity: ClassVar[tuple[int, int]] = (1, MANY)
    weights: tuple[TunableReal, ...] = ()

    def result(self, *operands: Type) -> CovarianceType:
        if self.weights and len(self.weights) != len(operands):
            raise VerifyError(f"add has {len(self.weights)} weights for {len(operands)} operands")
        return same_type(operands)

    @property
    def neutral(self) -> float | None:
        return 0.0

    def fold(self, *numbers: float | None) -> float | None:
        return 0.0 if set(numbers) == {0.0} else super().fold(*numbers)

    @property
    def identity(self) -> bool:
        return self.weights in ((), (1.0,))

    @property
    def linear_in_distances(self) -> bool:
        return True

    def on_some(self, operands: Sequence[int]) -> KernelOp:
        return Add(tuple(self.weights[i] for i in operands) if self.weights else ())

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        weights = self.weights or (1.0,) * len(operands)
        return reduce(np.add, [w * x for w, x in zip(weights, operands, strict=True)])


@frozen
class Positive(Uniform):
    """1 where an entry is positive, else 0: which pairs of positions read some that are there."""

    name: ClassVar[str] = "positive"

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        return np.where(np.isnan(operands[0]), np.nan, operands[0] > 0)


@frozen
class Mul(Uniform):
    """Product of the operands."""

    name: ClassVar[str] = "mul"
    arity: ClassVar[tuple[int, int]] = (1, MANY)

    def fold(self, *numbers: float | None) -> float | None:
        return 0.0 if 0.0 in numbers else super().fold(*numbers)

    @property
    def neutral(self) -> float | None:
        return 1.0

    @property
    def identity(self) -> bool:
        return True

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        return reduce(np.multiply, operands)


@frozen
class Div(Uniform):
    """The first operand divided by the second; zero where that is zero."""

    name: ClassVar[str] = "div"
    arity: ClassVar[tuple[int, int]] = (2, 2)

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        above, below = operands
        return np.where(below == 0, 0.0, above / np.where(below == 0, 1.0, below))


class GaussianIntegral(Uniform):
    """An op on (K, var1, var2): an integral over the Gaussian of two pre-activations, of phi or its `derivative`.

    `reads` is the form of K.
    """

    arity: ClassVar[tuple[int, int]] = (3, 3)
    integral: ClassVar[bool] = True
    phi: Activation
    reads: Form = "covariance"

    def form(self, *operands: CovarianceType) -> Form:
        wanted = (self.reads, "covariance", "covariance")
        if tuple(x.form for x in operands) != wanted:
            raise VerifyError(f"{self.name} reads a {self.reads} and two variances")
        return "covariance"

    def result(self, *operands: Type) -> CovarianceType:
        k, v1, v2 = map(covariance, operands)
        marginals = (v1.batch, v2.batch) == (k.batch[:1], k.batch[-1:])
        if not marginals or {v1.spatial, v2.spatial} != {k.spatial}:
            raise VerifyError(f"{self.name}: {v1} and {v2} are not the marginals of {k}")
        return CovarianceType.dense(k.dtype, k.batch, k.spatial)

    def operations(self, *operands: Type) -> int:
        """A quotient, a root and a polynomial of degree seven, as for relu."""
        return 25

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        diagonal = (DIAGONAL,) * len(offsets)
        return offsets, diagonal, diagonal

    @property
    def elementary(self) -> bool:
        return self.phi.elementary

    @property
    def steep(self) -> bool:
        """A covariance is read, and what is integrated jumps."""
        return self.reads == "covariance" and self.phi.jump in ((0, 1) if self.derivative else (0,))

    def work(self, result: CovarianceType, *operands: Type) -> Work:
        """None here: `ntc.price.integrals` has that of every family of nonlinearities."""
        return Work()

    def arguments(self, result: CovarianceType, *operands: Array) -> tuple[Array, Array, Array]:
        """K and the variances of every entry."""
        v1, v2 = spread_variance(result, *operands[1:])
        return operands[0] if self.reads == "covariance" else turned(result, operands[0], v1, v2), v1, v2


@frozen
class Dual(GaussianIntegral):
    """E[phi(u) phi(v)], u and v of covariance K; where `gives` is distance and p' = p, E[(phi(u) - phi(v))^2] / 2.

    Source: Novak et al. 2020, Table 1 (the map T).
    """

    name: ClassVar[str] = "dual"
    phi: InstanceOf[Activation]
    reads: Form = "covariance"
    gives: Form = "covariance"

    def form(self, *operands: CovarianceType) -> Form:
        super().form(*operands)
        return self.gives

    @property
    def large(self) -> bool:
        return True

    def giving_distance(self) -> KernelOp | None:
        return None if self.phi.slopes is None else replace(self, gives="distance")

    def reading_distance(self) -> KernelOp | None:
        return None if self.phi.slopes is None else replace(self, reads="distance")

    def variance_operands(self, operands: tuple[str, ...], side: int) -> tuple[str, ...] | None:
        return (operands[1 + side],) * 3

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        k, v1, v2 = self.arguments(result, *operands)
        dual = self.phi.dual(k, v1, v2)
        if self.gives == "covariance":
            return dual
        return turned(result, dual, self.phi.dual(v1, v1, v1), self.phi.dual(v2, v2, v2))


@frozen
class DualDot(GaussianIntegral):
    """E[phi'(u) phi'(v)], u and v of covariance K. Source: Novak et al. 2020, Table 1 (the map T-dot)."""

    name: ClassVar[str] = "dual_dot"
    derivative: ClassVar[bool] = True
    phi: InstanceOf[Activation]
    reads: Form = "covariance"

    def reading_distance(self) -> KernelOp | None:
        return None if self.phi.slopes is None else replace(self, reads="distance")

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        return self.phi.dual_dot(*self.arguments(result, *operands))


@frozen
class DualMean(GaussianIntegral):
    """E[phi(u)] E[phi(v)], the dual at covariance zero, whatever K is. Source: Fubini's theorem."""

    name: ClassVar[str] = "dual_mean"
    phi: InstanceOf[Activation]

    @property
    def steep(self) -> bool:
        return False

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        return self.phi.dual(np.zeros_like(operands[0]), *spread_variance(result, *operands[1:]))


class ApartIntegral(GaussianIntegral):
    """An integral over pre-activations of two channels, whose covariance K is that of what they have in common: no
    entry is one of a channel with itself, so none is of correlation one because of where it is."""

    phi: InstanceOf[Activation]

    @property
    def steep(self) -> bool:
        return False


@frozen
class DualApart(ApartIntegral):
    """E[phi(u) phi(v)], u and v of covariance K in two channels. Source: Novak et al. 2020, Table 1 (the map T)."""

    name: ClassVar[str] = "dual_apart"
    phi: InstanceOf[Activation]

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        return self.phi.dual(*self.arguments(result, *operands))


@frozen
class DualDotApart(ApartIntegral):
    """E[phi'(u) phi'(v)], u and v of covariance K in two channels. Source: Novak et al. 2020, Table 1."""

    name: ClassVar[str] = "dual_dot_apart"
    derivative: ClassVar[bool] = True
    phi: InstanceOf[Activation]

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        return self.phi.dual_dot(*self.arguments(result, *operands))
