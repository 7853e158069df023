"""Infinitely wide networks read handwritten digits: three architectures, two kernels, no training loop.

    python examples/digits.py --output out

Compiles the digits_*.nt models beside this file, computes their kernels between scikit-learn's 8x8 digits
(1000 to train, 797 to test), predicts in closed form, prints accuracies and times, and draws three pictures.
Exits with status 1 if the network with pooling reads fewer digits than it should, or if a picture is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

import jax
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

import ntc
from ntc.cli.console import reporting
from ntc.ir.types import Kernel
from ntc.predict import Posterior, RegressionKernels, accuracy, one_hot, posterior, regression_kernels

HERE = Path(__file__).parent
MODELS = {
    "digits_fc": "fully connected",
    "digits_conv": "convolutional",
    "digits_cnn": "convolutional, pooling",
}
KERNELS: tuple[Kernel, ...] = get_args(Kernel)
CLASSES, DIAG_REG = 10, 1e-4
PICTURES = ("learning_curves.png", "kernel.png", "mistakes.png")

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sizes:
    """Of one run.

    Attributes:
      test: test images.
      curve: sizes of training set of the learning curves, of which the last is the whole.
      least_accuracy: of the network with pooling, with either kernel.
    """

    test: int
    curve: tuple[int, ...]
    least_accuracy: float

    @property
    def train(self) -> int:
        return self.curve[-1]


FULL = Sizes(797, (10, 20, 50, 100, 200, 500, 1000), 0.97)


@dataclass(frozen=True)
class Digits:
    """Images (n, 8, 8, 1), standardised by the training set, and their labels (n,)."""

    x_train: Array
    y_train: npt.NDArray[np.integer]
    x_test: Array
    y_test: npt.NDArray[np.integer]

    @classmethod
    def load(cls, sizes: Sizes) -> Digits:
        images, labels = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(images))[: sizes.train + sizes.test]
        x, y = images[order].reshape(-1, 8, 8, 1), labels[order]
        x = (x - x[: sizes.train].mean()) / x[: sizes.train].std()
        return cls(x[: sizes.train], y[: sizes.train], x[sizes.train :], y[sizes.train :])


@dataclass(frozen=True)
class Result:
    """One network with one kernel."""

    network: str
    kernel: Kernel
    accuracy: float
    learning_curve: dict[int, float]
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out"), help="folder for pictures and results")
    options = parser.parse_args()
    sizes, output = FULL, options.output
    output.mkdir(parents=True, exist_ok=True)
    results = run(sizes, output, Console())
    if wrong := failures(results, sizes, output):
        sys.exit("\n".join(f"failed: {what}" for what in wrong))


def run(sizes: Sizes, output: Path, console: Console) -> list[Result]:
    """All networks with both kernels; writes models, pictures and results to the folder."""
    digits, results = Digits.load(sizes), list[Result]()
    console.print(f"{sizes.train} training and {sizes.test} test images, 8x8 pixels, {CLASSES} classes")
    for model in MODELS:
        kernels, seconds = compute(model, digits, output)
        pairs = f"{sizes.train + sizes.test} x {sizes.train} pairs"
        console.print(f"{MODELS[model]}: NNGP and NTK of {pairs}, {seconds:.1f} s")
        results += [evaluate(model, kernel, kernels, digits, sizes, seconds) for kernel in KERNELS]
    console.print(table(results, sizes))
    drawn = draw_learning_curves(results), draw_kernel(kernels, digits), draw_mistakes(kernels, digits)
    for name, figure in zip(PICTURES, drawn, strict=True):
        figure.savefig(output / name, dpi=150)
    (output / "results.json").write_text(json.dumps([asdict(result) for result in results], indent=1))
    console.print(f"pictures, results and the compiled models are in {output}/")
    return results


def failures(results: list[Result], sizes: Sizes, output: Path) -> list[str]:
    """What is not as it should be: accuracies of the network with pooling, and pictures."""
    pooled = [result for result in results if result.network == MODELS["digits_cnn"]]
    wrong = [
        f"{result.network}, {result.kernel.upper()}: accuracy {result.accuracy:.3f} is below {sizes.least_accuracy}"
        for result in pooled
        if not result.accuracy >= sizes.least_accuracy
    ]
    pictures = [output / name for name in PICTURES]
    return wrong + [f"no picture {path}" for path in pictures if not path.is_file() or not path.stat().st_size]


def compute(model: str, digits: Digits, output: Path) -> tuple[RegressionKernels, float]:
    """Compiles a model to a file, and runs it on all pairs of images that inference needs."""
    start = time.perf_counter()
    ntc.save(ntc.build(ntc.load_graph(HERE / f"{model}.nt")), output / f"{model}.ntc")
    program = ntc.load(output / f"{model}.ntc")
    with reporting() as report:
        kernels = regression_kernels(program, digits.x_train, digits.x_test, report)
    return kernels, time.perf_counter() - start


def predict(kernels: RegressionKernels, digits: Digits, kernel: Kernel, size: int) -> Posterior:
    """The posterior after training on the first `size` images: a block of the same matrices."""
    train = jax.tree.map(lambda x: x[:size, :size], kernels.train)
    cross = jax.tree.map(lambda x: x[:, :size], kernels.cross)
    targets = one_hot(digits.y_train[:size], CLASSES)
    return posterior(replace(kernels, train=train, cross=cross), targets, kernel, DIAG_REG)


def evaluate(
    model: str, kernel: Kernel, kernels: RegressionKernels, digits: Digits, sizes: Sizes, seconds: float
) -> Result:
    """Scores of one kernel; `seconds` are those that both kernels took."""
    start = time.perf_counter()
    score = accuracy(predict(kernels, digits, kernel, sizes.train).mean, digits.y_test)
    seconds += time.perf_counter() - start
    curve = {n: accuracy(predict(kernels, digits, kernel, n).mean, digits.y_test) for n in sizes.curve}
    return Result(MODELS[model], kernel, score, curve, seconds)


def table(results: list[Result], sizes: Sizes) -> Table:
    title = f"Handwritten digits, {sizes.train} for training"
    shown = Table("network", "kernel", "test accuracy", "time (s)", title=title)
    for result in results:
        row = (result.network, result.kernel.upper(), f"{result.accuracy:.3f}", f"{result.seconds:.1f}")
        shown.add_row(*row)
    return shown


def draw_learning_curves(results: list[Result]) -> Figure:
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    for result in results:
        sizes, scores = list(result.learning_curve), list(result.learning_curve.values())
        style = "o-" if result.kernel == "nngp" else "s--"
        axes.plot(sizes, scores, style, label=f"{result.network}, {result.kernel.upper()}", markersize=4)
    axes.set(xscale="log", xlabel="training images", ylabel="test accuracy")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def draw_kernel(kernels: RegressionKernels, digits: Digits) -> Figure:
    """The NTK between training images, sorted by digit, as correlations."""
    order = np.argsort(digits.y_train, kind="stable")
    matrix = np.asarray(kernels.train.ntk)[order][:, order]
    scale = np.sqrt(np.diag(matrix))
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(matrix / np.outer(scale, scale), cmap="magma")
    ends = np.cumsum(np.bincount(digits.y_train))
    axes.set_xticks((ends + np.r_[0, ends[:-1]]) / 2, range(CLASSES))
    axes.set_yticks((ends + np.r_[0, ends[:-1]]) / 2, range(CLASSES))
    axes.set(title="NTK of the convolutional network with pooling", xlabel="digit", ylabel="digit")
    figure.colorbar(image, label="correlation")
    return figure


def draw_mistakes(kernels: RegressionKernels, digits: Digits, most: int = 12) -> Figure:
    """Test images that are read wrongly with the NTK, then those of which the network is least sure."""
    predicted = predict(kernels, digits, "ntk", len(digits.y_train))
    guess = predicted.mean.argmax(axis=1)
    right = guess == digits.y_test
    order = np.lexsort((-predicted.variance, right))[:most]
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    for axes, i in zip(figure.subplots(2, most // 2).ravel(), order, strict=True):
        axes.set_axis_off()
        axes.imshow(digits.x_test[i, :, :, 0], cmap="gray_r")
        title = f"{digits.y_test[i]} read as {guess[i]}\nstd {np.sqrt(predicted.variance[i]):.3f}"
        axes.set_title(title, fontsize=8, color="black" if right[i] else "red")
    return figure


if __name__ == "__main__":
    main()
