"""Gaussian integrals of the nonlinearities in JAX, stable in float32, finite and differentiable at the ends.

One row per family of nonlinearities. What depends on one example alone is computed once per example and not per
pair: `marginal` of its variances; `dual` and `dual_dot` take that of both examples. `same` marks the entries of an
example and position with themselves, whose correlation is one whatever the rounding of k: None if there are none,
True if there are no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ntc.backends.jax.integrals import (
    custom,
    elu,
    erf,
    exponential,
    given,
    hinges,
    kinked,
    layer_norm,
    polynomial,
    power,
    relu,
    series,
)
from ntc.backends.jax.integrals.family import Family
from ntc.ir import ops
from ntc.ir.activation import Activation

FAMILIES: Mapping[type[Any], Family] = {
    ops.PiecewiseLinear: relu.FAMILY,
    ops.ErrorFunction: erf.ERROR_FUNCTION,
    ops.Gelu: erf.GELU,
    ops.Sinusoid: exponential.SINUSOID,
    ops.Rbf: exponential.RBF,
    ops.Gabor: exponential.GABOR,
    ops.Gaussian: exponential.GAUSSIAN,
    ops.Exp: exponential.EXP,
    ops.ExpNormalized: exponential.EXP_NORMALIZED,
    ops.PolynomialFamily: polynomial.POLYNOMIAL,
    ops.RectifiedPower: polynomial.RECTIFIED_MONOMIAL,
    ops.Sign: polynomial.SIGN,
    ops.Analytic: series.FAMILY,
    ops.Hinges: hinges.FAMILY,
    ops.ExponentialLinear: elu.FAMILY,
    ops.Kinked: kinked.FAMILY,
    ops.PowerLaw: power.FAMILY,
    ops.CustomActivation: custom.of_forms(lambda form: family(form)),  # noqa: PLW0108  # defined below
    ops.LayerNorm: layer_norm.FAMILY,
    ops.GivenActivation: given.FAMILY,
}


SERIES_ALONE: Mapping[type[Any], Family] = {
    ops.Analytic: series.ALONE,
    ops.CustomActivation: custom.of_forms(lambda form: family(form, series_alone=True)),
}
"""Rows that give NaN where their series are not enough, for programs that are run again if they did."""


def family(phi: Activation, series_alone: bool = False) -> Family:
    """The row of a nonlinearity, or of the family it belongs to."""
    rows = {**FAMILIES, **SERIES_ALONE} if series_alone else FAMILIES
    return next(rows[cls] for cls in type(phi).__mro__ if cls in rows)


def has_series(op: Any) -> bool:
    """Whether the op is a nonlinearity that has a row of its series alone."""
    form = op.form if isinstance(op, ops.CustomActivation) else op
    return any(cls in SERIES_ALONE for cls in type(form).__mro__)
