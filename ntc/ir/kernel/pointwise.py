"""Kernel ops that act on every entry alone."""

from __future__ import annotations

from functools import reduce
from typing import ClassVar

import numpy as np
from pydantic import InstanceOf

from ntc.errors import VerifyError
from ntc.ir.hyper import Tunable, default
from ntc.ir.kernel.dense import spread_variance
from ntc.ir.offsets import DIAGONAL
from ntc.ir.op import MANY, Activation, Array, KernelOp, OffsetsPerAxis, covariance, same_type
from ntc.ir.schema import Finite, frozen
from ntc.ir.types import CovarianceType, Type


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
    """w_std^2 K + b_std^2. The only op that hyperparameters are in."""

    name: ClassVar[str] = "affine"
    w_std: Tunable = 1.0
    b_std: Tunable = 0.0

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        return default(self.w_std) ** 2 * operands[0] + default(self.b_std) ** 2


@frozen
class Add(Pointwise):
    """Sum of the operands, each times its weight (1 if `weights` is empty)."""

    name: ClassVar[str] = "add"
    arity: ClassVar[tuple[int, int]] = (1, MANY)
    weights: tuple[Finite, ...] = ()

    def result(self, *operands: Type) -> CovarianceType:
        if self.weights and len(self.weights) != len(operands):
            raise VerifyError(f"add has {len(self.weights)} weights for {len(operands)} operands")
        return same_type(operands)

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        weights = self.weights or (1.0,) * len(operands)
        return reduce(np.add, [w * x for w, x in zip(weights, operands, strict=True)])


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
    """An op on (K, var1, var2): an integral over the Gaussian of two pre-activations."""

    arity: ClassVar[tuple[int, int]] = (3, 3)
    phi: Activation

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


@frozen
class Dual(GaussianIntegral):
    """E[phi(u) phi(v)], u and v of covariance K. Source: Novak et al. 2020, Table 1 (the map T)."""

    name: ClassVar[str] = "dual"
    phi: InstanceOf[Activation]

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        return self.phi.dual(operands[0], *spread_variance(result, *operands[1:]))


@frozen
class DualDot(GaussianIntegral):
    """E[phi'(u) phi'(v)], u and v of covariance K. Source: Novak et al. 2020, Table 1 (the map T-dot)."""

    name: ClassVar[str] = "dual_dot"
    phi: InstanceOf[Activation]

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        return self.phi.dual_dot(operands[0], *spread_variance(result, *operands[1:]))


@frozen
class DualMean(GaussianIntegral):
    """E[phi(u)] E[phi(v)], the dual at covariance zero, whatever K is. Source: Fubini's theorem."""

    name: ClassVar[str] = "dual_mean"
    phi: InstanceOf[Activation]

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        return self.phi.dual(np.zeros_like(operands[0]), *spread_variance(result, *operands[1:]))
