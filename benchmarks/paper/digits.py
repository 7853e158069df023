"""Figures 3 and 7 of Novak et al. 2020: three families of networks on classification, from few examples to many.

python -m benchmarks.paper.digits

The paper has CIFAR-10; here are the handwritten digits of scikit-learn, 8x8 pixels. Fully connected networks (FC, the
paper's Listing 3), convolutional ones without pooling (CONV, Listing 2) and wide residual ones with global average
pooling (WRESNET, Listing 1). For each size of the training set and each kernel, the depth is that of the largest
marginal likelihood of the training set. NNGP: the Bayesian posterior; NTK: gradient descent to convergence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

import ntc
from benchmarks.measure import markdown
from benchmarks.paper.output import command, figure, save
from ntc import nn
from ntc.frontend.layers import Network

SIZES = (45, 90, 180, 359, 718, 1437)
"""Training examples; the other 360 of the 1797 are for testing."""

TEST = 360
DIAG_REG = 1e-3
"""Relative to the mean of the diagonal, as in `ntc.predict.gp_inference`."""

COLOURS = {"FC": "C0", "CONV": "C1", "WRESNET": "C2"}
KERNELS = {"nngp": "-", "ntk": "--"}
"""How each kernel's lines are drawn."""

PICTURES = {
    "digits": {"test accuracy": "accuracy", "log marginal likelihood per target": "evidence"},
    "conditioning": {
        "test log likelihood per target": "likelihood",
        "condition number, training kernel": "condition",
        "condition number, predicted covariance": "predicted_condition",
    },
}
"""What is drawn against the size of the training set: attributes of `Point` by their labels."""

Array = npt.NDArray[Any]


def fully_connected(depth: int) -> Network:
    """`depth` hidden layers."""
    layer = nn.serial(nn.dense(512, w_std=1.5, b_std=0.1), nn.relu())
    return nn.input(8, 8, 1) >> nn.flatten() >> nn.repeat(depth, layer) >> nn.dense(10)


def convolutional(depth: int) -> Network:
    """`depth` convolutions of 3x3 and no pooling."""
    layer = nn.serial(nn.conv(512, 3, w_std=1.5, b_std=0.1), nn.relu())
    return nn.input(8, 8, 1) >> nn.repeat(depth, layer) >> nn.flatten() >> nn.dense(10)


def wide_residual(blocks: int) -> Network:
    """Three groups of this many residual blocks, the last two with a stride: 6 blocks + 4 layers with weights."""
    return (
        nn.input(8, 8, 1)
        >> nn.conv(16, 3)
        >> _group(blocks, 160, 1)
        >> _group(blocks, 320, 2)
        >> _group(blocks, 640, 2)
        >> nn.global_avg_pool()
        >> nn.dense(10)
    )


def _group(blocks: int, channels: int, stride: int) -> Any:
    def residual(stride: int, shortcut: Any) -> Any:
        main = nn.serial(nn.relu(), nn.conv(channels, 3, stride), nn.relu(), nn.conv(channels, 3))
        return nn.sum(main, shortcut)

    first = residual(stride, nn.conv(channels, 3, stride))
    return nn.serial(first, nn.repeat(blocks - 1, residual(1, nn.identity())))


FAMILIES: Mapping[str, tuple[Callable[[int], Network], tuple[int, ...]]] = {
    "FC": (fully_connected, (1, 2, 3, 5, 8, 12)),
    "CONV": (convolutional, (1, 2, 3, 5, 8)),
    "WRESNET": (wide_residual, (1, 2)),
}
"""Each family's networks, and the depths to choose from."""


@dataclass(frozen=True)
class Point:
    """One kernel of one family at one size.

    Attributes:
      depth: the chosen one.
      evidence: log marginal likelihood of the training set, in nats per target.
      accuracy: on the test set.
      likelihood: log likelihood of the predicted normal distribution, in nats per target of the test set.
      condition: of the kernel of the training set, without regularisation.
      predicted_condition: of the predicted covariance of the test set.
    """

    depth: int
    evidence: float
    accuracy: float
    likelihood: float
    condition: float
    predicted_condition: float


def data() -> tuple[Array, Array]:
    """Images (1797, 8, 8, 1), of mean zero and variance one, and labels, in random order."""
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))
    images = (pixels - pixels.mean()) / pixels.std()
    return images[order].reshape(-1, 8, 8, 1), labels[order]


def curves(kernels: Mapping[int, ntc.Kernels], y: Array, sizes: tuple[int, ...], test: int) -> dict[str, list[Point]]:
    """Points of both kernels over the sizes, from the kernels of all examples at each depth."""
    return {name: [_point(kernels, y, name, size, test) for size in sizes] for name in KERNELS}


def _point(kernels: Mapping[int, ntc.Kernels], y: Array, name: str, size: int, test: int) -> Point:
    targets, train, held_out = ntc.predict.one_hot(y, 10), slice(size), slice(len(y) - test, len(y))

    def evidence(depth: int) -> float:
        kernel = getattr(kernels[depth], name)[train, train]
        return ntc.predict.log_marginal_likelihood(kernel, targets[train], DIAG_REG) / targets[train].size

    found = {depth: evidence(depth) for depth in kernels}
    depth = max(found, key=lambda d: found[d])
    inference = ntc.predict.gp_inference(_between(kernels[depth], train, train), targets[train], DIAG_REG)
    law = inference(name, _between(kernels[depth], held_out, train), _between(kernels[depth], held_out, held_out))
    mean, covariance = np.asarray(law.mean), np.asarray(law.covariance)
    return Point(
        depth,
        found[depth],
        ntc.predict.accuracy(mean, y[held_out]),
        _likelihood(mean, np.diagonal(covariance), targets[held_out]),
        _condition(getattr(kernels[depth], name)[train, train]),
        _condition(covariance),
    )


def _between(kernels: ntc.Kernels, rows: slice, columns: slice) -> ntc.Kernels:
    return ntc.Kernels(kernels.nngp[rows, columns], kernels.ntk[rows, columns])


def _likelihood(mean: Array, variance: Array, targets: Array) -> float:
    predicted = ntc.predict.Posterior(mean, variance)
    return ntc.predict.gaussian_log_likelihood(predicted, targets)


def _condition(matrix: Array) -> float:
    """Largest over smallest eigenvalue; infinite if the smallest is not positive."""
    eigenvalues = np.linalg.eigvalsh(matrix)
    return float(eigenvalues[-1] / eigenvalues[0]) if eigenvalues[0] > 0 else float("inf")


def main(quick: bool = False) -> str:
    """The table at the largest size; draws docs/digits.png and docs/conditioning.png, unless it is a `quick` run."""
    images, labels = data()
    sizes, test = (SIZES[:2], 40) if quick else (SIZES, TEST)
    if quick:
        images, labels = images[: sizes[-1] + test], labels[: sizes[-1] + test]
    found = {}
    for family, (network, depths) in FAMILIES.items():
        chosen = depths[:1] if quick else depths
        kernels = {depth: ntc.build(network(depth), dtype="float64")(images) for depth in chosen}
        found[family] = curves(kernels, labels, sizes, test)
    for name, panels in PICTURES.items():
        save(_draw(found, sizes, panels), name, quick)
    header = (
        "network",
        "kernel",
        "depth chosen",
        *(f"accuracy, {n}" for n in sizes),
        "test log likelihood",
        "condition number of the kernel",
        "of the predicted covariance",
    )
    return markdown(header, [row for family in found for row in _rows(family, found[family])])


def _rows(family: str, found: Mapping[str, list[Point]]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for name, points in found.items():
        last = points[-1]
        depths = ", ".join(str(point.depth) for point in points)
        accuracies = (f"{point.accuracy:.3f}" for point in points)
        conditions = (f"{last.condition:.1e}", f"{last.predicted_condition:.1e}")
        rows.append((family, name.upper(), depths, *accuracies, f"{last.likelihood:.2f}", *conditions))
    return rows


def _draw(found: Mapping[str, Mapping[str, list[Point]]], sizes: tuple[int, ...], panels: Mapping[str, str]) -> Any:
    drawn = figure(4.2 * len(panels), 3.6)
    for axes, (label, quantity) in zip(drawn.subplots(1, len(panels)), panels.items(), strict=True):
        for family, points in found.items():
            for kernel, style in KERNELS.items():
                values = [getattr(point, quantity) for point in points[kernel]]
                axes.plot(sizes, values, style, color=COLOURS[family], marker=".", label=f"{family} {kernel.upper()}")
        axes.set(xscale="log", xlabel="training examples", ylabel=label)
        if "condition" in quantity:
            axes.set_yscale("log")
    drawn.axes[0].legend(fontsize=7, handlelength=4)
    return drawn


if __name__ == "__main__":
    command(main, __doc__)
