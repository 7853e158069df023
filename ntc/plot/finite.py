"""Finite networks beside the infinite one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ntc.plot.canvas import axes_in_row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ntc.finite.convergence import Convergence


def convergence(found: Convergence, *, axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """Errors of kernels of finite networks against the number of networks times their width, on axes for each kernel,
    and the slope that is expected, -1/2 (Novak et al. 2020, fig. 3)."""
    from matplotlib import colormaps

    axes = axes_in_row(axes, len(found.errors))
    for panel, (kernel, errors) in zip(axes, found.errors.items(), strict=True):
        shades = colormaps["viridis"](np.linspace(0, 0.85, len(found.widths)))
        for width, row, shade in zip(found.widths, errors, shades, strict=True):
            panel.loglog(found.samples * width, row, "o-", color=shade, label=f"width {width}", markersize=3)
        products = np.array([found.samples[0] * found.widths[0], found.samples[-1] * found.widths[-1]], float)
        scale = np.exp(np.mean(np.log(errors)) + np.mean(np.log(np.multiply.outer(found.widths, found.samples))) / 2)
        panel.loglog(products, scale / np.sqrt(products), "k--", linewidth=1, label="1 / sqrt(M n)")
        panel.set(xlabel="networks M x width n", title=f"{kernel.upper()}: slope {found.slope(kernel):.2f}")
        panel.legend(fontsize=7)
    axes[0].set_ylabel("relative Frobenius error")
    return axes
