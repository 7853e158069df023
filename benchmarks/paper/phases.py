"""Table 3 of Novak et al. 2019: accuracy over (sigma_w^2, sigma_b^2) for networks of growing depth, and the boundary of
order and chaos.

python -m benchmarks.paper.phases

The paper has CIFAR-10; here are the handwritten digits of scikit-learn, 8x8 pixels, fully connected networks with erf,
and exact inference with the NNGP. One compiled program of each depth serves all pairs of scales: `hyper(...)`. The
boundary is where the slope of the map of correlations at one, chi_1 = sigma_w^2 E[phi'(z)^2], is 1 at the fixed point
of the variance q = sigma_w^2 E[phi(z)^2] + sigma_b^2 (Schoenholz et al. 2017, eq. 5), from the integrals of ntc.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

import ntc
from benchmarks.measure import markdown
from benchmarks.paper.output import command, figure, save
from ntc import nn
from ntc.backends.jax.program import Program
from ntc.ir.ops import Erf

DEPTHS = (1, 10, 50)
W_VARIANCES = tuple(np.round(np.linspace(0.2, 5.0, 17), 3))
B_VARIANCES = tuple(np.round(np.linspace(0.0, 2.0, 9), 3))
TRAIN, TEST = 500, 800
DIAG_REG = 1e-4

Array = npt.NDArray[Any]


def network(depth: int) -> Program:
    """Fully connected, with erf; both scales are hyperparameters. The readout is a layer of them as well."""
    dense = nn.dense(512, w_std=nn.hyper(1.5, "w_std"), b_std=nn.hyper(0.1, "b_std"))
    return ntc.build(nn.input(64) >> nn.repeat(depth, nn.serial(dense, nn.erf())) >> dense, kernels=("nngp",))


def boundary(b_variance: npt.ArrayLike) -> Array:
    """sigma_w^2 at which chi_1 is one, for each sigma_b^2.

    Every variance q is the fixed point of one pair on the boundary, sigma_w^2 = 1 / E[phi'(z)^2] and
    sigma_b^2 = q - sigma_w^2 E[phi(z)^2], so the boundary is drawn by q and read off between its points.
    """
    phi, q = Erf(), np.concatenate([[0.0], np.geomspace(1e-6, 1e3, 4000)])
    w_variance = 1 / phi.dual_dot(q, q, q)
    return np.interp(b_variance, q - w_variance * phi.dual(q, q, q), w_variance)


def accuracies(program: Program, w_variances: Any, b_variances: Any, train: int, test: int) -> Array:
    """Test accuracies, (sigma_w^2, sigma_b^2); not a number where inference refuses the matrix as singular."""
    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels - pixels.mean()) / pixels.std()
    order = np.random.default_rng(0).permutation(len(pixels))
    x, y = pixels[order], labels[order]
    first, last = slice(train), slice(train, train + test)
    targets = ntc.predict.one_hot(y[first], 10)
    found = np.full((len(w_variances), len(b_variances)), np.nan)
    for i, w in enumerate(w_variances):
        for j, b in enumerate(b_variances):
            own = program.with_hyper({"w_std": float(w) ** 0.5, "b_std": float(b) ** 0.5})
            try:
                law = ntc.predict.regress(own, x[first], targets, x[last], "nngp", DIAG_REG)
            except ntc.errors.InputError:
                continue
            found[i, j] = ntc.predict.accuracy(law.mean, y[last])
    return found


def main(quick: bool = False) -> str:
    """The best accuracy of each depth, and where; draws docs/phases.png, unless it is a `quick` run."""
    depths = DEPTHS[:2] if quick else DEPTHS
    w_variances, b_variances = (W_VARIANCES[::4], B_VARIANCES[::5]) if quick else (W_VARIANCES, B_VARIANCES)
    train, test = (100, 100) if quick else (TRAIN, TEST)
    tables = [accuracies(network(depth), w_variances, b_variances, train, test) for depth in depths]
    rows: list[tuple[object, ...]] = []
    for depth, table in zip(depths, tables, strict=True):
        i, j = np.unravel_index(np.nanargmax(table), table.shape)
        near = np.abs(np.log(np.array(w_variances)[:, None] / boundary(b_variances)))
        good = table >= np.nanmax(table) - 0.01
        rows.append(
            (
                depth,
                float(table[i, j]),
                w_variances[i],
                b_variances[j],
                float(boundary(b_variances[j])),
                f"{good.mean():.2f}",
                float(near[good].mean()),
                int(np.isnan(table).sum()),
            )
        )
    save(_draw(depths, w_variances, b_variances, tables), "phases", quick)
    header = (
        "hidden layers",
        "best accuracy",
        "sigma_w^2",
        "sigma_b^2",
        "boundary there",
        "share of pairs within 1 % of it",
        "their mean abs(log(sigma_w^2 / boundary))",
        "singular",
    )
    return markdown(header, rows)


def _draw(depths: Any, w_variances: Any, b_variances: Any, tables: list[Array]) -> Any:
    drawn = figure(11, 3.6)
    edges = np.linspace(b_variances[0], b_variances[-1], 100)
    for axes, depth, table in zip(drawn.subplots(1, len(depths), sharey=True), depths, tables, strict=True):
        mesh = axes.pcolormesh(w_variances, b_variances, table.T, shading="nearest", cmap="viridis", vmin=0.1, vmax=1)
        axes.plot(boundary(edges), edges, "k--", label="order | chaos")
        axes.set(title=f"hidden layers: {depth}", xlabel="sigma_w^2")
    drawn.axes[0].set_ylabel("sigma_b^2")
    drawn.axes[0].legend()
    drawn.colorbar(mesh, ax=drawn.axes, label="test accuracy")
    drawn.suptitle(f"NNGP of erf networks on handwritten digits of 8x8 pixels, {TRAIN} for training")
    return drawn


if __name__ == "__main__":
    command(main, __doc__)
