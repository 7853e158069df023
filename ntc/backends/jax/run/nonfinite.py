"""Kernels of finite inputs that are not finite: an error that says where, in place of matrices of NaN."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from ntc.backends.jax.emit.stages import emit
from ntc.backends.jax.inputs import grams
from ntc.backends.jax.precision import precision
from ntc.errors import NonFiniteError, NonFiniteWarning, VanishingWarning
from ntc.ir.graph import Graph, Node, Output, kernel_op
from ntc.ir.kernel import Dual, DualDot
from ntc.ir.ops import Elementwise
from ntc.ir.types import Between, DType, Target

Array = npt.NDArray[Any]
Values = Mapping[str, Array]

_ROWS = 256
"""Of a matrix, that are looked at at a time."""

_PROBES = 12
"""Values of a graph that are looked at at a time."""

_ALLOWED = ContextVar("allowed", default=False)


@contextmanager
def allowed() -> Iterator[None]:
    """Within, kernels that are not finite are a NonFiniteWarning in place of an error."""
    token = _ALLOWED.set(True)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


@dataclass(frozen=True)
class FiniteCheck:
    """Looks for entries that are not finite though both of their examples are.

    Attributes:
      graphs: the kernel graphs of the program; that of examples with themselves is lowered where it is needed.
      hyper: hyperparameters of the call.
      target, device: the platform of the program, and where it runs.
      dtype: of the program.
    """

    graphs: Mapping[Between, Graph]
    hyper: Mapping[str, Any]
    target: Target
    device: jax.Device
    dtype: DType

    @cached_property
    def _graph(self) -> Graph:
        graph = self.graphs["diagonal"]
        return graph.with_hypers({name: float(self.hyper[name]) for name in graph.hypers}).settled

    @cached_property
    def _known_numbers(self) -> dict[str, float]:
        """The values that are numbers by what the network says: zeros of scales that are zero."""
        numbers: dict[str, float] = {}
        for node in self._graph.nodes:
            number = kernel_op(node).fold(*map(numbers.get, node.operands))
            if number is not None:
                numbers[node.name] = number
        return numbers

    def matrices(self, x1: Array, x2: Array | None, result: Values) -> None:
        """Checks k(x1, x2), or k(x1, x1). Raises NonFiniteError, which names layer and variance if it is known."""
        self._warn_of_zeros(x1, result)
        for label, matrix in result.items():
            for start in range(0, len(matrix), _ROWS):
                block = matrix[start : start + _ROWS]
                if not block.size or np.isfinite(np.sum(block, dtype=np.float64)):
                    continue
                entry = self._entry(
                    block, self._known(x1[start : start + _ROWS]), self._known(x1 if x2 is None else x2)
                )
                if entry is not None:
                    i, j = start + entry[0], entry[1]
                    self._report(label, f"examples {i} and {j}", np.stack([x1[i], (x1 if x2 is None else x2)[j]]))
                    break

    def diagonal(self, x: Array, result: Values) -> None:
        """Checks kernels of every example with itself, (n, ...). Raises NonFiniteError."""
        self._warn_of_zeros(x, result)
        for label, values in result.items():
            bad = ~np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
            if bad.any() and (bad := bad & self._known(x)).any():
                first = int(np.argmax(bad))
                self._report(label, f"example {first} with itself", x[first : first + 1])

    def _known(self, x: Array) -> npt.NDArray[np.bool_]:
        """Which examples are finite, but for what marks masked entries."""
        known = np.ones(len(x), bool)
        for gram in grams(self._graph):
            entries = _rows(gram.part.of(x)[..., : gram.channels])
            known &= np.logical_and.reduce(np.isfinite(entries) | gram.is_masked(entries), 1)
        return known

    @staticmethod
    def _entry(block: Array, rows: Array, columns: Array) -> tuple[int, int] | None:
        finite = np.isfinite(block).all(axis=tuple(range(2, block.ndim)))
        found = np.argwhere(~finite & rows[:, None] & columns)
        return (int(found[0][0]), int(found[0][1])) if len(found) else None

    def _report(self, label: str, pair: str, examples: Array) -> None:
        """Raises NonFiniteError, or warns of it where it is allowed."""
        error = self._explained(label, pair, examples)
        if not _ALLOWED.get():
            raise error
        warnings.warn(error.message, NonFiniteWarning, stacklevel=5)

    def _explained(self, label: str, pair: str, examples: Array) -> NonFiniteError:
        node, variance = self._first(examples)
        hint = "bring the inputs to a smaller scale (mean zero and variance one, say), or make w_std smaller"
        if node is None:
            return NonFiniteError(f"the {label} kernel of {pair} is not finite", hint=hint)
        if self.dtype == "f32":
            hint += "; float64 (dtype='float64') overflows at larger values"
        at = "" if variance is None else f" at a variance of its input of {variance:.3g}"
        op: Any = node.op
        named: Any = getattr(op, "phi", op)
        name = f"{named.name} (%{node.name})"
        integral = f"{'the integral' if op.derivative else 'E[phi phi]'} of " if variance is not None else ""
        if limit := limited(self._graph).get(node.name):
            at += f", and infinite from {limit.largest_variance:.6g} on"
        return NonFiniteError(
            f"the {label} kernel of {pair} is not finite: {integral}{name} is not{at}",
            location=node.location,
            hint=hint,
        )

    def _first(self, examples: Array) -> tuple[Node | None, float | None]:
        """The first value of the graph that is not finite for these examples, and the largest variance that it reads
        if it is an integral."""
        node = self._search(self._graph.nodes, examples, lambda x: not np.isfinite(x).all())
        if node is None or not kernel_op(node).integral:
            return node, None
        return node, float(np.max(self._values(examples, [node.operands[1]])[0], initial=0.0))

    def _search(self, nodes: Sequence[Node], examples: Array, wrong: Callable[[Array], bool]) -> Node | None:
        """The first node whose value is wrong, supposing that what is computed of it is wrong as well.

        A few are looked at at a time: with all of them as outputs there are no repeated blocks, and deep networks would
        compile for minutes.
        """
        low, high, found = 0, len(nodes) - 1, None
        while low <= high:
            probes = sorted({int(x) for x in np.linspace(low, high, _PROBES)})
            values = self._values(examples, [nodes[i].name for i in probes])
            bad = next((n for n, x in enumerate(values) if wrong(x)), None)
            if bad is None:
                break
            found = nodes[probes[bad]]
            low, high = probes[bad - 1] + 1 if bad else low, probes[bad] - 1
        return found

    @staticmethod
    def _shrinks(node: Node) -> bool:
        """Whether the node makes zeros of what is not: not where inputs are zero or missing that it reads."""
        return kernel_op(node).integral or hasattr(node.op, "w_std")

    def _values(self, examples: Array, names: Sequence[str]) -> list[Array]:
        """Some values of the graph, at positions with themselves."""
        some = replace(self._graph, outputs=tuple(Output(name, name) for name in names))
        with precision(self.dtype):
            given = jax.device_put(examples, self.device)
            values = jax.jit(emit(replace(some, nodes=some.live), self.target))(given)
        return [_tracked(np.asarray(values[name])) for name in names]

    def _warn_of_zeros(self, x: Array, result: Values) -> None:
        """Says where variances vanish, if a kernel of an input that is not zero is: scales are too small."""
        vanished = [x for x, matrix in result.items() if matrix.size and not matrix[:1].any() and not matrix.any()]
        if not vanished or "diagonal" not in self.graphs:
            return
        integrals = [x for x in self._graph.nodes if kernel_op(x).integral and not kernel_op(x).derivative]
        below = replace(self._graph, outputs=tuple(Output(x.name, x.name) for x in integrals[-1:])).live
        node = self._search(below, x[:1], lambda x: not x.any())
        if node is not None and node.name not in self._known_numbers and self._shrinks(node):
            smallest = float(np.finfo(x.dtype).tiny)
            kernels = " and ".join(vanished) + (" kernels are" if len(vanished) > 1 else " kernel is")
            where = f" ({node.location})" if node.location else ""
            warnings.warn(
                f"the {kernels} zero everywhere: at %{node.name}{where} variances are below {smallest:.2g}; a larger"
                " w_std or b_std keeps them",
                VanishingWarning,
                stacklevel=4,
            )


def _rows(x: Array) -> Array:
    """(n, ...) as (n, entries), also without examples."""
    return x.reshape(len(x), prod(x.shape[1:]))


def limited(graph: Graph) -> dict[str, Elementwise]:
    """The nonlinearities of a kernel graph whose integrals are infinite from some variance on, by the name of the
    integral."""
    return {
        node.name: node.op.phi
        for node in graph.nodes
        if isinstance(node.op, Dual | DualDot) and isinstance(node.op.phi, Elementwise)
        if np.isfinite(node.op.phi.largest_variance)
    }


def _tracked(values: Array) -> Array:
    """Those of positions with themselves, which every type tracks: (n, H, H', W, W', ...) to (n, H, W, ...)."""
    for axis in range(1, 1 + (values.ndim - 1) // 2):
        values = np.moveaxis(np.diagonal(values, 0, axis, axis + 1), -1, axis)
    return values
