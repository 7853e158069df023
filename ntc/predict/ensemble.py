"""The law of an infinite ensemble of infinitely wide networks at any time of training."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import jax

from ntc.backends.jax.concrete import is_traced
from ntc.ir.named import Get
from ntc.predict.arithmetic import Arithmetic, SolveDType, checked, of_any_ranks
from ntc.predict.filters import durations, learned, moved, over_time, remaining
from ntc.predict.inference import Gaussian, change_of_covariance
from ntc.predict.kernels import BOTH, KernelFn, Regime, answered, component, kernel_function, test_train_keywords
from ntc.predict.layout import Axes, Layout
from ntc.predict.least_norm import Spectrum
from ntc.predict.system import System


def gradient_descent_mse_ensemble(
    kernel_fn: Any,
    x_train: Any,
    y_train: Any,
    learning_rate: float = 1.0,
    diag_reg: Any = 0.0,
    diag_reg_absolute_scale: bool = False,
    trace_axes: Axes = (-1,),
    *,
    solve_dtype: SolveDType | None = None,
    **kernel_fn_train_train_kwargs: Any,
) -> Ensemble:
    """Mean and covariance, over random initialisations, of outputs at any time of training on the squared error.

    With K the NNGP and T the NTK, and s = learning_rate * t / |y| (Lee et al. 2019, eq. 14 and 15), outputs at time t
    are f_0(x) + W (y - f_0(X)), where

        ntk   all layers are trained: W = T(x, X) T^-1 (I - exp(-s T)), T = T(X, X);
        nngp  the last layer alone is trained: the same with K in place of T.

    The mean is W y, the covariance K(x, x) + W K(X, X) W' - W K(X, x) - K(x, X) W', which for nngp is
    K(x, x) - K(x, X) K^-1 (I - exp(-2 s K)) K(X, x). Regularisation is added to whatever is inverted or in an exponent:
    so at infinite time nngp is the posterior with noise, as of `gp_inference`.

    Args:
      kernel_fn: a program, or a function of (x1, x2, get, **keywords) whose value is a kernel, or an object with
        attributes `nngp` and `ntk`.
      x_train: inputs (n, ...).
      y_train: targets (n, ..., outputs).
      learning_rate, diag_reg, diag_reg_absolute_scale, trace_axes, solve_dtype: see `gradient_descent_mse`.
      kernel_fn_train_train_kwargs: keywords of kernel_fn. Pairs are for the first and the second input.

    Returns:
      A function of (t, x_test, get, compute_cov, **keywords for the test inputs).

    Raises:
      InputError: shapes do not fit, or entries are not finite.
    """
    y = checked("y_train", y_train)
    layout = Layout.of(y, trace_axes)
    regularisation = diag_reg, diag_reg_absolute_scale
    data = _Data(kernel_function(kernel_fn), x_train, kernel_fn_train_train_kwargs)
    return Ensemble(data, y, learning_rate, regularisation, layout, solve_dtype)


class _Data:
    """Kernels of the training inputs, computed when they are first asked for, and of test inputs."""

    def __init__(self, kernel_fn: KernelFn, x_train: Any, keywords: Mapping[str, Any]) -> None:
        self._kernel_fn, self._x_train, self._keywords = kernel_fn, x_train, dict(keywords)
        self._train: dict[str, Any] = {}

    def train(self, names: tuple[str, ...]) -> Mapping[str, Any]:
        """Kernels (n, n) of the training inputs."""
        missing = tuple(name for name in dict.fromkeys(names) if name not in self._train)
        if not missing:
            return self._train
        # Kernels of known inputs are computed now, also inside a transformation, of which nothing is to be kept.
        now = nullcontext() if is_traced(self._x_train) else jax.ensure_compile_time_eval()
        with now:
            found = self._computed("k_train_train", missing, self._x_train, None, self._keywords)
        self._train |= {name: kernel for name, kernel in found.items() if not is_traced(kernel)}
        return self._train | found

    def cross(self, names: tuple[str, ...], x_test: Any, keywords: Mapping[str, Any]) -> Mapping[str, Any]:
        """Kernels (m, n) of test with training inputs."""
        merged = test_train_keywords(keywords, self._keywords)
        return self._computed("k_test_train", names, x_test, self._x_train, merged)

    def prior(self, x_test: Any, keywords: Mapping[str, Any]) -> Any:
        """NNGP (m, m) of the test inputs."""
        return self._computed("k_test_test", ("nngp",), x_test, None, self._keywords | dict(keywords))["nngp"]

    def _computed(
        self, role: str, names: tuple[str, ...], x1: Any, x2: Any, keywords: Mapping[str, Any]
    ) -> dict[str, Any]:
        get = names[0] if len(names) == 1 else names
        kernels = self._kernel_fn(x1, x2, get, **keywords)
        return {name: checked(role, component(kernels, name, role)) for name in names}


class Ensemble:
    """Predictions of `gradient_descent_mse_ensemble`. Kernels and what is factorised are kept between calls."""

    def __init__(
        self,
        data: _Data,
        y_train: Any,
        learning_rate: float,
        regularisation: tuple[float, bool],
        layout: Layout,
        requested: SolveDType | None,
    ) -> None:
        self._data, self._y, self._learning_rate = data, y_train, learning_rate
        self._regularisation, self._layout, self._requested = regularisation, layout, requested
        self._systems: dict[str, System] = {}

    def __call__(
        self, t: Any = None, x_test: Any = None, get: Get = None, compute_cov: bool = False, **keywords: Any
    ) -> Any:
        """Mean, and covariance if `compute_cov`, of outputs at times t.

        Args:
          t: a number or array of numbers; None is infinity, by a linear solve: see `gradient_descent_mse`.
          x_test: inputs (m, ...). None is for the training inputs without regularisation.
          get: nngp or ntk, in any case, or a tuple of them; None is both.
          compute_cov: return `Gaussian(mean, covariance)`.
          keywords: of kernel_fn, for the test inputs.

        Returns:
          Means (*t.shape, m, ..., outputs), covariances (*t.shape, m, m, ...) without trace_axes; for a tuple or
          None a named tuple of them.

        Raises:
          InputError: as `gradient_descent_mse`, or the kernel function lacks a kernel.
        """
        return answered(get, BOTH, lambda regime: self._predicted(t, x_test, regime, compute_cov, keywords))

    @of_any_ranks
    def _predicted(self, t: Any, x_test: Any, regime: Regime, compute_cov: bool, keywords: Mapping[str, Any]) -> Any:
        if x_test is None:
            return self._on_training_set(t, regime, compute_cov)
        names: tuple[str, ...] = ("nngp", "ntk") if compute_cov and regime == "ntk" else (regime,)
        train, cross = self._data.train(names), self._data.cross(names, x_test, keywords)
        prior = self._data.prior(x_test, keywords) if compute_cov else None
        self._layout.check("k_test_train", cross[regime])
        system = self._system(regime)
        known = (*train.values(), *cross.values(), prior, self._y, t, self._learning_rate, system.diag_reg)
        arithmetic = Arithmetic.of(train[regime], self._requested, *known)
        matrices = {name: self._layout.matrix(arithmetic.array(kernel)) for name, kernel in cross.items()}
        mean, weights = self._mean_and_weights(t, regime, matrices[regime], compute_cov, arithmetic)
        shape = self._layout.test_shape(cross[regime])
        mean = arithmetic.finished(self._layout.outputs(over_time(t, mean), shape))
        if prior is None:
            return mean
        nngp: tuple[Any, ...] = ()
        if regime == "ntk":
            nngp = self._layout.matrix(arithmetic.array(train["nngp"])), matrices["nngp"]
        covariance = self._layout.matrix(arithmetic.array(prior)) + change_of_covariance(
            weights, matrices[regime], *nngp
        )
        return Gaussian(mean, arithmetic.finished(self._layout.kernel(over_time(t, covariance), shape, shape)))

    def _mean_and_weights(self, t: Any, regime: Regime, cross: Any, compute_cov: bool, arithmetic: Arithmetic) -> Any:
        """W y, and the weights of `change_of_covariance`; with an axis of times in front."""
        y, system = self._layout.columns(arithmetic.array(self._y)), self._system(regime)
        if t is None:
            mean = (cross @ system.solve(y, arithmetic, cross))[None]
            return mean, system.solve(cross.T, arithmetic).T[None] if compute_cov else None
        spectrum = system.spectrum(arithmetic)
        s = durations(t, self._learning_rate, self._layout.size, arithmetic)
        rotated = cross @ spectrum.vectors
        mean = rotated @ (moved(spectrum, s, arithmetic.numpy)[..., None] * (spectrum.vectors.T @ y))
        if not compute_cov:
            return mean, None
        # Of one kernel, W K W' - W K - K W' is W at twice the time: (1 - e)^2 - 2 (1 - e) = e^2 - 1.
        share = moved(spectrum, 2 * s if regime == "nngp" else s, arithmetic.numpy)
        return mean, (rotated * share[:, None, :]) @ spectrum.vectors.T

    def _on_training_set(self, t: Any, regime: Regime, compute_cov: bool) -> Any:
        kernels = self._data.train(tuple(dict.fromkeys((regime, "nngp"))) if compute_cov else (regime,))
        known = (*kernels.values(), self._y, t, self._learning_rate, self._system(regime).diag_reg)
        arithmetic = Arithmetic.of(kernels[regime], self._requested, *known)
        shape, y = self._layout.shape, self._layout.columns(arithmetic.array(self._y))
        if t is None:
            mean, covariance = y[None], 0 * self._layout.matrix(arithmetic.array(kernels[regime]))[None]
        else:
            spectrum = self._system(regime).spectrum(arithmetic)
            s = durations(t, self._learning_rate, self._layout.size, arithmetic)
            shares = learned(spectrum, s, arithmetic.numpy)
            mean = spectrum.vectors @ (shares[..., None] * (spectrum.vectors.T @ y))
            covariance = None
            if compute_cov:
                decay = _function(spectrum, remaining(spectrum, s, arithmetic.numpy))
                covariance = decay @ self._layout.matrix(arithmetic.array(kernels["nngp"])) @ decay
        mean = arithmetic.finished(self._layout.outputs(over_time(t, mean), shape))
        if not compute_cov:
            return mean
        return Gaussian(mean, arithmetic.finished(self._layout.kernel(over_time(t, covariance), shape, shape)))

    def _system(self, regime: Regime) -> System:
        if regime in self._systems:
            return self._systems[regime]
        kernel = self._data.train((regime,))[regime]
        self._layout.check("k_train_train", kernel, square=True)
        system = System(self._layout.matrix(kernel), *self._regularisation, self._requested)
        if not system.traced:
            self._systems[regime] = system
        return system


def _function(spectrum: Spectrum, values: Any) -> Any:
    """V diag(values) V' for values (times, n)."""
    return (spectrum.vectors * values[:, None, :]) @ spectrum.vectors.T
