"""What a program returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from html import escape
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from ntc.ir.graph import RESULT, Graph, kernel_label


@partial(jax.tree_util.register_dataclass, data_fields=("nngp", "ntk", "outputs"), meta_fields=())
@dataclass(frozen=True)
class Kernels:
    """Kernel matrices; None where a program was built without that kernel. `nngp, ntk = kernels` unpacks them.

    Attributes:
      nngp, ntk: of the result of the network.
      outputs: those of the values in between to which the network gives names.
    """

    nngp: jax.Array | None
    ntk: jax.Array | None
    outputs: dict[str, Kernels] = field(default_factory=dict)

    def __iter__(self) -> Iterator[jax.Array | None]:
        return iter((self.nngp, self.ntk))

    def _repr_html_(self) -> str:
        """A table of the matrices, for notebooks."""
        both = [(f"{name}.", kernels) for name, kernels in self.outputs.items()]
        found = {f"{name}{x}": getattr(kernels, x) for name, kernels in [("", self), *both] for x in ("nngp", "ntk")}
        rows = [_row(name, np.asarray(matrix)) for name, matrix in found.items() if matrix is not None]
        words = ("kernel", "shape", "type", "least", "largest")
        return f"<table><tr>{''.join(f'<th>{word}</th>' for word in words)}</tr>{''.join(rows)}</table>"


def _row(name: str, matrix: npt.NDArray[Any]) -> str:
    least, largest = (f"{limit(matrix):.4g}" if matrix.size else "" for limit in (np.min, np.max))
    cells = (name, matrix.shape, matrix.dtype, least, largest)
    return f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in cells)}</tr>"


def named(network: Graph, values: Mapping[str, Any]) -> Kernels:
    """Matrices (n1, n2, ...) or diagonals (n, ...) by label as `Kernels`, by what they are of."""
    found = {name: jnp.asarray(value) for name, value in values.items()}
    labels = [output.label for output in network.outputs]
    kernels = {x: Kernels(found.get(kernel_label(x, "nngp")), found.get(kernel_label(x, "ntk"))) for x in labels}
    return replace(kernels.pop(RESULT), outputs=kernels)
