"""How much arithmetic the Gaussian integrals of each family of nonlinearities are, per entry.

Counted on the jaxprs of the backend's integrals; a test holds the rows to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ntc.ir import ops
from ntc.ir.types import DType
from ntc.ir.work import Work

Counts = tuple[float, float, float]
"""Additions, roots and quotients, transcendental functions."""

INTEGRALS: Mapping[type[Any], tuple[Counts, Counts]] = {
    ops.PiecewiseLinear: ((27, 3, 0), (26, 2, 0)),
    ops.ErrorFunction: ((40, 3, 0), (24, 4, 0)),
    ops.Gelu: ((46, 6, 0), (47, 6, 0)),
    ops.Sinusoid: ((23, 4, 2), (33, 5, 3)),
    ops.Rbf: ((9, 0, 1), (10, 0, 1)),
    ops.Gabor: ((23, 7, 4), (44, 11, 5)),
    ops.Gaussian: ((9, 2, 0), (11, 2, 0)),
    ops.Exp: ((8, 1, 1), (9, 1, 1)),
    ops.ExpNormalized: ((11, 1, 1), (11, 1, 1)),
    ops.PolynomialFamily: ((20, 1, 0), (20, 1, 0)),
    ops.RectifiedPower: ((40, 4, 1), (40, 4, 1)),
    ops.Sign: ((45, 4, 0), (0, 0, 0)),
    ops.Analytic: ((782, 1, 0), (782, 1, 0)),
    ops.CustomActivation: ((782, 1, 0), (782, 1, 0)),  # the price is that of its form
    ops.Hinges: ((1160, 360, 150), (1000, 300, 133)),
    ops.Kinked: ((7200, 20, 30), (7200, 20, 30)),  # by hand: 7 for each of 1024 terms, and one kink
    ops.PowerLaw: ((420, 4, 4), (420, 4, 4)),  # by hand: three sums of 64 terms
    ops.ExponentialLinear: ((4233, 243, 97), (2596, 147, 97)),
    ops.LayerNorm: ((1, 1, 0), (0, 1, 0)),
    ops.GivenActivation: ((10, 2, 1), (10, 2, 1)),  # a guess: functions of whoever gives them
}
"""By family, in float32: of phi, and of its derivative."""

FROM_DISTANCES: tuple[Counts, Counts] = ((35, 2, 0), (31, 2, 0))
"""Of relu and its kin from values in the distance form, in either precision."""

TO_COVARIANCE: Counts = (6, 0, 0)
"""A covariance of a value in the distance form."""

_IN_FLOAT64: Mapping[type[Any], tuple[Counts, Counts]] = {
    ops.PiecewiseLinear: ((20, 3, 1), (20, 3, 1)),
    ops.ErrorFunction: ((12, 1, 1), (9, 2, 0)),
    ops.Gelu: ((13, 6, 1), (13, 5, 1)),
    ops.Sinusoid: ((21, 3, 4), (21, 3, 4)),
}
"""Families that have other forms there: an arc cosine, an arctangent or an `expm1` in place of a polynomial."""

_SERIES_IN_FLOAT64: Mapping[type[Any], float] = {
    ops.Analytic: 2.0,
    ops.CustomActivation: 2.0,
    ops.Kinked: 2.0,
    ops.ExponentialLinear: 3.0,
}
"""Families that sum more terms in float64: how many times as many."""


def integral_work(op: Any, dtype: DType) -> Work:
    """Per entry of the integral that a kernel op computes."""
    return Work(*_counts(op, dtype))


def _counts(op: Any, dtype: DType) -> Counts:
    which = int(op.derivative)
    if not hasattr(op, "phi"):
        return TO_COVARIANCE
    if op.reads == "distance":
        return FROM_DISTANCES[which]
    phi = op.phi.form if isinstance(op.phi, ops.CustomActivation) else op.phi
    family = next(cls for cls in type(phi).__mro__ if cls in INTEGRALS)
    if dtype == "f64" and family in _IN_FLOAT64:
        return _IN_FLOAT64[family][which]
    counts = INTEGRALS[family][which]
    factor = _SERIES_IN_FLOAT64.get(family, 1.0) if dtype == "f64" else 1.0
    return factor * counts[0], factor * counts[1], factor * counts[2]
