"""What `ntc predict` learns from and is scored on: a training and a test set, of values or of classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ntc import datasets
from ntc.cli import files
from ntc.cli.console import note
from ntc.cli.tables import feature_names, is_table, read_table
from ntc.errors import InputError, UsageError

if TYPE_CHECKING:
    from ntc.predict import Posterior

Labels = npt.NDArray[Any]
Inputs: TypeAlias = Any
"""An array, or `ntc.predict.Examples`."""

_MOST_CLASSES = 10_000
_FEW = 20
"""Classes that are taken for classes without a word."""


@dataclass(frozen=True)
class TrainingData:
    """A training and a test set.

    Attributes:
      x_train, x_test: (n, ...) examples; `ntc.predict.Examples` where the files have masks or patterns.
      targets: (n, outputs) what is regressed on, without `offset`.
      y_test: (n,) indices of classes, or (n, outputs) values; None if there are none.
      classes: (classes,) the labels that there are, in order; none of regression.
    """

    x_train: Inputs
    targets: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64] | float
    x_test: Inputs
    y_test: Labels | None
    classes: Labels | None

    def plain(self, alone: object) -> npt.NDArray[Any]:
        """The training inputs as an array. Raises UsageError for masks and patterns where that is all that will do."""
        from ntc.predict import Examples

        if not isinstance(self.x_train, Examples):
            return np.asarray(self.x_train)
        if alone:
            raise UsageError("--fit, --times and --store do not go with masks and patterns in the data")
        return np.asarray(self.x_train.x)

    def scores(self, posterior: Posterior, temperature: float | None = None) -> dict[str, float]:
        """How good predictions of the test set are, if it has labels."""
        from ntc.predict import accuracy, negative_log_likelihood, root_mean_square_error

        if self.y_test is None:
            return {}
        if self.classes is None:
            return {"rmse": root_mean_square_error(posterior.mean, self.y_test)}
        found = {"accuracy": accuracy(posterior.mean, self.y_test)}
        probabilities = self._probabilities(posterior, temperature)
        if probabilities is not None:
            found["log_loss"] = negative_log_likelihood(probabilities, self.y_test)
        return found

    def arrays(self, posterior: Posterior, temperature: float | None = None) -> dict[str, npt.NDArray[Any]]:
        """What is written: mean (n, outputs) and variance (n,); of classes also `classes` (classes,), the labels that
        there are, `predicted` (n,), one of them each, and `probabilities` (n, classes)."""
        found: dict[str, npt.NDArray[Any]] = {"mean": posterior.mean, "variance": posterior.variance}
        if self.classes is None:
            return found
        found |= {"classes": self.classes, "predicted": self.classes[np.argmax(posterior.mean, axis=1)]}
        probabilities = self._probabilities(posterior, temperature)
        return found if probabilities is None else found | {"probabilities": probabilities}

    def _probabilities(self, posterior: Posterior, temperature: float | None) -> npt.NDArray[np.float64] | None:
        """Of the means at a temperature, or without one of the posterior; None without variances."""
        from ntc.predict import class_probabilities, tempered_probabilities

        if temperature is not None:
            return tempered_probabilities(posterior.mean, temperature)
        return None if np.isnan(posterior.variance).any() else class_probabilities(posterior)


def read(train: Path, test: Path, label: str | None, scored: bool = False) -> TrainingData:
    """The two sets; if it is `scored`, the second has labels.

    Whole numbers, truth values and texts are classes, real numbers are values. Raises InputError.
    """
    x_train, y_train, names = _read(train, label)
    x_test, y_test, _ = _read(test, label, names)
    if scored and y_test is None:
        raise InputError(f"{test} has no labels, and predictions over time are to be scored")
    if y_train is None:
        raise InputError(f"{train} has no labels", hint="an array y in .npz; a column y in .csv, or --label NAME")
    for path, x, y in ((train, x_train, y_train), (test, x_test, y_test)):
        if y is not None and (not y.ndim or len(y) != len(x)):
            raise InputError(f"{path}: x has {len(x)} examples, y has {len(y) if y.ndim else 'no axis'}")
    if not len(y_train):
        raise InputError(f"{train} has no examples")
    y_train, y_test = _one_axis(y_train), None if y_test is None else _one_axis(y_test)
    if y_train.dtype.kind in "iubU" and y_train.ndim == 1:
        return _classes(train, test, x_train, y_train, x_test, y_test)
    if y_train.dtype.kind not in "fiub":
        raise InputError(f"{train}: y should hold numbers or names, got {y_train.dtype} of shape {y_train.shape}")
    return _values(test, x_train, y_train, x_test, y_test)


def _classes(
    train: Path, test: Path, x_train: Inputs, y_train: Labels, x_test: Inputs, y_test: Labels | None
) -> TrainingData:
    from ntc.predict import one_hot

    if y_test is not None and y_test.dtype.kind == "f" and y_train.dtype.kind in "iub":
        if (y_test != np.round(y_test)).any():
            raise InputError(f"{test}: y has fractions, and the training set has classes")
        y_test = y_test.astype(np.int64)
    if y_test is not None and (y_test.dtype.kind == "U") != (y_train.dtype.kind == "U"):
        raise InputError(f"{test}: y holds {y_test.dtype}, that of the training set {y_train.dtype}")
    everything = y_train if y_test is None else np.concatenate([y_train, y_test])
    classes = np.unique(everything)
    if not 1 < len(classes) <= _MOST_CLASSES:
        hint = "whole numbers are classes; write values as real numbers: y.astype(float)"
        raise InputError(f"{train}: y has {len(classes)} classes, expected 2 to {_MOST_CLASSES}", hint=hint)
    if len(classes) > max(_FEW, len(y_train) / 2):
        note(f"{train}: y has {len(classes)} classes in {len(y_train)} examples; of values, write real numbers: 12.0")
    targets = one_hot(np.searchsorted(classes, y_train), len(classes))
    indices = None if y_test is None else np.searchsorted(classes, y_test)
    return TrainingData(x_train, targets, 0.0, x_test, indices, classes)


def _values(test: Path, x_train: Inputs, y_train: Labels, x_test: Inputs, y_test: Labels | None) -> TrainingData:
    targets = y_train.reshape(len(y_train), -1).astype(np.float64)
    if y_test is not None:
        if y_test.dtype.kind not in "fiub" or y_test.size != len(y_test) * targets.shape[1]:
            got, wanted = f"{y_test.dtype} of shape {y_test.shape}", f"{y_train.dtype} of shape {y_train.shape}"
            raise InputError(f"{test}: y is {got}, that of the training set {wanted}")
        y_test = y_test.reshape(len(y_test), -1).astype(np.float64)
    offset = targets.mean(axis=0)
    return TrainingData(x_train, targets - offset, offset, x_test, y_test, None)


def _read(
    path: Path, label: str | None, names: tuple[str, ...] | None = None
) -> tuple[Inputs, Labels | None, tuple[str, ...] | None]:
    """Examples, with masks and patterns if a file has them, their labels, if there are any, and of a table the names of
    its features: those that are given, which the training set has, in its order."""
    from ntc.predict import Examples

    if is_table(path):
        table, trains = read_table(path), names is None
        names = names or feature_names(table.columns, label)
        return table.features(names), table.label(label if trains or label in table.columns else None), names
    if label is not None:
        raise InputError(f"--label {label}: {path} is no table", hint="the labels of a .npz file are its array y")
    x = files.read_array(path, "x")
    if datasets.is_named(str(path)):
        return x, files.read_array(path, "y"), None
    with np.load(path, allow_pickle=False) as archive:
        there = archive.files
    own = {name: files.read_array(path, name) for name in ("mask", "pattern") if name in there}
    return Examples(x, **own) if own else x, files.read_array(path, "y") if "y" in there else None, None


def _one_axis(y: Labels) -> Labels:
    """Labels (n, 1) as (n,)."""
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
