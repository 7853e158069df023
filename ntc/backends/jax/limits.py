"""Nonlinearities whose integrals are infinite at large variances: what is said where kernels are not finite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isinf
from typing import Any

import numpy as np
import numpy.typing as npt

from ntc.backends.reference import interpret
from ntc.errors import UnsupportedError
from ntc.ir.graph import Graph, Output
from ntc.ir.kernel import Dual, DualDot
from ntc.ir.ops import Elementwise

Values = Mapping[str, npt.NDArray[Any]]

_FEW = 4
"""Examples that are looked at, of those whose kernels are not finite."""


def limited(graph: Graph) -> dict[str, Elementwise]:
    """The nonlinearities of a kernel graph that have a largest variance, by the name of the variance they read."""
    return {
        node.operands[1]: node.op.phi
        for node in graph.nodes
        if isinstance(node.op, Dual | DualDot) and isinstance(node.op.phi, Elementwise)
        if not isinf(node.op.phi.largest_variance)
    }


def refuse_infinite(diagonal: Graph, found: Values, *inputs: npt.NDArray[Any], hyper: Mapping[str, float]) -> None:
    """Raises UnsupportedError, with layer and variance, where matrices are not finite as an integral is infinite.

    Args:
      diagonal: the kernel graph of each example with itself.
      found: matrices (n1, n2, ...) by label.
      inputs: examples of x1 and of x2, or those that are both.
      hyper: values of hyperparameters.
    """
    if not (readers := limited(diagonal)) or all(np.isfinite(matrix).all() for matrix in found.values()):
        return
    graph = replace(diagonal, outputs=tuple(Output(name, name) for name in readers))
    for axis, x in enumerate((inputs[0], inputs[-1])):
        for example in _not_finite(found, axis)[:_FEW]:
            variances = interpret(graph, x[example : example + 1], hyper=hyper)
            for name, phi in readers.items():
                refuse(phi, variances[name], f"of example {example} of x{axis + 1}")


def refuse(phi: Elementwise, variances: Any, where: str) -> None:
    """Raises UnsupportedError if one of the variances is too large for the nonlinearity."""
    largest = float(np.nanmax(variances, initial=0.0))
    if largest >= phi.largest_variance:
        raise UnsupportedError(
            f"{phi.name}: its integrals are infinite from a variance of {phi.largest_variance:.6g} on, and that of its "
            f"input, {where}, is {largest:.6g}",
            hint="scale the inputs, or the weights of the layer before",
        )


def _not_finite(found: Values, axis: int) -> Any:
    """Examples of x1 (axis 0) or x2 (axis 1) with entries that are not finite, those with the most first."""
    counts: Any = 0
    for matrix in found.values():
        others = tuple(other for other in range(matrix.ndim) if other != axis)
        counts = counts + (~np.isfinite(matrix)).sum(others)
    order = np.argsort(-counts, kind="stable")
    return order[counts[order] > 0]
