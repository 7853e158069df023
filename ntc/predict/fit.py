"""Hyperparameters of largest marginal likelihood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import scipy.optimize
from jax.flatten_util import ravel_pytree

from ntc.errors import InputError
from ntc.predict.evidence import Evidence, log_marginal_likelihood_and_gradient
from ntc.predict.system import check_diag_reg

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """Where the marginal likelihood is largest.

    Attributes:
      parameters: of the structure that was given.
      diag_reg: as given, or as fitted.
      value: the log marginal likelihood there, in nats.
      scale: what kernel and noise are multiplied by there, one unless it was fitted.
      history: the value after every iteration, beginning with the start.
      converged: whether the optimiser says so.
      message: what the optimiser says.
      length_scales: what inputs are divided by there, if that was fitted.
    """

    parameters: Any
    diag_reg: Any
    value: float
    history: tuple[float, ...]
    converged: bool
    message: str
    scale: float = 1.0
    length_scales: Any = None


def fit(
    kernel_of: Callable[[Any], Any],
    start: Any,
    y_train: Any,
    diag_reg: Any = 1e-4,
    *,
    fit_diag_reg: bool = False,
    fit_scale: bool = False,
    signed: Any = False,
    spread: Any = np.inf,
    max_iterations: int = 100,
    progress: Callable[[int, float], None] | None = None,
) -> Fit:
    """Maximises the log marginal likelihood over parameters, by L-BFGS-B; those that are positive by their logarithms.

    Args:
      kernel_of: function of the parameters with the training kernel (n, n) as value, which JAX can differentiate.
      start: numbers or arrays, in any nesting of tuples, lists and dicts; positive unless they are `signed`.
      y_train: (n, outputs).
      diag_reg: relative to the mean of the diagonal, a number or one per example; positive if it is fitted.
      fit_diag_reg: it is a parameter like the others; one per example, all are multiplied by one.
      fit_scale: so is a number that kernel and noise are multiplied by.
      spread: standard deviations of a normal prior around the start, of logarithms where parameters are positive: of
        all or nested as they are. What is maximised is then the posterior; `value` stays the likelihood.
      signed: which parameters may have any sign: true or false, of all or nested as they are.
      max_iterations: of the optimiser.
      progress: called with (iterations done, log marginal likelihood).

    Raises:
      InputError: a start is not positive, shapes do not fit, or the kernel at the start is not positive definite.
    """
    with jax.enable_x64(True):
        start = jax.tree.map(lambda x: jnp.asarray(x, float), start)
        flat, restore = ravel_pytree(start)
        signs, spreads = _each(signed, start), _each(spread, start)
    check_diag_reg(diag_reg, len(np.asarray(y_train)))
    noise = float(np.mean(diag_reg))
    values = np.append(np.asarray(flat, np.float64), noise if fit_diag_reg else [])
    is_signed = np.append(signs.astype(bool), np.zeros(int(fit_diag_reg), bool))
    if not len(values) or not (np.isfinite(values) & (is_signed | (values > 0))).all():
        raise InputError("parameters to fit, and diag_reg if it is fitted, should be positive numbers")
    shape = np.asarray(diag_reg) / noise if fit_diag_reg and noise else diag_reg
    objective = _Objective(kernel_of, restore, y_train, shape, fit_diag_reg, fit_scale, len(flat), is_signed)
    begin = np.where(is_signed, values, np.log(np.where(is_signed, 1, values)))
    prior = _Prior(begin, np.append(spreads, np.full(int(fit_diag_reg), np.inf)))
    found, history = _maximised(objective, prior, begin, max_iterations, progress)
    parameters, fitted = objective.parameters(found.x)
    scale = objective.evidence(found.x).scale if fit_scale else 1.0
    value = prior(found.x)[0] - float(found.fun)
    return Fit(parameters, fitted, value, history, bool(found.success), str(found.message), scale)


def _each(given: Any, start: Any) -> Array:
    """What is given for every number to be fitted: one value for all, or nested as they are."""
    nested = jax.tree.map(lambda _: given, start) if isinstance(given, bool | float) else given
    return np.asarray(ravel_pytree(jax.tree.map(lambda x, own: jnp.full(x.shape, own), start, nested))[0])


def _maximised(
    objective: _Objective,
    prior: _Prior,
    begin: Array,
    max_iterations: int,
    progress: Callable[[int, float], None] | None,
) -> tuple[scipy.optimize.OptimizeResult, tuple[float, ...]]:
    """What the optimiser found, and the likelihoods after every iteration."""
    history = [objective.evidence(begin).value]  # where the kernel must be positive definite

    def report(intermediate_result: scipy.optimize.OptimizeResult) -> None:
        history.append(prior(intermediate_result.x)[0] - float(intermediate_result.fun))
        if progress:
            progress(len(history) - 1, history[-1])

    def minimised(given: Array) -> tuple[float, Array]:
        (value, gradient), (own, own_gradient) = objective(given), prior(given)
        return value + own, gradient + own_gradient

    found = scipy.optimize.minimize(
        minimised,
        begin,
        jac=True,
        method="L-BFGS-B",
        callback=report,
        options={"maxiter": max_iterations},
    )
    return found, tuple(history)


@dataclass(frozen=True)
class _Prior:
    """Minus the logarithm of a normal density, less a constant, and its gradient."""

    mean: Array
    deviation: Array

    def __call__(self, given: Array) -> tuple[float, Array]:
        distance = (given - self.mean) / self.deviation
        return 0.5 * float(distance @ distance), distance / self.deviation


@dataclass(frozen=True)
class _Objective:
    """Minus the log marginal likelihood, and its gradient, as a function of parameters, or of their logarithms."""

    kernel_of: Callable[[Any], Any]
    restore: Callable[[Any], Any]
    y_train: Any
    diag_reg: Any
    fit_diag_reg: bool
    fit_scale: bool
    count: int
    signed: npt.NDArray[np.bool_]

    def parameters(self, given: Array) -> tuple[Any, Any]:
        values = self._values(given)
        with jax.enable_x64(True):
            restored = self.restore(jnp.asarray(values[: self.count]))
        if not self.fit_diag_reg:
            return restored, self.diag_reg
        noise = values[-1] * self.diag_reg
        return restored, noise if np.ndim(noise) else float(noise)

    def _values(self, given: Array) -> Array:
        return np.where(self.signed, given, np.exp(np.where(self.signed, 0, given)))

    def evidence(self, given: Array) -> Evidence:
        parameters, diag_reg = self.parameters(given)
        return log_marginal_likelihood_and_gradient(
            self.kernel_of, parameters, self.y_train, diag_reg, fit_scale=self.fit_scale
        )

    def __call__(self, given: Array) -> tuple[float, Array]:
        try:
            found = self.evidence(given)
        except InputError:
            # A step of the line search to where there is no likelihood: it is to be made shorter.
            return np.inf, np.zeros_like(given)
        slopes = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found.gradient)])
        slopes = np.append(slopes, np.sum(found.diag_reg * self.diag_reg) if self.fit_diag_reg else [])
        gradient = slopes * np.where(self.signed, 1, self._values(given))
        return -found.value, -gradient
