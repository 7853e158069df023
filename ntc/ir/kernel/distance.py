"""Values in the distance form: D = (v1 + v2) / 2 - K where p' = p, -K elsewhere."""

from __future__ import annotations

from typing import ClassVar

from ntc.errors import VerifyError
from ntc.ir.kernel.dense import spread_variance, turned
from ntc.ir.kernel.pointwise import GaussianIntegral
from ntc.ir.op import Array
from ntc.ir.schema import frozen
from ntc.ir.types import CovarianceType, Form, Type


@frozen
class Covariance(GaussianIntegral):
    """K of a value in the distance form: (v1 + v2) / 2 - D where p' = p, the negative elsewhere."""

    name: ClassVar[str] = "covariance"
    reads: ClassVar[Form] = "distance"  # type: ignore[misc]

    def form(self, *operands: CovarianceType) -> Form:
        if operands[0].form != "distance":
            raise VerifyError("covariance takes a distance")
        return "covariance"

    @property
    def elementary(self) -> bool:
        return True

    def fold(self, *numbers: float | None) -> float | None:
        return None  # a distance is not one number at all offsets

    def operations(self, *operands: Type) -> int:
        return 3

    def reference(self, result: CovarianceType, *operands: Array) -> Array:
        return turned(result, operands[0], *spread_variance(result, *operands[1:]))
