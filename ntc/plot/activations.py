"""Nonlinearities: what they are, what they do to correlations, and which scales are order and which chaos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ntc.errors import InputError
from ntc.frontend.elaborate import read_graph
from ntc.frontend.layers import Apply, Layer, Network
from ntc.ir.graph import Graph
from ntc.ir.hyper import Hyper
from ntc.ir.ops import Elementwise
from ntc.ir.ops.affine import AffineLayer
from ntc.plot.canvas import axes_in_row, axes_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

Array = npt.NDArray[Any]

_LARGEST_VARIANCE = 1e6
"""Of the fixed point; what grows beyond has none."""


def activation(
    phi: str | Layer | Elementwise, variance: float = 1.0, *, axes: Sequence[Axes] | None = None
) -> Sequence[Axes]:
    """A nonlinearity over its input, and its maps of correlations, on axes of their own.

    With (u, v) Gaussian of a variance q and correlation rho, the second picture has E[phi(u) phi(v)] / E[phi(u)^2], the
    correlation after the layer, and E[phi'(u) phi'(v)] / E[phi'(u)^2], by which the NTK is multiplied (Novak et al.
    2020, eq. 2), over rho from -1 to 1.

    Args:
      phi: its name or a call in the language, such as `relu` or `leaky_relu(0.1)`, a layer, or an op.
      variance: q, positive.
      axes: two, side by side.

    Raises:
      InputError: phi is not a nonlinearity.
    """
    from ntc.backends.jax.functions import row_of

    op = _nonlinearity(phi)
    rho = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 201))  # many near the ends, where slopes are steep
    q = np.full_like(rho, variance)
    x = np.linspace(-4, 4, 401) * np.sqrt(variance)
    function, maps = axes_in_row(axes, 2)
    function.plot(x, np.asarray(row_of(op)(op, {}, x.astype(np.float32))))
    function.set(xlabel="x", ylabel="phi(x)", title=op.name)
    maps.plot(rho, op.dual(rho * q, q, q) / op.dual(q, q, q), label="E[phi phi]")
    slopes = op.dual_dot(q, q, q)
    if np.isfinite(slopes).all() and slopes[0] > 0:
        maps.plot(rho, op.dual_dot(rho * q, q, q) / slopes, label="E[phi' phi']")
    maps.plot([-1, 1], [-1, 1], "k--", linewidth=1)
    maps.set(xlabel="correlation before", ylabel="over its value at 1", title=f"variance {variance:g}")
    maps.legend()
    return function, maps


def phases(
    model: str | Layer | Network | Graph | Elementwise,
    w_stds: npt.ArrayLike | None = None,
    b_stds: npt.ArrayLike | None = None,
    *,
    axes: Axes | None = None,
) -> Axes:
    """Order and chaos over the scales of weights and biases, and where the layers of a model lie.

    The colour is chi_1 = w_std^2 E[phi'(z)^2] at the fixed point of the variance, q = w_std^2 E[phi(z)^2] + b_std^2
    with z of variance q: the slope of the map of correlations at one (Schoenholz et al. 2017, eq. 5). Below 1, all
    inputs become equal with depth, above, they become unrelated; deep networks train at the line. White is where the
    variance has no fixed point.

    Args:
      model: a nonlinearity, as in `activation`, or a network, whose scales are marked.
      w_stds, b_stds: of the picture (default: from 0 to 3, and to 2).
      axes: where to draw.

    Raises:
      InputError: the model has no nonlinearity, or several.
    """
    graph = model.graph() if isinstance(model, Network) else model
    op = _only_nonlinearity(graph) if isinstance(graph, Graph) else _nonlinearity(graph)
    w_std = np.linspace(0.02, 3, 120) if w_stds is None else np.asarray(w_stds, float)
    b_std = np.linspace(0, 2, 80) if b_stds is None else np.asarray(b_stds, float)
    chi = chi_1(op, w_std[None, :], b_std[:, None])
    axes = axes_on(axes)
    mesh = axes.pcolormesh(w_std, b_std, np.log2(chi), cmap="RdBu_r", vmin=-3, vmax=3, shading="nearest")
    if np.nanmin(chi) < 1 < np.nanmax(chi):
        axes.contour(w_std, b_std, chi, levels=[1.0], colors="black", linestyles="--")
    if isinstance(graph, Graph):
        axes.plot(*np.array(sorted(_scales(graph))).T, "k.", markersize=10, label="layers")
        axes.legend()
    axes.set(xlabel="w_std", ylabel="b_std", title=f"{op.name}: order and chaos")
    axes.figure.colorbar(mesh, ax=axes, label="log2 chi_1", extend="both")
    return axes


def chi_1(op: Elementwise, w_std: Array, b_std: Array, steps: int = 300) -> Array:
    """w_std^2 E[phi'(z)^2] at the fixed point of the variance; NaN where the variance diverges."""
    w, b = np.broadcast_arrays(np.square(w_std), np.square(b_std))
    q = np.ones_like(w, dtype=float)
    for _ in range(steps):
        q = np.minimum(w * op.dual(q, q, q) + b, _LARGEST_VARIANCE)
    found: Array = np.where(q < _LARGEST_VARIANCE, w * op.dual_dot(q, q, q), np.nan)
    return found


def _nonlinearity(phi: Any) -> Elementwise:
    if isinstance(phi, str):
        phi = _only_nonlinearity(read_graph(f"model m = input(1) |> dense(1) |> {phi}", "<activation>"))
    op = phi.op if isinstance(phi, Apply) else phi
    if not isinstance(op, Elementwise):
        raise InputError(f"expected a nonlinearity, got {phi!r}", hint='"relu", "leaky_relu(0.1)", nn.erf()')
    return op


def _only_nonlinearity(graph: Graph) -> Elementwise:
    found = {node.op for node in graph.nodes if isinstance(node.op, Elementwise)}
    if len(found) != 1:
        listed = ", ".join(sorted({op.name for op in found})) or "none"
        raise InputError(f"the network should have one nonlinearity, it has {listed}", hint="name one of them")
    return found.pop()


def _scales(graph: Graph) -> set[tuple[float, float]]:
    """(w_std, b_std) of all layers with weights."""
    layers = [node.op for node in graph.nodes if isinstance(node.op, AffineLayer)]
    return {(_number(layer.w_std), _number(layer.bias_std)) for layer in layers}


def _number(scale: float | Hyper) -> float:
    return scale.value if isinstance(scale, Hyper) else scale
