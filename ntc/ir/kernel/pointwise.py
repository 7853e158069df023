"""Kernel ops that act on every entry alone."""

from __future__ import annotations

from functools import reduce
from typing import ClassVar

import numpy as np
from pydantic import InstanceOf

from ntc.errors import VerifyError
from ntc.ir.hyper import TunableReal
from ntc.ir.kernel.dense import bias, spread_variance, turned
from ntc.ir.offsets import DIAGONAL
from ntc.ir.op import MANY, Activation, Array, KernelOp, OffsetsPerAxis, covariance, same_form, same_type
from ntc.ir.schema import frozen
from ntc.ir.types import CovarianceType, Form, Type


class Pointwise(KernelOp):
    """An op whose result at an entry depends on its operands at that entry."""

    def result(self, *operands: Type) -> CovarianceType:
        return same_type(operands)

    def operations(self, *operands: Type) -> int:
        return 2 * len(operands)

    def demand(self, offsets: OffsetsPerAxis, *operands: CovarianceType) -> tuple[OffsetsPerAxis, ...]:
        return (offsets,) * len(operands)


@frozen
class Affine(Pointwise):
    """w_std^2 K + b_std^2; w_std^2 D, as the bias cancels."""

    name: ClassVar[str] = "affine"
    w_std: TunableReal = 1.0
    b_std: TunableReal = 0.0

    def form(self, *operands: CovarianceType) -> Form:
        return same_form(self, operands)

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        return self.w_std**2 * operands[0] + bias(result, self.b_std)


@frozen
class Add(Pointwise):
    """Sum of the operands, each times its weight (1 if `weights` is empty); of distances as of covariances."""

    name: ClassVar[str] = "add"
    arity: ClassVar[tuple[int, int]] = (1, MANY)
    weights: tuple[TunableReal, ...] = ()

    def result(self, *operands: Type) -> CovarianceType:
        if self.weights and len(self.weights) != len(operands):
            raise VerifyError(f"add has {len(self.weights)} weights for {len(operands)} operands")
        return same_type(operands)

    def form(self, *operands: CovarianceType) -> Form:
        return same_form(self, operands)

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        weights = self.weights or (1.0,) * len(operands)
        return reduce(np.add, [w * x for w, x in zip(weights, operands, strict=True)])


@frozen
class Positive(Pointwise):
    """1 where an entry is positive, else 0: which pairs of positions read some that are there."""

    name: ClassVar[str] = "positive"

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        return np.where(np.isnan(operands[0]), np.nan, operands[0] > 0)


@frozen
class Mul(Pointwise):
    """Product of the operands."""

    name: ClassVar[str] = "mul"
    arity: ClassVar[tuple[int, int]] = (1, MANY)

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        return reduce(np.multiply, operands)


@frozen
class Div(Pointwise):
    """The first operand divided by the second; zero where that is zero."""

    name: ClassVar[str] = "div"
    arity: ClassVar[tuple[int, int]] = (2, 2)

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        above, below = operands
        return np.where(below == 0, 0.0, above / np.where(below == 0, 1.0, below))


class GaussianIntegral(KernelOp):
    """An op on (K, var1, var2): an integral over the Gaussian of two pre-activations. `reads` is the form of K."""

    arity: ClassVar[tuple[int, int]] = (3, 3)
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
    phi: InstanceOf[Activation]
    reads: Form = "covariance"

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        return self.phi.dual_dot(*self.arguments(result, *operands))


@frozen
class DualMean(GaussianIntegral):
    """E[phi(u)] E[phi(v)], the dual at covariance zero, whatever K is. Source: Fubini's theorem."""

    name: ClassVar[str] = "dual_mean"
    phi: InstanceOf[Activation]

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        return self.phi.dual(np.zeros_like(operands[0]), *spread_variance(result, *operands[1:]))
