"""The regularisation, chosen from one eigendecomposition: by the evidence, or by how well examples are left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import scipy.linalg

from ntc.errors import InputError
from ntc.predict.arithmetic import checked, kernel_dtype
from ntc.predict.kernels import single
from ntc.predict.system import SHARE
from ntc.predict.targets import targets

Array = npt.NDArray[np.float64]
Criterion = Literal["evidence", "leave_one_out"]

CRITERIA: dict[str, Criterion] = {"nngp": "evidence", "ntk": "leave_one_out"}

CANDIDATES: Array = 10.0 ** (np.arange(-48, 17) / 8)
"""From 1e-6 to 100, eight per decade: between two neighbours neither criterion changes by what matters."""

ROWS = 1000
"""Of more examples, as many are drawn: what is noise does not depend on how many there are, and the decomposition
takes the third power of their number."""


@dataclass(frozen=True)
class ChosenDiagReg:
    """A regularisation that was chosen.

    Attributes:
      diag_reg: relative to the mean of the diagonal of the kernel: a number, or with weights one per example (n,).
      scale: what the kernel, and so every variance, is to be multiplied by for the largest evidence; predicted means
        are the same for any. Noise then has the variance scale * diag_reg * the mean of the diagonal.
      value: the criterion per target: the log marginal likelihood at that scale, in nats, or minus the mean squared
        error of what is left out.
    """

    diag_reg: Any
    scale: float
    value: float


def choose_diag_reg(
    k_train_train: Any,
    y_train: npt.ArrayLike,
    *,
    criterion: Criterion = "evidence",
    weights: npt.ArrayLike | None = None,
) -> ChosenDiagReg:
    """The diag_reg of `CANDIDATES` that explains the targets best.

    With the eigenvalues l_i of K, r the regularisation, s the scale of the kernel and z = V' y in its eigenvectors, of
    n examples and c outputs (Rasmussen and Williams 2006, eq. 2.30 at the best s, and eq. 5.12)

        evidence:      -(log s + sum_i log(l_i + r) / n + 1 + log 2 pi) / 2,  s = sum_i |z_i|^2 / (l_i + r) / (n c)
        leave_one_out: -sum_i |(A^-1 y)_i / (A^-1)_ii|^2 / (n c),  A = K + r I.

    An example of weight w counts as w equal examples, so its noise is r / w; what is left out is all of it. Of more
    than `ROWS` examples as many are drawn at random. What rounding of the kernel does not allow is no candidate.

    Args:
      k_train_train: (n, n); of an object with attributes `nngp` and `ntk` the NNGP, if it has one.
      y_train: (n, outputs) or (n,), with the mean that the process has: zero.
      criterion: evidence is for kernels that are covariances of the targets.
      weights: (n,), positive.

    Raises:
      InputError: shapes do not fit, weights are not positive, or an entry is not finite.
    """
    if criterion not in get_args(Criterion):
        raise InputError(f"criterion should be one of {', '.join(get_args(Criterion))}, got {criterion!r}")
    kernel, _ = single(k_train_train, "nngp", "k_train_train")
    kernel = checked("k_train_train", kernel)
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1]:
        raise InputError(f"the kernel should be a matrix (n, n) of the training inputs, got shape {kernel.shape}")
    y = targets(y_train, len(kernel))
    heavy = _checked_weights(weights, len(y))
    rows = drawn(len(y))
    part = _Decomposed.of(np.asarray(kernel[np.ix_(rows, rows)]), y[rows], heavy[rows])
    candidates = CANDIDATES[part.floor <= CANDIDATES]
    candidates = candidates if len(candidates) else np.array([part.floor])
    values = part.evidence(candidates) if criterion == "evidence" else part.left_out(candidates)
    best = int(np.argmax(values))
    noise = float(candidates[best]) * part.mean
    own = noise / float(np.mean(np.diagonal(kernel), dtype=np.float64) or 1.0)
    return ChosenDiagReg(own if weights is None else own / heavy, part.scale(noise), float(values[best]))


def resolved(diag_reg: Any, training: Callable[[], tuple[Any, Any]], kernel: str) -> Any:
    """diag_reg, or in place of "auto" what is chosen for (kernel matrix, targets), which are asked for only then: by
    the evidence for the nngp, for the ntk by leaving out, as targets are no draw from a process of that covariance."""
    if not isinstance(diag_reg, str):
        return diag_reg
    if diag_reg != "auto":
        raise InputError(f'diag_reg should be a number or "auto", got {diag_reg!r}')
    return choose_diag_reg(*training(), criterion=CRITERIA[kernel]).diag_reg


def _checked_weights(weights: Any, examples: int) -> Array:
    found = np.ones(examples) if weights is None else np.asarray(weights, np.float64)
    if found.shape != (examples,) or not ((found > 0) & np.isfinite(found)).all():
        raise InputError(
            f"weights should be {examples} positive numbers, got an array of shape {found.shape}",
            hint="leave out examples of weight zero",
        )
    return found


def drawn(examples: int) -> npt.NDArray[np.int64]:
    """Which of so many examples the choice is made from."""
    if examples <= ROWS:
        return np.arange(examples)
    return np.sort(np.random.default_rng(0).choice(examples, ROWS, replace=False))


@dataclass(frozen=True)
class _Decomposed:
    """W^1/2 K W^1/2 and W^1/2 y, for weights W, in its eigenvectors.

    Attributes:
      values, vectors: (n,) and (n, n) of the eigenvectors.
      y: (n, outputs), in them.
      weights: (n,).
      mean: of the diagonal of K, over examples by weight.
      floor: the least candidate that rounding of K allows, relative to that.
    """

    values: Array
    vectors: Array
    y: Array
    weights: Array
    mean: float
    floor: float

    @classmethod
    def of(cls, kernel: npt.NDArray[Any], y: Array, weights: Array) -> _Decomposed:
        root, diagonal = np.sqrt(weights), np.diagonal(kernel).astype(np.float64)
        mean = float(np.average(diagonal, weights=weights)) or 1.0
        values, vectors = scipy.linalg.eigh(root[:, None] * kernel * root, overwrite_a=True, check_finite=False)
        precision = np.finfo(kernel_dtype(kernel)).eps
        entry = precision * diagonal.max() * weights.max()
        null = len(kernel) ** 0.5 * (entry + np.finfo(np.float64).eps * values[-1])
        floor = max(float(null), -float(values[0])) / SHARE / mean
        return cls(np.maximum(values, 0), vectors, vectors.T @ (root[:, None] * y), weights, mean, floor)

    @property
    def count(self) -> float:
        return float(self.weights.sum())

    def scale(self, noise: float) -> float:
        return float(np.sum(self.y**2 / (self.values + noise)[:, None]) / (self.count * self.y.shape[1]))

    def evidence(self, candidates: Array) -> Array:
        """Per target, each (candidates,)."""
        noise = candidates * self.mean
        scale = np.array([self.scale(one) for one in noise])
        determinant = np.log(self.values[:, None] + noise).sum(axis=0) + (self.count - len(self.y)) * np.log(noise)
        tiny = np.finfo(np.float64).tiny
        found: Array = -0.5 * (np.log(np.maximum(scale, tiny)) + determinant / self.count + 1 + np.log(2 * np.pi))
        return found

    def left_out(self, candidates: Array) -> Array:
        """Minus the mean squared error of examples that are left out, with all that they weigh."""
        inverse = 1 / (self.values[:, None] + candidates * self.mean)
        precisions = self.vectors**2 @ inverse
        solved = np.stack([self.vectors @ (column[:, None] * self.y) for column in inverse.T], axis=1)
        # Of W^-1/2 A^-1 W^-1/2 both are; an error of W^1/2 (y - mean) is weighted by W.
        found: Array = -np.sum((solved / precisions[..., None]) ** 2, axis=(0, 2)) / (self.count * self.y.shape[1])
        return found
