"""The log marginal likelihood of targets under a Gaussian process, and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntc.predict.arithmetic import Arithmetic, SolveDType, checked, of_any_ranks
from ntc.predict.kernels import single
from ntc.predict.layout import Axes, Layout
from ntc.predict.system import System


@of_any_ranks
def log_marginal_likelihood(
    k_train_train: Any,
    y_train: Any,
    diag_reg: Any = 0.0,
    diag_reg_absolute_scale: bool = False,
    trace_axes: Axes = (-1,),
    *,
    solve_dtype: SolveDType | None = None,
) -> Any:
    """log p(y | X), in nats, of all targets together.

    With A = K(X, X) + r I, n rows, and summed over the c columns of y (Rasmussen and Williams 2006, eq. 2.30)

        -1/2 sum_c y_c' A^-1 y_c - c/2 log det A - c n/2 log 2 pi.

    Args: as of `gradient_descent_mse`, but of an object with both kernels the NNGP is taken. Inside `jax.grad` it is
      differentiable with respect to all arrays and diag_reg, in the kernel's precision;
      `log_marginal_likelihood_and_gradient` solves in float64.

    Returns:
      A number, or a scalar array if something is traced.

    Raises:
      InputError: shapes do not fit, or A is not positive definite (traced: the value is NaN).
    """
    (kernel, _), y = single(k_train_train, "nngp", "k_train_train"), checked("y_train", y_train)
    layout = Layout.of(y, trace_axes)
    layout.check("k_train_train", kernel, square=True)
    system = System(layout.matrix(kernel), diag_reg, diag_reg_absolute_scale, solve_dtype)
    arithmetic = Arithmetic.of(kernel, solve_dtype, y, diag_reg)
    columns = layout.columns(arithmetic.array(y))
    value = _likelihood(columns, system.solve(columns, arithmetic), system.log_determinant(arithmetic))
    return value if arithmetic.numpy is jnp else float(value)


def _likelihood(y: Any, solved: Any, log_determinant: Any) -> Any:
    rows, columns = y.shape
    return -0.5 * ((y * solved).sum() + columns * (log_determinant + rows * np.log(2 * np.pi)))


class Evidence(NamedTuple):
    """A log marginal likelihood and its derivatives.

    Attributes:
      value: in nats.
      gradient: with respect to the parameters, of their structure.
      diag_reg: derivative with respect to diag_reg, of its shape.
      scale: what kernel and noise were multiplied by, one unless it was to be fitted.
    """

    value: float
    gradient: Any
    diag_reg: Any
    scale: float = 1.0


def log_marginal_likelihood_and_gradient(
    kernel_of: Callable[[Any], Any],
    parameters: Any,
    y_train: Any,
    diag_reg: Any = 0.0,
    diag_reg_absolute_scale: bool = False,
    trace_axes: Axes = (-1,),
    *,
    fit_scale: bool = False,
) -> Evidence:
    """The log marginal likelihood and its gradient with respect to the parameters of a kernel.

    With B = A^-1 y, the derivative with respect to the entries of A is (B B' - c A^-1) / 2 (Rasmussen and Williams
    2006, eq. 5.9), computed by LAPACK in float64 whatever the kernel's precision; `kernel_of` is differentiated by JAX.

    Args:
      kernel_of: function of the parameters with the training kernel as value, which JAX can differentiate. It is called
        with `jax_enable_x64`, so that it may call a float64 program.
      parameters: arrays or numbers in any nesting of tuples, lists and dicts.
      y_train, diag_reg, diag_reg_absolute_scale, trace_axes: see `gradient_descent_mse`.
      fit_scale: A is multiplied by the number of largest likelihood, sum_c y_c' A^-1 y_c / (c n).

    Raises:
      InputError: shapes do not fit, or A is not positive definite, with the regularisation that would do.
    """
    y = checked("y_train", y_train)
    layout = Layout.of(y, trace_axes)
    with jax.enable_x64(True):  # which also a float64 program needs where it is differentiated
        kernel, pull_back = jax.vjp(kernel_of, parameters)
    matrix = checked("k_train_train", kernel)
    layout.check("k_train_train", matrix, square=True)
    system = System(layout.matrix(matrix), diag_reg, diag_reg_absolute_scale)
    arithmetic = Arithmetic.of(matrix, None, y)
    columns = layout.columns(arithmetic.array(y))
    solved = system.solve(columns, arithmetic)
    least = np.finfo(np.float64).tiny
    size = max(float((columns * solved).sum()) / columns.size, least) if fit_scale else 1.0
    value = _likelihood(columns, solved / size, system.log_determinant(arithmetic) + len(columns) * np.log(size))
    slope = 0.5 * (solved @ solved.T / size - columns.shape[1] * system.inverse())
    by_noise, rows = np.diagonal(slope).copy(), len(slope)
    scale = 1.0 if diag_reg_absolute_scale else float(np.mean(np.diagonal(layout.matrix(matrix))))
    if not diag_reg_absolute_scale:  # what is added to the diagonal grows with the kernel
        slope.flat[:: rows + 1] += float(np.sum(diag_reg * by_noise)) / rows
    cotangent = layout.kernel(slope, layout.shape, layout.shape)
    with jax.enable_x64(True):
        (gradient,) = pull_back(jnp.asarray(cotangent, kernel.dtype))
    by_diag_reg = by_noise * scale if np.ndim(diag_reg) else float(by_noise.sum()) * scale
    return Evidence(float(value), gradient, by_diag_reg, size)
