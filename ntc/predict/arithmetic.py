"""In which library and precision a prediction is computed.

Arrays that are known are computed with in NumPy and LAPACK, whatever transformation is around: in float64, unless told
otherwise. Arrays that stand for others inside `jax.jit`, `jax.grad` or `jax.vmap` are computed with in `jax.numpy`, in
the precision of the kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from ntc.backends.jax.concrete import is_traced
from ntc.backends.jax.precision import is_real, precision
from ntc.errors import InputError

Method = TypeVar("Method", bound=Callable[..., Any])
SolveDType = Literal["float32", "float64"]


def of_any_ranks(method: Method) -> Method:
    """The method in a context in which arrays of other ranks may meet, whatever callers ask of their own code."""

    @wraps(method)
    def allowed(*args: Any, **kwargs: Any) -> Any:
        with jax.numpy_rank_promotion("allow"):
            return method(*args, **kwargs)

    return cast("Method", allowed)


def checked(name: str, x: Any) -> Any:
    """The array x as it is if it is traced, else as a NumPy array. Raises InputError unless it holds finite reals."""
    if is_traced(x):
        return x
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise InputError(f"{name} is not an array: {error}") from None
    if not is_real(array.dtype):
        raise InputError(f"{name} should hold real numbers, got dtype {array.dtype}")
    if array.dtype.kind in "bu":
        array = array.astype(np.int64)  # whose differences are right
    if not np.isfinite(array).all():
        what = "the kernel matrix" if name.startswith("k_") else name
        raise InputError(f"{what} has entries that are not finite", hint="are all inputs finite?")
    return array


def kernel_dtype(kernel: Any) -> Any:
    """The dtype of predictions with a kernel: its own, float32 for half precision; of integers and truth values
    float64 where JAX has it enabled, else float32."""
    if not jnp.issubdtype(kernel.dtype, np.floating):
        return jax.dtypes.canonicalize_dtype(np.float64)
    return np.dtype(np.float64) if kernel.dtype == np.float64 else np.dtype(np.float32)


def solve_dtype(requested: SolveDType | None) -> Any:
    """float64 unless float32 is requested. Raises InputError for anything else."""
    if requested not in (None, "float32", "float64"):
        raise InputError(f"solve_dtype should be float32 or float64, got {requested!r}")
    return np.dtype(requested or "float64")


@dataclass(frozen=True)
class Arithmetic:
    """How to compute with some arrays.

    Attributes:
      numpy: the module, `numpy` or `jax.numpy`.
      dtype: of the computation.
      result: dtype of what is returned.
    """

    numpy: Any
    dtype: Any
    result: Any

    @classmethod
    def of(cls, kernel: Any, requested: SolveDType | None, *arrays: Any) -> Arithmetic:
        """For a prediction that reads the kernel and the arrays."""
        wanted, result = solve_dtype(requested), kernel_dtype(kernel)
        if any(map(is_traced, (kernel, *arrays))):
            available = jax.dtypes.canonicalize_dtype(result)
            return cls(jnp, available, available)
        return cls(np, wanted, result)

    def array(self, x: Any) -> Any:
        return self.numpy.asarray(x, self.dtype)

    def finished(self, x: Any) -> jax.Array:
        """As a JAX array of the result's dtype, which may be float64 without `jax_enable_x64`."""
        if self.numpy is jnp:
            return jnp.asarray(x, self.result)
        with precision("f64" if self.result == np.float64 else "f32"), jax.ensure_compile_time_eval():
            return jnp.asarray(x, self.result)
