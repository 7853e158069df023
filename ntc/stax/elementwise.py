"""Nonlinearities, with the names and defaults of Neural Tangents.

Real parameters may be traced. `do_stabilize` and `do_clip` are accepted and have no effect: rules that need no clipping
are exact at correlation one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntc import nn
from ntc.backends.jax.formulas.jaxpr_to_formula import formula_of
from ntc.errors import NtcError, ParameterError
from ntc.ir.given_function import GivenFunction
from ntc.ir.op import TensorOp
from ntc.ir.ops import GivenActivation
from ntc.stax.combinators import Layer, constructor, single, triple
from ntc.stax.part import Single, operation
from ntc.stax.tuned import tuned


@constructor
def Relu(do_stabilize: bool = False) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Relu`."""
    return single("Relu", nn.relu())


@constructor
def LeakyRelu(alpha: float, do_stabilize: bool = False) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.LeakyRelu`."""
    return tuned("LeakyRelu", nn.leaky_relu, alpha=alpha)


@constructor
def ABRelu(a: float, b: float, do_stabilize: bool = False) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.AbRelu`."""
    return tuned("ABRelu", nn.ab_relu, a=a, b=b)


@constructor
def Abs(do_stabilize: bool = False) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Abs`."""
    return single("Abs", nn.abs())


@constructor
def Erf(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Erf`."""
    return tuned("Erf", nn.erf, a=a, b=b, c=c)


@constructor
def Sigmoid_like() -> Layer:  # noqa: N802
    """See `ntc.ir.ops.SigmoidLike`."""
    return single("Sigmoid_like", nn.sigmoid_like())


@constructor
def Gelu(approximate: bool = False) -> Layer:  # noqa: N802
    """The error function; with `approximate`, its tanh form, in finite networks and in kernels alike."""
    return single("Gelu", nn.gelu_tanh() if approximate else nn.gelu())


@constructor
def Sin(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Sin`."""
    return tuned("Sin", nn.sin, a=a, b=b, c=c)


@constructor
def Cos(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Cos`."""
    return tuned("Cos", nn.cos, a=a, b=b, c=c)


@constructor
def Rbf(gamma: float = 1.0) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Rbf`."""
    return tuned("Rbf", nn.rbf, gamma=gamma)


@constructor
def Sign() -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Sign`."""
    return single("Sign", nn.sign())


@constructor
def Exp(a: float = 1, b: float = 1) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Exp`."""
    return tuned("Exp", nn.exp, a=a, b=b)


@constructor
def Gaussian(a: float = 1, b: float = -1) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Gaussian`."""
    return tuned("Gaussian", nn.gaussian, a=a, b=b)


@constructor
def ExpNormalized(gamma: float = 1, shift: float = -1, do_clip: bool = False) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.ExpNormalized`."""
    return tuned("ExpNormalized", nn.exp_normalized, gamma=gamma, shift=shift)


@constructor
def Gabor() -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Gabor`."""
    return single("Gabor", nn.gabor())


@constructor
def Hermite(degree: int) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Hermite`."""
    return single("Hermite", nn.hermite(degree))


@constructor
def Monomial(degree: int) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Monomial`."""
    return single("Monomial", nn.monomial(degree))


@constructor
def RectifiedMonomial(degree: int) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.RectifiedMonomial`."""
    return single("RectifiedMonomial", nn.rectified_monomial(degree))


@constructor
def Polynomial(coef: Sequence[float]) -> Layer:  # noqa: N802
    """See `ntc.ir.ops.Polynomial`."""
    return tuned("Polynomial", nn.polynomial, coefficients=tuple(coef))


@constructor
def ElementwiseNumerical(  # noqa: N802
    fn: Callable[[Any], Any], deg: int, df: Callable[[Any], Any] | None = None
) -> Layer:
    """`fn`, a JAX function of one real number.

    Its kernels are those of `nn.activation`: `deg`, the number of nodes of a quadrature that is not used, and `df`, the
    derivative, which is known from the formula, have no effect. Raises ParameterError unless deg is 1 or more.
    """
    if isinstance(deg, bool) or not isinstance(deg, int) or deg < 1:
        raise ParameterError(f"ElementwiseNumerical: deg should be a whole number from 1, got {deg!r:.60}")
    return triple(_of_function("ElementwiseNumerical", fn, lru_cache(maxsize=1)(lambda: _of_formula(fn))))


@constructor
def Elementwise(  # noqa: N802
    fn: Callable[[Any], Any] | None = None,
    nngp_fn: Callable[[Any, Any, Any], Any] | None = None,
    d_nngp_fn: Callable[[Any, Any, Any], Any] | None = None,
) -> Layer:
    """`fn`, a JAX function of one real number, and its kernels.

    `nngp_fn(cov12, var1, var2)` and `d_nngp_fn`, which are E[fn fn] and E[fn' fn'] as JAX functions of three numbers,
    are the kernels where they are given; without `d_nngp_fn`, it is the derivative of `nngp_fn` by its first argument
    (Price 1958), by `jax.grad`. Where the integrals of `fn` are known as well, they are compared with them at a few
    points. Without `nngp_fn`, kernels are found from the formula of `fn`: see `nn.activation`. Without `fn` there are
    no finite networks.

    Raises ParameterError where neither is given, or, when kernels are asked for, where they contradict each other.
    """
    if fn is None and nngp_fn is None:
        raise ParameterError("Elementwise needs fn or nngp_fn")

    @lru_cache(maxsize=1)
    def op() -> TensorOp:
        formula = _compared(fn, nngp_fn, d_nngp_fn)
        return formula if nngp_fn is None else _of_integrals(nngp_fn, d_nngp_fn)

    return triple(_of_function("Elementwise", fn, op))


def _of_function(name: str, fn: Callable[[Any], Any] | None, op: Callable[[], TensorOp]) -> Single:
    """The op is made when kernels are first asked for."""
    if fn is None:
        return Single(name, lambda layout, spatial: (op(),))
    applied = jnp.vectorize(fn)
    return Single(name, lambda layout, spatial: (op(),), forward=lambda layout, x: applied(x), entrywise=True)


def _of_formula(fn: Callable[[Any], Any]) -> TensorOp:
    return operation(nn.activation(formula_of(fn)))


def _of_integrals(nngp_fn: Callable[..., Any], d_nngp_fn: Callable[..., Any] | None) -> TensorOp:
    """The op whose integrals are these functions, of numbers."""
    slope = jax.grad(nngp_fn) if d_nngp_fn is None else d_nngp_fn
    return GivenActivation(
        GivenFunction("nngp_fn", jnp.vectorize(nngp_fn), nngp_fn),
        GivenFunction("d_nngp_fn", jnp.vectorize(slope), nngp_fn if d_nngp_fn is None else d_nngp_fn),
    )


_POINTS = np.array([(0.3, 0.7, 0.9), (-0.2, 0.5, 1.3), (0.0, 1.1, 0.4), (0.6, 0.8, 0.7)]).T
"""Covariances and both variances."""

_TOLERANCE = 1e-3
"""Relative: the functions may compute in float32, or by a quadrature."""


def _compared(fn: Callable[[Any], Any] | None, nngp_fn: Any, d_nngp_fn: Any) -> Any:
    """The op of the formula of fn, None if it has none. Raises the errors of `_of_formula` if nothing else is given."""
    if fn is None:
        return None
    try:
        activation: Any = _of_formula(fn)
        known = [activation.dual(*_POINTS), activation.dual_dot(*_POINTS)]
    except NtcError:
        if nngp_fn is None:
            raise
        return None
    for name, integral, mine in zip(("nngp_fn", "d_nngp_fn"), (nngp_fn, d_nngp_fn), known, strict=True):
        if integral is not None:
            _check(name, integral, mine)
    return activation


def _check(name: str, integral: Callable[..., Any], known: Any) -> None:
    """Raises ParameterError where the integral is not what is known of it."""
    with jax.ensure_compile_time_eval():
        given = np.asarray(jnp.vectorize(integral)(*map(jnp.asarray, _POINTS)))
    for point, mine, theirs in zip(_POINTS.T, known, given, strict=True):
        if np.isfinite(mine) and not abs(mine - theirs) <= _TOLERANCE * max(1.0, abs(mine)):
            at = tuple(map(float, point))
            raise ParameterError(f"Elementwise: {name}{at} is {theirs:.6g}, but the integral of fn is {mine:.6g}")
