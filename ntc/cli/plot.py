"""Pictures of predictions, and of finite networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ntc.errors import UnsupportedError

if TYPE_CHECKING:
    from ntc.finite.convergence import Convergence
    from ntc.predict import Posterior


def require_matplotlib() -> None:
    """Raises UnsupportedError, before anything is computed, if it is not installed."""
    try:
        import matplotlib as mpl  # noqa: F401
    except ImportError:
        raise UnsupportedError("--plot needs matplotlib", hint='pip install "neural-tangent-compiler[demo]"') from None


def draw(path: Path, x: npt.NDArray[Any], y: npt.NDArray[Any] | None, posterior: Posterior, classes: int) -> None:
    """Classification: how often each class is predicted for each label. Regression: against a single input
    feature if there is one, else against the true values."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    if classes and y is not None:
        _confusion(figure, axes, y, posterior, classes)
    else:
        _regression(axes, x, y, posterior)
    figure.savefig(path, dpi=150)


def _confusion(figure: Any, axes: Any, y: npt.NDArray[Any], posterior: Posterior, classes: int) -> None:
    predicted = np.argmax(posterior.mean, axis=1)
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (y, predicted), 1)
    image = axes.imshow(np.log1p(counts), cmap="Blues")
    if classes <= 20:
        for i, j in zip(*np.nonzero(counts), strict=True):
            shade = "white" if counts[i, j] > counts.max() / 4 else "black"
            axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=shade, fontsize=8)
    axes.set(xlabel="predicted class", ylabel="label", title=f"accuracy {np.mean(predicted == y):.3f}")
    figure.colorbar(image, label="log(1 + count)")


def _regression(axes: Any, x: npt.NDArray[Any], y: npt.NDArray[Any] | None, posterior: Posterior) -> None:
    mean, deviation = posterior.mean[:, 0], np.sqrt(posterior.variance)
    if x.size == len(x):
        order = np.argsort(x.ravel())
        along = x.ravel()[order]
        axes.fill_between(along, (mean - 2 * deviation)[order], (mean + 2 * deviation)[order], alpha=0.3)
        axes.plot(along, mean[order], label="mean, 2 standard deviations")
        if y is not None:
            axes.plot(along, y.reshape(len(y), -1)[order, 0], "k.", label="test")
        axes.set(xlabel="x", ylabel="y")
        axes.legend()
        return
    truth = np.arange(len(mean)) if y is None else y.reshape(len(y), -1)[:, 0]
    axes.errorbar(truth, mean, 2 * deviation, fmt=".", alpha=0.5)
    axes.set(xlabel="example" if y is None else "true value", ylabel="mean, 2 standard deviations")


def draw_convergence(path: Path, found: Convergence, slopes: dict[str, float]) -> None:
    """Errors against the number of networks, a line for every width, a panel for every kernel, and the slope."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(slopes), 4), layout="constrained")
    for axes, (kernel, errors) in zip(
        figure.subplots(1, len(slopes), squeeze=False)[0], found.errors.items(), strict=True
    ):
        shades = colormaps["viridis"](np.linspace(0, 0.85, len(found.widths)))
        for width, row, shade in zip(found.widths, errors, shades, strict=True):
            axes.loglog(found.samples * width, row, "o-", color=shade, label=f"width {width}", markersize=3)
        products = np.array([found.samples[0] * found.widths[0], found.samples[-1] * found.widths[-1]], float)
        scale = np.exp(np.mean(np.log(errors)) + np.mean(np.log(np.multiply.outer(found.widths, found.samples))) / 2)
        axes.loglog(products, scale / np.sqrt(products), "k--", linewidth=1, label="1 / sqrt(M n)")
        axes.set(xlabel="networks M x width n", title=f"{kernel.upper()}: slope {slopes[kernel]:.2f}")
        axes.legend(fontsize=7)
    figure.axes[0].set_ylabel("relative Frobenius error")
    figure.savefig(path, dpi=110)
