"""What importing a function gives: its network, the correspondence, and its own parameters in the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntc.backends.jax.finite import Params, apply
from ntc.backends.jax.program import Program
from ntc.backends.jax.result import Kernels
from ntc.errors import InputError
from ntc.importing.jaxpr import path_text
from ntc.importing.known import with_parameters
from ntc.importing.layout import Layout
from ntc.importing.table import Table
from ntc.importing.values import Source
from ntc.ir.graph import Graph, tensor_op


@dataclass(frozen=True)
class Imported:
    """A network that was recognised in a function f(params, x).

    Attributes:
      graph: the network, for `ntc.build`, `ntc.lower` and the rest.
      table: what became of every parameter; `print(imported.table)`.
      channel_axis: the axis of x that has the channels.
    """

    graph: Graph
    table: Table
    channel_axis: int
    _sources: Mapping[str, Mapping[str, Source]] = field(repr=False)
    _params: Any = field(repr=False)
    _layout: Layout = field(repr=False)
    _shape: tuple[int, ...] = field(repr=False)

    def examples(self, x: Any) -> Any:
        """Examples as the network reads them: (N, *spatial, channels)."""
        return jnp.moveaxis(x, self.channel_axis, -1)

    def params(self, params: Any = None) -> Params:
        """Parameters of the function (default: those it was imported with) as those of the finite network, for
        `Program.apply` and `ntc.finite.apply`: arrays by layer and name. Raises InputError for what these have not."""
        leaves = jax.tree_util.tree_flatten_with_path(self._params if params is None else params)[0]
        arrays = {path_text(path): np.asarray(leaf) for path, leaf in leaves}
        dtype = jnp.result_type(*(x for x in arrays.values() if np.issubdtype(x.dtype, np.floating)), np.float32)
        with jax.enable_x64(True):
            found = {name: self._layer(name, sources, arrays) for name, sources in self._sources.items()}
        return {name: {k: jnp.asarray(x.astype(dtype)) for k, x in own.items()} for name, own in found.items()}

    def _layer(self, name: str, sources: Mapping[str, Source], arrays: Mapping[str, Any]) -> dict[str, Any]:
        """The arrays of one layer."""
        node = self.graph.definitions[name]
        found = {}
        for key, weight in tensor_op(node).weights(self.graph.tensor_of(node.operands[0])).items():
            array = sources[key].arranged(with_parameters(sources[key].node, arrays))
            if weight.multiplier == 0 and array.any():
                raise InputError(
                    f"{name} has biases that are not zero, which the network has not: they were drawn as zero",
                    hint="parameterization = standard learns biases that begin as zero; scales gives them a size",
                )
            found[key] = np.reshape(array, weight.shape) / (weight.multiplier or 1.0)
        return found

    def apply(self, params: Any, x: Any) -> jax.Array:
        """f(params, x) by the finite network: the same numbers as the function, up to rounding."""
        y = apply(self.graph, self.params(params), self.examples(x))
        found: jax.Array = in_layout(y, self._layout, (len(x), *self._shape[1:]))
        return found

    def build(self, **options: Any) -> Program:
        """The program of the kernels: `ntc.build(imported.graph, **options)`."""
        from ntc.compiler import build

        return build(self.graph, **options)

    def kernels(self, x1: Any, x2: Any = None, **options: Any) -> Kernels:
        """The kernels between examples as the function takes them."""
        program = self.build(**options)
        return program(self.examples(x1), None if x2 is None else self.examples(x2))


def in_layout(y: Any, layout: Layout, shape: tuple[int, ...]) -> Any:
    """An array (N, *spatial, channels) in the order of axes of the function's output."""
    sizes: list[int] = []
    order: list[int] = []
    flat = [(atom, i) for i, atoms in enumerate(layout) for atom in atoms]
    ranked = sorted(range(len(flat)), key=lambda i: (_rank(flat[i][0].axis), -flat[i][0].stride))
    for i in ranked:
        sizes.append(len(y) if flat[i][0].axis == "examples" else flat[i][0].size)
    order = [ranked.index(i) for i in range(len(flat))]
    return y.reshape(sizes).transpose(order).reshape(shape)


def _rank(axis: Any) -> int:
    return {"examples": -1, "channels": 100}[axis] if isinstance(axis, str) else int(axis)
