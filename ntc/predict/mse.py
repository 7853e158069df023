"""Training by gradient descent on the mean squared error, in closed form."""

from __future__ import annotations

from typing import Any

import jax

from ntc.errors import InputError
from ntc.predict.arithmetic import Arithmetic, SolveDType, checked, of_any_ranks
from ntc.predict.filters import durations, initial, learned, moved, over_time
from ntc.predict.kernels import alike, single
from ntc.predict.layout import Axes, Layout
from ntc.predict.system import System


def gradient_descent_mse(
    k_train_train: Any,
    y_train: Any,
    learning_rate: float = 1.0,
    diag_reg: Any = 0.0,
    diag_reg_absolute_scale: bool = False,
    trace_axes: Axes = (-1,),
    *,
    solve_dtype: SolveDType | None = None,
) -> MeanSquaredErrorDynamics:
    """Outputs at any time of gradient flow on the mean squared error, with a kernel that stays as it is.

    The loss is the mean over all |y| entries of (f - y)^2 / 2, so with K the kernel, X the training and x the test
    inputs, and s = learning_rate * t / |y| (Lee et al. 2019, eq. 8 to 11),

        f_t(X) = f_0(X) + (I - exp(-s K)) (y - f_0(X)),
        f_t(x) = f_0(x) + K(x, X) K^-1 (I - exp(-s K)) (y - f_0(X)).

    Args:
      k_train_train: NTK (or NNGP) of the training inputs with a pair of axes for every axis of y_train but those in
        trace_axes: (n, n) for y_train of (n, outputs), (n, n, a, a') for (n, a, outputs). Of an object with
        attributes `nngp` and `ntk` the NTK, or the NNGP if it has no NTK; so also k_test_train.
      y_train: (n, ..., outputs).
      learning_rate: in whose units time is.
      diag_reg: added to the diagonal of the kernel, relative to its mean; a number, or of every row of the kernel its
        own (n,): noise that differs among examples.
      diag_reg_absolute_scale: diag_reg is to be added as it is.
      trace_axes: axes of y_train along which the kernel is constant diagonal, and which it lacks.
      solve_dtype: float64 (the default) or float32, if kernel and targets are known arrays. If the kernel is traced
        by a JAX transformation, all is computed in its own precision, and a matrix that is not positive definite
        gives NaN instead of an error. Derivatives with respect to the kernel at finite times are those of
        `jnp.linalg.eigh`, which exist where eigenvalues are distinct.

    Returns:
      A function of (t, fx_train_0, fx_test_0, k_test_train).

    Raises:
      InputError: shapes do not fit, or entries are not finite.
    """
    kernel, name = single(k_train_train, "ntk", "k_train_train")
    return MeanSquaredErrorDynamics(
        kernel,
        name,
        checked("y_train", y_train),
        learning_rate,
        (diag_reg, diag_reg_absolute_scale),
        trace_axes,
        solve_dtype,
    )


class MeanSquaredErrorDynamics:
    """Predictions of `gradient_descent_mse`. The kernel is factorised at the first call that needs it."""

    def __init__(
        self,
        kernel: Any,
        name: str | None,
        y_train: Any,
        learning_rate: float,
        regularisation: tuple[float, bool],
        trace_axes: Axes,
        requested: SolveDType | None,
    ) -> None:
        self._layout = Layout.of(y_train, trace_axes)
        self._layout.check("k_train_train", kernel, square=True)
        self._kernel, self._name, self._y = kernel, name, y_train
        self._learning_rate, self._requested = learning_rate, requested
        self._system = System(self._layout.matrix(kernel), *regularisation, requested)

    @of_any_ranks
    def __call__(
        self, t: Any = None, fx_train_0: Any = 0.0, fx_test_0: Any = None, k_test_train: Any = None
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Outputs on the training and the test set at times t.

        Args:
          t: a number or array of numbers, of steps of gradient descent. None is infinity, by a Cholesky factorisation
            and not by eigenvalues: faster, but an error for a singular kernel, for which `jnp.inf` gives the limit.
          fx_train_0: outputs on the training set at time 0, or one number for all; None for no such outputs.
          fx_test_0: the same for the test set.
          k_test_train: kernel between test and training inputs, which outputs on the test set need.

        Returns:
          f_t(X), f_t(x) or the pair, of shape (*t.shape, *outputs), in the precision of the kernel.

        Raises:
          InputError: shapes do not fit, nothing is asked for, or the kernel is not positive semidefinite (with its
            least eigenvalue, condition number, and the regularisation that would do).
        """
        if fx_train_0 is None and fx_test_0 is None:
            raise InputError("one of fx_train_0 and fx_test_0 should be given, else there is nothing to predict")
        if fx_test_0 is not None and k_test_train is None:
            raise InputError("outputs on the test set need k_test_train")
        k_test = None if fx_test_0 is None else alike(k_test_train, self._name, "k_test_train")
        traced = (self._y, t, fx_train_0, fx_test_0, k_test, self._learning_rate, self._system.diag_reg)
        arithmetic = Arithmetic.of(self._kernel, self._requested, *traced)
        y = arithmetic.array(self._y)
        f = initial("fx_train_0", 0.0 if fx_train_0 is None else fx_train_0, self._layout.shape, arithmetic)
        residual = self._layout.columns(y - f)
        found: list[Any] = []
        if fx_train_0 is not None:
            change = self._layout.outputs(self._train_change(t, residual, arithmetic), y.shape)
            found.append(f + change)
        if k_test is not None:
            self._layout.check("k_test_train", k_test)
            shape = self._layout.test_shape(k_test)
            change = self._test_change(t, residual, self._layout.matrix(arithmetic.array(k_test)), arithmetic)
            f_test = initial("fx_test_0", fx_test_0, shape, arithmetic)
            found.append(f_test + self._layout.outputs(change, shape))
        done = [arithmetic.finished(value) for value in found]
        return done[0] if len(done) == 1 else (done[0], done[1])

    def _train_change(self, t: Any, residual: Any, arithmetic: Arithmetic) -> Any:
        if t is None:
            return residual
        spectrum = self._system.spectrum(arithmetic)
        shares = learned(spectrum, self._durations(t, arithmetic), arithmetic.numpy)
        return over_time(t, spectrum.vectors @ (shares[..., None] * (spectrum.vectors.T @ residual)))

    def _test_change(self, t: Any, residual: Any, k_test: Any, arithmetic: Arithmetic) -> Any:
        if t is None:
            return k_test @ self._system.solve(residual, arithmetic, k_test)
        spectrum = self._system.spectrum(arithmetic)
        weights = moved(spectrum, self._durations(t, arithmetic), arithmetic.numpy)
        return over_time(t, (k_test @ spectrum.vectors) @ (weights[..., None] * (spectrum.vectors.T @ residual)))

    def _durations(self, t: Any, arithmetic: Arithmetic) -> Any:
        return durations(t, self._learning_rate, self._layout.size, arithmetic)
