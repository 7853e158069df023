"""Predictions, and how good they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ntc.errors import InputError
from ntc.plot.canvas import axes_on

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ntc.predict import Posterior

_MOST_NUMBERS = 20
"""Classes of a confusion matrix in which counts are written."""


def posterior(
    x: npt.ArrayLike,
    law: Posterior,
    x_train: npt.ArrayLike | None = None,
    y_train: npt.ArrayLike | None = None,
    *,
    axes: Axes | None = None,
) -> Axes:
    """Means with bands of two standard deviations over inputs of one number, and the training points.

    Args:
      x: (n,) or (n, 1).
      law: mean (n, outputs) and variance (n,), of which the first output is drawn.
      x_train, y_train: (m,) or (m, 1), and (m,) or (m, outputs).
      axes: where to draw.

    Raises:
      InputError: x is more than one number per example.
    """
    along, mean = _numbers("x", x), law.mean.reshape(len(law.mean), -1)[:, 0]
    order, spread = np.argsort(along), 2 * np.sqrt(law.variance)
    axes = axes_on(axes)
    axes.fill_between(along[order], (mean - spread)[order], (mean + spread)[order], alpha=0.25, linewidth=0)
    axes.plot(along[order], mean[order], label="mean, 2 standard deviations")
    if x_train is not None and y_train is not None:
        points = np.asarray(y_train)
        axes.plot(_numbers("x_train", x_train), points.reshape(len(points), -1)[:, 0], "k.", label="training points")
    axes.set(xlabel="x", ylabel="y")
    axes.legend()
    return axes


def predicted(y: npt.ArrayLike, law: Posterior, *, axes: Axes | None = None) -> Axes:
    """Means against true values y (n,) or (n, outputs), of the first output, with two standard deviations, and where
    both are equal."""
    truth, mean = np.asarray(y), law.mean.reshape(len(law.mean), -1)[:, 0]
    truth = truth.reshape(len(truth), -1)[:, 0]
    axes = axes_on(axes)
    axes.errorbar(truth, mean, 2 * np.sqrt(law.variance), fmt=".", alpha=0.5)
    ends = [min(truth.min(), mean.min()), max(truth.max(), mean.max())]
    axes.plot(ends, ends, "k--", linewidth=1)
    axes.set(xlabel="true value", ylabel="mean, 2 standard deviations")
    return axes


def confusion(
    labels: npt.ArrayLike, predictions: npt.ArrayLike, names: Sequence[Any] | None = None, *, axes: Axes | None = None
) -> Axes:
    """How often each class is predicted for each label.

    Args:
      labels, predictions: (n,) indices of classes.
      names: of all classes, in order (default: their indices).
      axes: where to draw.
    """
    truth, found = np.asarray(labels), np.asarray(predictions)
    count = int(max(truth.max(), found.max())) + 1 if names is None else len(names)
    names = list(range(count)) if names is None else names
    table = np.zeros((count, count), int)
    np.add.at(table, (truth, found), 1)
    axes = axes_on(axes)
    image = axes.imshow(np.log1p(table), cmap="Blues")
    if count <= _MOST_NUMBERS:
        for i, j in zip(*np.nonzero(table), strict=True):
            shade = "white" if table[i, j] > table.max() / 4 else "black"
            axes.text(j, i, str(table[i, j]), ha="center", va="center", color=shade, fontsize=8)
        texts = [str(name) for name in names]
        turned = 45 if max(map(len, texts)) > 2 else 0
        axes.set_xticks(range(count), texts, rotation=turned, ha="right" if turned else "center")
        axes.set_yticks(range(count), texts)
    axes.set(xlabel="predicted class", ylabel="label", title=f"accuracy {np.mean(truth == found):.3f}")
    axes.figure.colorbar(image, ax=axes, label="log(1 + count)", fraction=0.046)
    return axes


def calibration(
    probabilities: npt.ArrayLike, labels: npt.ArrayLike, bins: int = 10, *, axes: Axes | None = None
) -> Axes:
    """How often the most probable class is right, by its probability (Guo et al. 2017, fig. 1), and how many
    predictions are in each interval.

    Args:
      probabilities: (n, classes).
      labels: (n,) indices of classes.
      bins: equal intervals of probability.
      axes: where to draw.
    """
    from ntc.predict import expected_calibration_error

    table, truth = np.asarray(probabilities, np.float64), np.asarray(labels)
    error = expected_calibration_error(table, truth, bins)
    confidence, right = table.max(axis=1), table.argmax(axis=1) == truth
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    filled = counts > 0
    shares = np.bincount(place, right, bins)[filled] / counts[filled]
    middles = (np.arange(bins)[filled] + 0.5) / bins
    axes = axes_on(axes)
    axes.bar(middles, shares, 0.9 / bins, alpha=0.6, label="right")
    axes.plot([0, 1], [0, 1], "k--", linewidth=1, label="calibrated")
    for middle, share, count in zip(middles, shares, counts[filled], strict=True):
        axes.annotate(str(count), (middle, share), ha="center", va="bottom", fontsize=7)
    axes.set(xlabel="probability of the predicted class", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.08))
    axes.set_title(f"expected calibration error {error:.3f}")
    axes.legend(loc="upper left")
    return axes


def learning_curve(times: npt.ArrayLike, scores: Mapping[str, npt.ArrayLike], *, axes: Axes | None = None) -> Axes:
    """Scores by name, each (times,), over the time of training, which is logarithmic where all times are positive."""
    along = np.asarray(times, np.float64)
    order = np.argsort(along)
    axes = axes_on(axes)
    for name, values in scores.items():
        axes.plot(along[order], np.asarray(values)[order], ".-", label=name)
    axes.set(xlabel="time of training", xscale="log" if along.min() > 0 else "symlog")
    axes.legend()
    return axes


def _numbers(name: str, x: npt.ArrayLike) -> npt.NDArray[Any]:
    numbers = np.asarray(x)
    if numbers.ndim < 1 or numbers.size != len(numbers):
        hint = "ntc.plot.predicted draws predictions against true values"
        raise InputError(f"{name} should have one number per example, got {numbers.shape}", hint=hint)
    return numbers.reshape(-1)
