"""Networks near some of their parameters: linearisation, Taylor expansions, and where gradient flow leads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import factorial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntc.errors import InputError, ParameterError
from ntc.finite.empirical import empirical_ntk_fn

Function = Callable[..., Any]


def linearize(f: Function, params: Any) -> Function:
    """The Taylor expansion of first order of a network around some parameters (Lee et al. 2019, eq. 5).

    f_lin(p, *args, **kwargs) = f(params, ...) + J (p - params), J the Jacobian by the parameters at `params`: a model
    like f, to train with any optimiser; the cost is about that of two evaluations of f.

    Args:
      f: f(params, *args, **kwargs); params and outputs are any pytrees.
      params: where f is expanded.
    """
    return taylor_expand(f, params, 1)


def taylor_expand(f: Function, params: Any, degree: int) -> Function:
    """The Taylor expansion of f around some parameters, in the direction of others.

    f_tayl(p, *args, **kwargs) = sum over k <= degree of d^k/dt^k f(params + t (p - params), ...) / k! at t = 0, each a
    Jacobian-vector product of the one before, so that the cost is up to 2^degree times that of f. (Rules of series,
    `jax.experimental.jet`, would cost less, but fail on relu and on layer normalisation.)

    Args:
      f: f(params, *args, **kwargs); params and outputs are any pytrees.
      params: where f is expanded.
      degree: of the polynomial, 0 or more.

    Raises:
      ParameterError: the degree is negative or not a whole number.
      InputError: when called, the parameters have another structure than `params`.
    """
    if isinstance(degree, bool) or not isinstance(degree, int) or degree < 0:
        raise ParameterError(f"degree should be a whole number from 0, got {degree!r}")

    structure: Any = jax.tree.structure(params)

    def expanded(p: Any, *args: Any, **kwargs: Any) -> Any:
        if structure != jax.tree.structure(p):
            raise InputError("the parameters have another structure than those the network is expanded around")
        direction = jax.tree.map(jnp.subtract, p, params)
        terms = _derivatives(lambda moved: f(moved, *args, **kwargs), params, direction, degree)
        return jax.tree.map(lambda *x: sum(one / factorial(k) for k, one in enumerate(x)), *terms)

    return expanded


def _derivatives(f: Function, params: Any, direction: Any, degree: int) -> list[Any]:
    """d^k/dt^k f(params + t direction) at t = 0 for k up to the degree."""

    def along(order: int, t: jax.Array) -> list[Any]:
        if order == 0:
            return [f(jax.tree.map(lambda x, d: x + t * d, params, direction))]
        values, slopes = jax.jvp(partial(along, order - 1), (t,), (jnp.ones_like(t),))
        return [*values, slopes[-1]]

    return along(degree, jnp.zeros((), jnp.result_type(float, *jax.tree.leaves(params))))


def linearized_weights(
    f: Function, params: Any, x: Any, y: jax.Array, learning_rate: float = 1.0, vmap_axes: Any = None
) -> Callable[[float | None], Any]:
    """The parameters of the linearised network during gradient flow on half the mean squared error.

    w(t) = w - J^T Theta^-1 (I - exp(-eta Theta t / |y|)) (f(w, x) - y), J the Jacobian at the initial parameters w,
    Theta = J J^T, and |y| the number of targets, over whose squares the loss is a mean (Lee et al. 2019, eq. 8).

    Args:
      f: f(params, x), one array of outputs of the shape of y.
      params: the initial parameters, where f is linearised.
      x, y: training inputs and targets.
      learning_rate: eta.
      vmap_axes: as of `empirical_ntk_fn`.

    Returns:
      weights(t): the parameters at time t; None is the limit of infinite time, for directions that are learnt at all.

    Raises:
      InputError: the outputs have another shape than y.
    """
    outputs, pullback = jax.vjp(lambda p: f(p, x), params)
    if outputs.shape != jnp.shape(y):
        raise InputError(f"the outputs have shape {outputs.shape}, the targets {jnp.shape(y)}")
    theta = empirical_ntk_fn(f, trace_axes=(), vmap_axes=vmap_axes)(x, None, params)
    order = [*range(0, theta.ndim, 2), *range(1, theta.ndim, 2)]
    values, vectors = jnp.linalg.eigh(theta.transpose(order).reshape(outputs.size, outputs.size))
    values = jnp.maximum(values, 0)
    errors = vectors.T @ (outputs - y).ravel()

    def weights(t: float | None) -> Any:
        learnt = values > values.size * float(np.finfo(values.dtype).eps) * values.max()
        filtered = learnt if t is None else -jnp.expm1(-learning_rate * t / outputs.size * values)
        steps = vectors @ (errors * jnp.where(learnt, filtered / jnp.where(learnt, values, 1), 0))
        (change,) = pullback(steps.reshape(outputs.shape).astype(outputs.dtype))
        return jax.tree.map(jnp.subtract, params, change)

    return weights
