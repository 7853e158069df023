"""Nonlinearities, with the names and defaults of Neural Tangents.

`do_stabilize` and `do_clip` are accepted and have no effect: rules that need no clipping are exact at correlation one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax.numpy as jnp

from ntc import nn
from ntc.backends.jax.formulas import formula_of
from ntc.errors import ParameterError, UnsupportedError
from ntc.ir.op import TensorOp
from ntc.ir.types import Spatial
from ntc.stax.combinators import Layer, single, triple
from ntc.stax.layout import Layout
from ntc.stax.part import Single, operation


def Relu(do_stabilize: bool = False) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Relu`."""
    return single("Relu", nn.relu())


def LeakyRelu(alpha: float, do_stabilize: bool = False) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.LeakyRelu`."""
    return single("LeakyRelu", nn.leaky_relu(float(alpha)))


def ABRelu(a: float, b: float, do_stabilize: bool = False) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.AbRelu`."""
    return single("ABRelu", nn.ab_relu(float(a), float(b)))


def Abs(do_stabilize: bool = False) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Abs`."""
    return single("Abs", nn.abs())


def Erf(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Erf`."""
    return single("Erf", nn.erf(float(a), float(b), float(c)))


def Sigmoid_like() -> Layer:  # noqa: N802
    """See `ntc.ir.ops.SigmoidLike`."""
    return single("Sigmoid_like", nn.sigmoid_like())


def Gelu(approximate: bool = False) -> Layer:  # noqa: N802
    """The error function; with `approximate`, its tanh form, in finite networks and in kernels alike."""
    return single("Gelu", nn.gelu_tanh() if approximate else nn.gelu())


def Sin(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Sin`."""
    return single("Sin", nn.sin(float(a), float(b), float(c)))


def Cos(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Cos`."""
    return single("Cos", nn.cos(float(a), float(b), float(c)))


def Rbf(gamma: float = 1.0) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Rbf`."""
    return single("Rbf", nn.rbf(float(gamma)))


def Sign() -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Sign`."""
    return single("Sign", nn.sign())


def Exp(a: float = 1, b: float = 1) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Exp`."""
    return single("Exp", nn.exp(float(a), float(b)))


def Gaussian(a: float = 1, b: float = -1) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Gaussian`."""
    return single("Gaussian", nn.gaussian(float(a), float(b)))


def ExpNormalized(gamma: float = 1, shift: float = -1, do_clip: bool = False) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.ExpNormalized`."""
    return single("ExpNormalized", nn.exp_normalized(float(gamma), float(shift)))


def Gabor() -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Gabor`."""
    return single("Gabor", nn.gabor())


def Hermite(degree: int) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Hermite`."""
    return single("Hermite", nn.hermite(degree))


def Monomial(degree: int) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Monomial`."""
    return single("Monomial", nn.monomial(degree))


def RectifiedMonomial(degree: int) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.RectifiedMonomial`."""
    return single("RectifiedMonomial", nn.rectified_monomial(degree))


def Polynomial(coef: Sequence[float]) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Polynomial`."""
    return single("Polynomial", nn.polynomial(tuple(map(float, coef))))


def ElementwiseNumerical(  # noqa: N802
    fn: Callable[[Any], Any], deg: int, df: Callable[[Any], Any] | None = None
) -> Layer:
    """`fn`, a JAX function of one real number.

    Its kernels are those of `nn.activation`: `deg`, the number of nodes of a quadrature that is not used, and `df`, the
    derivative, which is known from the formula, have no effect. Raises ParameterError unless deg is 1 or more.
    """
    if isinstance(deg, bool) or not isinstance(deg, int) or deg < 1:
        raise ParameterError(f"ElementwiseNumerical: deg should be a whole number from 1, got {deg!r:.60}")
    return triple(_of_function("ElementwiseNumerical", fn))


def Elementwise(  # noqa: N802
    fn: Callable[[Any], Any] | None = None,
    nngp_fn: Callable[[Any, Any, Any], Any] | None = None,
    d_nngp_fn: Callable[[Any, Any, Any], Any] | None = None,
) -> Layer:
    """`fn`, a JAX function of one real number, whose kernels are found from its formula: see `nn.activation`.

    `nngp_fn(cov12, var1, var2)` and `d_nngp_fn`, which are E[fn fn] and E[fn' fn'], are not needed. Where they are
    given, they are compared with the integrals of `fn` at a few points, and refused if they differ.
    """
    if fn is None:
        raise UnsupportedError("Elementwise without fn", hint="give fn; nngp_fn alone says nothing of the function")
    return triple(_of_function("Elementwise", fn, (nngp_fn, d_nngp_fn)))


_POINTS = ((0.3, 0.7, 0.9), (-0.2, 0.5, 1.3), (0.0, 1.1, 0.4), (0.6, 0.8, 0.7))
"""Covariance and both variances."""

_TOLERANCE = 1e-3
"""Relative: the functions may compute in float32, or by a quadrature."""


def _of_function(name: str, fn: Callable[[Any], Any], given: tuple[Any, ...] = ()) -> Single:
    @lru_cache(maxsize=1)
    def op() -> TensorOp:
        activation = operation(nn.activation(formula_of(fn)))
        for integral, wanted in zip(given, ("dual", "dual_dot"), strict=False):
            if integral is not None:
                _check(name, integral, activation, wanted)
        return activation

    def ops(layout: Layout, spatial: Spatial) -> tuple[TensorOp, ...]:
        return (op(),)

    applied = jnp.vectorize(fn)
    return Single(name, ops, forward=lambda layout, x: applied(x))


def _check(name: str, integral: Callable[[Any, Any, Any], Any], activation: Any, wanted: str) -> None:
    for point in _POINTS:
        mine = float(getattr(activation, wanted)(*map(jnp.asarray, point)))
        theirs = float(integral(*point))
        if not abs(mine - theirs) <= _TOLERANCE * max(1.0, abs(mine)):
            what = "nngp_fn" if wanted == "dual" else "d_nngp_fn"
            raise ParameterError(f"{name}: {what}{point} is {theirs:.6g}, but the integral of fn is {mine:.6g}")
