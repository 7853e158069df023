"""What can be known of an empirical NTK without its matrix: trace, eigenvalues, features, each with its error.

The matrix is the whole one, Theta = J J^T between all entries of f(params, x) in the order of `ravel_pytree`, without
means over axes. Everything costs a few evaluations of f for each sample or step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.flatten_util import ravel_pytree

from ntc.errors import ParameterError
from ntc.finite.ntk import Function

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number, and the standard error of its estimate."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class Eigenvalues:
    """Ritz values, largest first: within `bounds[i]` of `values[i]` there is an eigenvalue (Parlett 1998, 4.5.1)."""

    values: Array
    bounds: Array


@dataclass(frozen=True)
class Sketch:
    """Random features of the NTK.

    Attributes:
      features: (outputs, features); features @ features.T is an unbiased estimate of the NTK.
    """

    features: jax.Array

    def kernel(self) -> jax.Array:
        """The estimate, (outputs, outputs)."""
        return self.features @ self.features.T

    def standard_error(self) -> jax.Array:
        """Of every entry: sqrt((T_ii T_jj + T_ij^2) / features), which is Isserlis' theorem, at the estimated T."""
        kernel = self.kernel()
        diagonal = jnp.diag(kernel)
        return jnp.sqrt((jnp.outer(diagonal, diagonal) + kernel**2) / self.features.shape[1])


def ntk_trace(f: Function, x: Any, params: Any, key: jax.Array, samples: int = 32, **keywords: Any) -> Estimate:
    """The trace of the NTK by random signs v: the mean of |J^T v|^2 (Hutchinson 1989).

    One vector-Jacobian product for each sample. Raises ParameterError for fewer than two samples.
    """
    if samples < 2:
        raise ParameterError(f"a standard error needs two samples, got {samples}")
    y, back = jax.vjp(lambda p: ravel_pytree(f(p, x, **keywords))[0], params)

    def square(key: jax.Array) -> jax.Array:
        (gradient,) = back(jax.random.rademacher(key, y.shape, y.dtype))
        return sum((jnp.sum(g**2) for g in jax.tree.leaves(gradient)), jnp.zeros((), y.dtype))

    found = np.asarray(jax.lax.map(square, jax.random.split(key, samples)), np.float64)
    return Estimate(float(found.mean()), float(found.std(ddof=1) / np.sqrt(samples)))


def ntk_eigenvalues(f: Function, x: Any, params: Any, key: jax.Array, steps: int = 20, **keywords: Any) -> Eigenvalues:
    """Eigenvalues of the NTK at both ends of its spectrum, by the Lanczos method with full reorthogonalisation.

    One NTK-vector product for each step; there are at most as many steps as outputs. Products have the precision of f,
    the rest is float64. Multiple eigenvalues are found once. Raises ParameterError for less than one step.
    """
    if steps < 1:
        raise ParameterError(f"steps should be positive, got {steps}")
    product, start = _product(f, x, params, key, keywords)
    basis = [start / np.linalg.norm(start)]
    diagonal: list[float] = []
    off: list[float] = []
    for _ in range(min(steps, len(start))):
        w = product(basis[-1])
        diagonal.append(float(basis[-1] @ w))
        directions = np.stack(basis)
        for _ in range(2):  # once is not enough where w nearly vanishes (Parlett 1998, section 6.9)
            w = w - directions.T @ (directions @ w)
        off.append(float(np.linalg.norm(w)))
        if off[-1] <= 1e-12 * max(map(abs, diagonal)):
            break
        basis.append(w / off[-1])
    size = len(diagonal)
    matrix = np.diag(diagonal) + np.diag(off[: size - 1], 1) + np.diag(off[: size - 1], -1)
    values, vectors = np.linalg.eigh(matrix)
    return Eigenvalues(values[::-1], np.abs(off[-1] * vectors[-1])[::-1])


def ntk_sketch(f: Function, x: Any, params: Any, key: jax.Array, features: int, **keywords: Any) -> Sketch:
    """Random features J r / sqrt(features), r Gaussian: one Jacobian-vector product for each.

    Raises ParameterError for less than one feature.
    """
    if features < 1:
        raise ParameterError(f"features should be positive, got {features}")
    flat, unravel = ravel_pytree(params)

    def feature(key: jax.Array) -> jax.Array:
        direction = jax.random.normal(key, flat.shape, flat.dtype)
        outputs = jax.jvp(lambda p: ravel_pytree(f(unravel(p), x, **keywords))[0], (flat,), (direction,))
        found: jax.Array = outputs[1]
        return found

    columns = jax.lax.map(feature, jax.random.split(key, features))
    return Sketch(columns.T / jnp.sqrt(features))


def _product(
    f: Function, x: Any, params: Any, key: jax.Array, keywords: dict[str, Any]
) -> tuple[Callable[[Array], Array], Array]:
    """v -> J J^T v on float64 vectors, and a random vector to begin with."""

    def outputs(p: Any) -> jax.Array:
        found: jax.Array = ravel_pytree(f(p, x, **keywords))[0]
        return found

    y, back = jax.vjp(outputs, params)
    compiled = jax.jit(lambda v: jax.jvp(outputs, (params,), back(v))[1])
    start = np.asarray(jax.random.normal(key, y.shape, y.dtype), np.float64)
    return lambda v: np.asarray(compiled(jnp.asarray(v, y.dtype)), np.float64), start
