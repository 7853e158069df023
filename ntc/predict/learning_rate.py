"""The largest learning rate with which gradient descent converges."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from ntc.backends.jax.concrete import is_traced
from ntc.errors import InputError
from ntc.predict.kernels import single
from ntc.predict.layout import Layout


def max_learning_rate(
    ntk_train_train: Any, y_train_size: int | None = None, momentum: float = 0.0, eps: float = 1e-12
) -> Any:
    """Largest learning rate at which gradient descent in discrete steps converges on the mean squared error.

    A step multiplies the residual by I - learning_rate NTK / |y|, so the rate is 2 |y| / v for v the largest
    eigenvalue of the NTK, and 2 (1 + m) |y| / v with momentum m (Goh 2017, The Dynamics of Momentum).

    Args:
      ntk_train_train: of the training inputs, (n, n) or with a pair of axes for every axis of the outputs; a number if
        all axes are traced.
      y_train_size: number of entries of y_train; default the number of rows of the NTK as a matrix.
      momentum: at least 0, less than 1.
      eps: added to the largest eigenvalue, so that a zero kernel gives a number.

    Returns:
      A number; an array if the kernel is traced.

    Raises:
      InputError: not a square kernel, not finite, or momentum out of range.
    """
    kernel, _ = single(ntk_train_train, "ntk", "k_train_train")
    if kernel.ndim % 2 or kernel.shape[::2] != kernel.shape[1::2]:
        raise InputError(f"ntk_train_train should have shape (n, n) or (n, n, a, a, ...), got {kernel.shape}")
    if not is_traced(momentum) and not 0 <= momentum < 1:
        raise InputError(f"momentum should be at least 0 and less than 1, got {momentum}")
    outputs = np.broadcast_to(np.float32(0), kernel.shape[::2] or (1,))
    matrix = Layout.of(outputs, ()).matrix(kernel) if kernel.ndim else kernel.reshape(1, 1)
    size = len(matrix) if y_train_size is None else y_train_size
    if is_traced(kernel):
        largest: Any = jnp.linalg.eigvalsh(matrix)[-1]
    else:
        largest = _largest(matrix.astype(np.float64))
    return 2 * (1 + momentum) * size / (largest + eps)


def _largest(matrix: Any) -> float:
    import scipy.linalg

    last = len(matrix) - 1
    return float(scipy.linalg.eigvalsh(matrix, subset_by_index=(last, last))[0])
