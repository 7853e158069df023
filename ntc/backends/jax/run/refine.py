"""Entries between nearly equal examples, of which float32 would lose digits: computed again in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from ntc.backends.jax.emit.stages import emit
from ntc.backends.jax.inputs import grams, read
from ntc.backends.jax.precision import precision
from ntc.ir.graph import Graph, kernel_op
from ntc.ir.op import covariance
from ntc.ir.types import ArrayType, Target, Type
from ntc.ir.verify import verify
from ntc.plan import is_cross
from ntc.plan.tiles import Needs, default_memory

NEAR = 2.0**-5
"""Of the larger norm: a distance at which a covariance in float32 has lost a tenth of the digits that 1e-5 needs."""

_PAIRS = 16
"""Computed at a time, at most."""

_ROWS = 512
"""Whose distances are computed at a time."""

Array = npt.NDArray[Any]
Values = dict[str, Array]


def loses_digits(graph: Graph) -> bool:
    """Whether the graph has integrals in float32 whose slope is infinite at correlation one, and that read covariances.

    There a covariance that is eps off is an angle that is sqrt(eps) off, or eps over the distance of the inputs.
    """
    single = _array(graph.inputs[0].type).dtype == "f32"
    return single and any(is_cross(node) and kernel_op(node).steep for node in graph.nodes)


@dataclass(frozen=True)
class NearPairs:
    """Computes entries of k(x1, x2), or of k(x1, x1), between examples that are nearly equal.

    Attributes:
      graph: the kernel graph between two inputs, in float32.
      target: its platform.
      device: where it runs.
    """

    graph: Graph
    target: Target
    device: jax.Device

    def refine(self, x1: Array, x2: Array | None, result: Values, hyper: Mapping[str, Any]) -> None:
        """Overwrites entries of the matrices by what float64 gives. Those of an example with itself are right."""
        rows, columns = self.find(x1, x2)
        scales = {name: np.float64(value) for name, value in hyper.items()}
        for start in range(0, len(rows), self._pairs):
            i, j = (x[start : start + self._pairs] for x in (rows, columns))
            found = self._exact(x1[i], (x1 if x2 is None else x2)[j], scales)
            for name, values in found.items():
                if not result[name].flags.writeable:
                    result[name] = result[name].copy()
                result[name][i, j] = values
                if x2 is None:
                    result[name][j, i] = _transposed(values)

    def find(self, x1: Array, x2: Array | None) -> tuple[Array, Array]:
        """Rows and columns of entries between examples at a distance of at most NEAR times the larger norm; of
        k(x1, x1) those above the diagonal."""
        other = x1 if x2 is None else x2
        rows: list[Array] = []
        columns: list[Array] = []
        for start in range(0, len(x1), _ROWS):
            block = x1[start : start + _ROWS]
            near = np.asarray(self._near(*jax.device_put((block, other), self.device)))
            i, j = np.nonzero(near if x2 is not None else np.triu(near, start + 1))
            rows.append(i + start)
            columns.append(j)
        return np.concatenate(rows), np.concatenate(columns)

    @cached_property
    def _near(self) -> Callable[..., jax.Array]:
        parts = grams(self.graph)

        def flat(x: jax.Array) -> jax.Array:
            return jnp.concatenate([read(gram, x).reshape(x.shape[0], -1) for gram in parts], axis=1)

        def near(x1: jax.Array, x2: jax.Array) -> jax.Array:
            first, second = flat(x1), flat(x2)
            squares1, squares2 = ((x**2).sum(1) for x in (first, second))
            products = jnp.einsum("ni,mi->nm", first, second, precision=jax.lax.Precision.HIGHEST)
            larger, both = jnp.maximum(squares1[:, None], squares2[None]), squares1[:, None] + squares2[None]
            return both - 2 * products <= NEAR**2 * larger

        return jax.jit(near)

    def _exact(self, x1: Array, x2: Array, scales: Mapping[str, Any]) -> Values:
        """k(x1[i], x2[i]) of some pairs, in float64."""
        count = len(x1)
        index = np.minimum(np.arange(self._pairs), count - 1)  # of one shape, so it is compiled once
        with precision("f64"):
            arrays = jax.device_put((x1[index].astype(np.float64), x2[index].astype(np.float64), scales), self.device)
            return {name: np.asarray(x)[:count] for name, x in self._function(*arrays).items()}

    @cached_property
    def _function(self) -> Callable[..., Mapping[str, jax.Array]]:
        tile = emit(_in_float64(self.graph), self.target)

        def pair(x1: jax.Array, x2: jax.Array, scales: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
            return {name: x[0, 0] for name, x in tile(x1[None], x2[None], hyper=scales or None).items()}

        return jax.jit(jax.vmap(pair, (0, 0, None)))

    @cached_property
    def _pairs(self) -> int:
        return int(np.clip(default_memory() // (2 * max(1, Needs.of(self.graph).pair)), 1, _PAIRS))


def _in_float64(graph: Graph) -> Graph:
    """The same graph of values in float64."""
    inputs = tuple(replace(x, type=replace(_array(x.type), dtype="f64")) for x in graph.inputs)
    nodes = []
    for node in graph.nodes:
        type_ = replace(covariance(node.type), dtype="f64")
        nodes.append(replace(node, op=kernel_op(node).typed("f64", type_.batch), type=type_))
    return verify(replace(graph, inputs=inputs, nodes=tuple(nodes)))


def _array(type_: Type) -> ArrayType:
    assert isinstance(type_, ArrayType)
    return type_


def _transposed(values: Array) -> Array:
    """k(b, a) of pairs (a, b), from k(a, b) (pairs, H, H', W, W', ...)."""
    return values.transpose(0, *(axis + 1 if axis % 2 else axis - 1 for axis in range(1, values.ndim)))
