"""The kernel matrix of the training data, regularised, factorised once, and diagnosed where that cannot work."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import jax.scipy.linalg as jax_linalg
import numpy as np
import scipy.linalg

from ntc.backends.jax.concrete import is_traced
from ntc.errors import InputError
from ntc.predict import cholesky
from ntc.predict.arithmetic import Arithmetic, SolveDType, kernel_dtype, solve_dtype
from ntc.predict.least_norm import LeastNorm, Spectrum

ITERATIONS = 12
"""Of Lanczos for the least eigenvalue: two triangular solves each."""

SHARE = 1 / 32
"""Of the regularisation, that the rounding of a kernel may have without a word. Of 200 float32 kernels of relu networks
between 60 points of one dimension, with regularisations from 1e-2 to 1e-7, predictions off by more than a twentieth of
the targets had more, with one exception, and all those off by less than 0.007 had less."""


class RoundingWarning(UserWarning):
    """Rounding of a kernel matrix matters: eigenvalues that are negative by it, and taken as zero; a regularisation
    that is hardly larger than it."""


class System:
    """A training kernel K (n, n) plus diag_reg on its diagonal. What is factorised is kept, unless it is traced.

    A known matrix is factorised by LAPACK in `solve_dtype`, even inside `jax.jit`, and errors are raised. A traced one
    is factorised by JAX in its own precision at every call, and nothing can be raised: where it is not positive
    definite, solutions are NaN.

    Args:
      kernel: (n, n), symmetric.
      diag_reg: not negative; relative to the mean of the diagonal, unless absolute. A number, or one per example (n,).

    Attributes:
      traced: whether the kernel or diag_reg is, so that what is computed belongs to a transformation.
    """

    def __init__(
        self, kernel: Any, diag_reg: Any = 0.0, absolute: bool = False, requested: SolveDType | None = None
    ) -> None:
        check_diag_reg(diag_reg, len(kernel))
        self._kernel, self.diag_reg, self._absolute = kernel, diag_reg, absolute
        self._least = None if is_traced(diag_reg) else float(np.min(diag_reg))
        self.traced = is_traced(kernel) or is_traced(diag_reg)
        self._dtype = kernel_dtype(kernel) if self.traced else solve_dtype(requested)
        self._precision = np.finfo(kernel_dtype(kernel)).eps
        self._known: dict[str, Any] = {}
        if not self.traced:
            self._check_symmetry()

    def solve(self, right: Any, arithmetic: Arithmetic, rows: Any = None) -> Any:
        """(K + r I)^-1 right for right of shape (n, m).

        Without regularisation, of a known matrix that is not positive definite, it is the solution of least norm, with
        a `RoundingWarning`, where `LeastNorm` finds that determined for right, and for the test kernels `rows`
        (tests, n) that the solution is to be multiplied with. Raises InputError with a diagnosis.
        """
        if self.traced:
            return jax_linalg.cho_solve((jnp.linalg.cholesky(self._regularised()), True), right)
        if arithmetic.numpy is jnp:
            factor = jnp.asarray(self.factor, arithmetic.dtype)
            return jax_linalg.cho_solve((factor, True), right)
        least_norm = self._least_norm
        if least_norm is None:
            return scipy.linalg.cho_solve((self.factor, True), right, check_finite=False)
        if rows is not None:
            least_norm.whitened(rows.T)
        found = least_norm.solve(right)
        self._say(least_norm)
        return found

    def whitened(self, right: Any) -> Any:
        """W right with W' W = (K + r I)^-1, for a known matrix and right of shape (n, m): half of `solve`."""
        least_norm = self._least_norm
        if least_norm is not None:
            found = least_norm.whitened(right)
            self._say(least_norm)
            return found
        return scipy.linalg.solve_triangular(self.factor, right, lower=True, check_finite=False)

    @property
    def _least_norm(self) -> LeastNorm | None:
        """What solves a singular matrix without regularisation; None if the matrix has a factor."""
        if "least norm" not in self._known:
            self._known["least norm"] = self._singular()
        found: LeastNorm | None = self._known["least norm"]
        return found

    def _singular(self) -> LeastNorm | None:
        try:
            self.factor  # noqa: B018
        except InputError as diagnosis:
            if self._least:
                raise
            found = LeastNorm.of(self._eigenvalues(), float(self._precision), diagnosis)
            if not found.rank:
                raise
            return found
        return None

    def _say(self, least_norm: LeastNorm) -> None:
        """Once, that eigenvalues are left out."""
        if "said" not in self._known:
            self._known["said"] = True
            message = (
                f"{len(self._kernel) - least_norm.rank} of {len(self._kernel)} eigenvalues of the kernel matrix are "
                "zero within rounding, and left out: predictions are those of least norm"
            )
            warnings.warn(message, RoundingWarning, stacklevel=2)

    def inverse(self) -> Any:
        """(K + r I)^-1 of a known matrix, symmetric to the last bit."""
        (potri,) = scipy.linalg.get_lapack_funcs(("potri",), (self.factor,))
        found, _ = potri(self.factor, lower=True)
        lower = np.tril(found)
        return lower + np.tril(found, -1).T

    def log_determinant(self, arithmetic: Arithmetic) -> Any:
        """log det (K + r I)."""
        if self.traced:
            return 2 * jnp.sum(jnp.log(jnp.diagonal(jnp.linalg.cholesky(self._regularised()))))
        return arithmetic.array(2 * np.sum(np.log(np.diagonal(self.factor))))

    def spectrum(self, arithmetic: Arithmetic) -> Spectrum:
        """The eigendecomposition of K + r I. Raises InputError if an eigenvalue is negative beyond rounding."""
        if self.traced:
            values, vectors = jnp.linalg.eigh(self._regularised())
            return Spectrum(jnp.maximum(values, 0), vectors, self._null(abs(values[-1])))
        if "spectrum" not in self._known:
            self._known["spectrum"] = self._decomposed()
        found: Spectrum = self._known["spectrum"]
        array = arithmetic.array
        return Spectrum(array(found.values), array(found.vectors), array(found.null))

    @property
    def factor(self) -> Any:
        """The lower Cholesky factor of a known matrix; what is above its diagonal has no meaning."""
        if "factor" not in self._known:
            self._known["factor"] = self._factorised()
        return self._known["factor"]

    @property
    def noise(self) -> Any:
        """What is added to the diagonal: a number, or (n,)."""
        numpy: Any = jnp if self.traced else np
        scale = 1.0 if self._absolute else numpy.mean(numpy.diagonal(self._kernel), dtype=self._dtype)
        return numpy.asarray(self.diag_reg, self._dtype) * scale if numpy.ndim(self.diag_reg) else self.diag_reg * scale

    def _regularised(self) -> Any:
        """A new array, as it is overwritten by its factor."""
        numpy: Any = jnp if self.traced else np
        matrix = numpy.array(self._kernel, self._dtype)
        if self.traced:
            return matrix + self.noise * jnp.eye(len(matrix), dtype=self._dtype)
        matrix.flat[:: len(matrix) + 1] += self.noise
        return matrix

    def _check_symmetry(self) -> None:
        """Compares up to 256 rows with their columns: a matrix that was not meant for this is found, at little cost."""
        rows = np.unique(np.linspace(0, len(self._kernel) - 1, 256).astype(int))
        upper, lower = self._kernel[rows], self._kernel[:, rows].T
        if np.abs(upper - lower).max() > self._precision**0.5 * np.abs(upper).max():
            raise InputError("the kernel matrix is not symmetric", hint="give the kernel of the training inputs")

    def _factorised(self) -> Any:
        matrix = self._regularised()
        potrf, pocon, lange = scipy.linalg.get_lapack_funcs(("potrf", "pocon", "lange"), (matrix,))
        # Transposed, a symmetric matrix is the same, and in the order that LAPACK factorises in place.
        norm = lange("1", matrix.T)
        if len(matrix) < cholesky.LARGE:
            factor, failed = potrf(matrix.T, lower=True, overwrite_a=True, clean=False)
        else:
            factor, failed = matrix.T, cholesky.factorised(matrix.T)
        if failed:
            raise self._diagnosis()
        inverse_condition, _ = pocon(factor, norm, uplo="L")
        if inverse_condition < np.finfo(self._dtype).eps or (not self._least and self._has_rounded_pivot(factor)):
            raise self._diagnosis()
        if self._may_be_rounded(inverse_condition * norm):
            self._compare_rounding(_least_eigenvalue(factor))
        return factor

    def _has_rounded_pivot(self, factor: Any) -> bool:
        """Whether a pivot is what rounding leaves of zero, as of equal inputs (Higham 2002, section 10.3.2)."""
        least = len(factor) * np.finfo(self._dtype).eps * np.diagonal(self._kernel)
        return bool((np.diagonal(factor) ** 2 <= least).any())

    def _may_be_rounded(self, least: float) -> bool:
        """Whether the check below is worth its time. A correlation that is rounded moves an NTK by up to the root of
        the precision; `least` is a bound of eigenvalues from below."""
        noise = float(np.min(self.noise))
        rounding = float(self._precision) ** 0.5 * float(abs(np.diagonal(self._kernel)).max())
        return 0 < noise < rounding / SHARE and least < (1 - SHARE) * noise

    def _compare_rounding(self, least: float) -> None:
        """Warns where the kernel is less exact than its regularisation asks for.

        A kernel is positive semidefinite, so that no eigenvalue of K + r I is below r; by as much as one is, K is
        rounded: by more than `SHARE`, and predictions are in doubt.
        """
        noise = float(np.min(self.noise))
        missing = noise - least
        if noise and missing > SHARE * noise:
            assert self._least
            scale = 1.0 if self._absolute else noise / self._least
            warnings.warn(
                f"the kernel is less exact than diag_reg={self._least:g} asks: its least eigenvalue is "
                f"{-missing / noise:.1e} times what is added to the diagonal, and that of an exact kernel is not "
                "negative. Predictions may be wrong by a hundredth of the targets or more; use a kernel in float64, "
                f"or diag_reg of {_rounded_up(missing / SHARE / scale)} or more",
                RoundingWarning,
                stacklevel=2,
            )

    def _decomposed(self) -> Spectrum:
        """None negative; where some are, or the regularisation is hardly more than that, with a warning."""
        found = self._eigenvalues()
        values = found.values
        negative = int(np.sum(values < 0))
        if negative:
            message = (
                f"{negative} of {len(values)} eigenvalues of the kernel matrix are negative by rounding (the least is "
                f"{values[0] / values[-1]:.1e} of the largest), and taken as zero"
            )
            warnings.warn(message, RoundingWarning, stacklevel=2)
        self._compare_rounding(float(values[0]))
        return replace(found, values=np.maximum(values, 0))

    def _eigenvalues(self) -> Spectrum:
        """As they are. Raises InputError if one is negative beyond rounding."""
        values, vectors = scipy.linalg.eigh(self._regularised().T, overwrite_a=True, check_finite=False)
        null = self._null(np.abs(values).max())
        if values[0] < -null:
            raise self._diagnosis(values)
        return Spectrum(values, vectors, null)

    def _null(self, largest: Any) -> Any:
        """Size of the error of an eigenvalue: that of a matrix of independent rounding errors, some per entry, and that
        of the decomposition."""
        numpy: Any = jnp if self.traced else np
        entry = abs(numpy.diagonal(self._kernel)).max() * self._precision
        return 10 * len(self._kernel) ** 0.5 * (entry + np.finfo(self._dtype).eps * largest)

    def _diagnosis(self, values: Any = None) -> InputError:
        """What is wrong with the matrix, and the regularisation that would mend it."""
        if values is None:
            values = scipy.linalg.eigvalsh(self._regularised(), overwrite_a=True, check_finite=False)
        scale = 1.0 if self._absolute else float(np.mean(np.diagonal(self._kernel))) or 1.0
        least, largest = float(values[0]), float(values[-1])
        if not largest:
            return InputError("the kernel matrix is zero: a network without weights, or inputs of zeros?")
        condition = f"{largest / least:.1e}" if least > 0 else "infinite"
        own = self._least or 0.0
        enough = own + (max(0.0, -2 * least) + 10 * float(self._null(max(largest, -least)))) / scale
        relative = "" if self._absolute else " of the mean of its diagonal"
        return InputError(
            f"the kernel matrix is not positive definite with diag_reg={own:g}, up to rounding: its "
            f"least eigenvalue is {least / scale:.1e}{relative}, its condition number {condition} "
            "(equal or nearly equal training inputs?)",
            hint=f"use diag_reg of {_rounded_up(enough)} or more, or a kernel in float64",
        )


def check_diag_reg(diag_reg: Any, examples: int) -> None:
    """Raises InputError unless it is a number or one per example, of which none is known to be negative."""
    if isinstance(diag_reg, str):
        raise InputError(
            f"diag_reg should be a number here, got {diag_reg!r}",
            hint="ntc.predict.choose_diag_reg(kernel, y).diag_reg is what `auto` stands for",
        )
    if np.shape(diag_reg) not in ((), (examples,)):
        raise InputError(
            f"diag_reg should be a number, or one for each of {examples} inputs, got shape {np.shape(diag_reg)}"
        )
    if is_traced(diag_reg):
        return
    wrong = np.atleast_1d(np.asarray(diag_reg, np.float64))
    wrong = wrong[~((wrong >= 0) & (wrong < np.inf))]
    if len(wrong):
        raise InputError(f"diag_reg should not be negative, got {wrong[0]:g}")


def _least_eigenvalue(factor: Any) -> float:
    """A bound from above of the least eigenvalue of L L', near it where rounding made it stand out: the inverse of the
    largest eigenvalue of the inverse on a Krylov space, with complete orthogonalisation (Lanczos)."""
    count = min(ITERATIONS, len(factor))
    basis = np.zeros((count, len(factor)), factor.dtype)
    products = np.zeros_like(basis)
    vector = np.random.default_rng(0).standard_normal(len(factor))
    for step in range(count):
        for _ in range(2):
            vector = vector - basis.T @ (basis @ vector)
        basis[step] = vector / (np.linalg.norm(vector) or 1.0)
        products[step] = vector = scipy.linalg.cho_solve((factor, True), basis[step], check_finite=False)
    return 1 / float(scipy.linalg.eigvalsh(basis @ products.T)[-1])


def _rounded_up(x: float) -> str:
    """With one digit, not less."""
    exponent = np.floor(np.log10(x)) if x > 0 else 0
    return f"{np.ceil(x / 10**exponent) * 10**exponent:.0e}"
