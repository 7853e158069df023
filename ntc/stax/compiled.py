"""A part of a network as a program for the shapes of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ntc.backends.jax.concrete import is_staged, is_traced
from ntc.backends.jax.program import Program
from ntc.backends.jax.result import Kernels
from ntc.compiler import build
from ntc.errors import InputError, UnsupportedError
from ntc.ir.build import TensorGraphBuilder
from ntc.ir.graph import RESULT, Graph, tensor_op
from ntc.ir.ops import Aggregate
from ntc.ir.types import Target
from ntc.stax.facts import facts
from ntc.stax.layout import Axes, Layout, in_order, input_names
from ntc.stax.masked import mask_of
from ntc.stax.part import Part, Tensor, Value, kept, layouts, singles
from ntc.stax.patterns import adjacent, vertices

Shapes = Any
"""The shape of an array, whatever its number of examples; or a tuple of Shapes."""

Precision = Literal["float32", "float64"]


@dataclass(frozen=True)
class Compiled:
    """A program, and how what users give becomes what it takes.

    Attributes:
      program: for the graph of the part.
      layout: of the input, or a tuple of these.
      results: the names of the results in the program, nested as the results are.
      adjacency: makes what the program takes of a pattern of so many examples.
      facts: of the results, nested as they are.
      kept: slices of the examples that are given, one of another.
    """

    program: Program
    layout: Any
    results: Any
    adjacency: Callable[[Any, int], Any]
    facts: Any
    kept: tuple[slice, ...]

    @classmethod
    def of(cls, part: Part, shapes: Shapes, mask: float | None, axes: Axes, **options: Any) -> Compiled:
        """`axes` are those of the inputs where no layer says; `options` are those of `ntc.build`.

        Raises NtcError where the network does not fit the inputs.
        """
        layout = layouts(shapes, part.placed or axes)
        builder, result = _written(part, shapes, layout, mask)
        graph, results = finished(builder, result)
        program = build(graph, target=default_target(), **options)
        return cls(program, layout, results, _adjacency(part, graph), facts(builder, result, results), kept(result))

    def __call__(self, x1: Any, x2: Any, pattern: tuple[Any, Any] | None, hyper: Mapping[str, Any]) -> Any:
        """`Kernels`, or a nested tuple of them for a network of several results."""
        first, second = pattern or (None, None)
        graphs = {"pattern1": self._graphs(x1, first), "pattern2": None if x2 is None else self._graphs(x2, second)}
        kernels = self.program(self._packed(x1), None if x2 is None else self._packed(x2), hyper=hyper, **graphs)
        return self._nested(kernels, self.results)

    def variances(self, x: Any, pattern: Any, hyper: Mapping[str, Any]) -> Any:
        """NNGP kernels of each example with itself, nested as the results are."""
        packed, graphs = self._packed(x), self._graphs(x, pattern)
        if not (is_staged() or is_traced((packed, graphs, hyper))):
            return self._nested(self.program.diagonal(packed, pattern=graphs, hyper=hyper), self.results, "nngp")

        def one(example: Any, graph: Any) -> Any:
            alone, own = jax.tree.map(lambda array: array[None], (example, graph))
            found = self.program(alone, hyper=hyper, pattern1=own)
            return jax.tree.map(lambda matrix: matrix[0, 0], self._nested(found, self.results, "nngp"))

        return jax.vmap(one)(packed, graphs)

    def kernels(self, x1: Any, x2: Any, pattern: tuple[Any, Any] | None, hyper: Mapping[str, Any]) -> Any:
        """A Kernel with all fields, or a nested tuple of them for a network of several results."""
        found = self(x1, x2, pattern, hyper)
        if x2 is None:
            return _nested_kernels(self.facts, found, None, None)
        first, second = pattern or (None, None)
        own = [self.variances(x, graphs, hyper) for x, graphs in ((x1, first), (x2, second))]
        return _nested_kernels(self.facts, found, *own)

    def _graphs(self, x: Any, pattern: Any) -> Any:
        """The pattern of the examples as the program takes it."""
        given = in_order(x, self.layout)[0]
        graphs = self.adjacency(pattern, given.shape[0])
        return graphs if graphs is None or graphs.shape[0] != given.shape[0] else self._examples(graphs)

    def _packed(self, x: Any) -> Any:
        """What the program takes: one array in standard order, or a tuple of them."""
        arrays = list(map(self._examples, in_order(x, self.layout)))
        return arrays[0] if len(arrays) == 1 else tuple(arrays)

    def _examples(self, x: Any) -> Any:
        """Those of an array that the network keeps."""
        return reduce(lambda array, part: array[part], self.kept, x)

    def _nested(self, kernels: Kernels, results: Any, kernel: str | None = None) -> Any:
        """Kernels, or one of them, of every result."""
        if isinstance(results, tuple):
            return tuple(self._nested(kernels, one, kernel) for one in results)
        found = kernels if results == RESULT else kernels.outputs[results]
        return found if kernel is None else getattr(found, kernel)


def _nested_kernels(facts_: Any, found: Any, cov1: Any, cov2: Any) -> Any:
    """A Kernel of every result; without cov1, x2 is x1."""
    if isinstance(facts_, tuple):
        several = [own or (None,) * len(facts_) for own in (cov1, cov2)]
        return tuple(_nested_kernels(*each) for each in zip(facts_, found, *several, strict=True))
    own = jnp.einsum("nn...->n...", found.nngp) if cov1 is None else cov1
    return facts_.kernel(found.nngp, found.ntk, own, cov2)


def network(part: Part, shapes: Shapes, layout: Any, mask: float | None = None) -> tuple[Graph, Any]:
    """The tensor graph of the part on inputs of these shapes, and its results by name, nested as the part nests them.

    Raises NtcError where the inputs do not fit.
    """
    return finished(*_written(part, shapes, layout, mask))


def _written(part: Part, shapes: Shapes, layout: Any, mask: float | None) -> tuple[TensorGraphBuilder, Value]:
    """The graph of the part, and its result there."""
    sizes = [own.standard(tuple(shape))[1:] for shape, own in _pairs(shapes, layout)]
    names = input_names(len(sizes))
    builder = TensorGraphBuilder(sizes[0][:-1], sizes[0][-1], None, names[0])
    entered = [builder.add_input(size[:-1], size[-1], None, name) for size, name in zip(sizes, names, strict=True)]
    if mask is not None:
        op = mask_of(mask)
        entered = [builder.append(op, [name]) for name in entered]
    return builder, part.write(builder, _filled(layout, iter(entered)))


def finished(builder: TensorGraphBuilder, result: Value) -> tuple[Graph, Any]:
    """The graph that returns the values of the result, and what it calls them, nested as they are."""
    values = _values(result)
    labels = [f"result{number}" for number in range(len(values) - 1)]
    for label, value in zip(labels, values, strict=False):
        builder.name_output(label, value)
    return builder.finish("network", values[-1]), _relabelled(result, iter([*labels, RESULT]))


def precision() -> Precision:
    """That of kernels: float64 wherever JAX has it enabled, whatever the type of the inputs, else float32."""
    return "float64" if jax.dtypes.canonicalize_dtype(np.float64) == np.float64 else "float32"


def shapes_of(x: Any) -> Shapes:
    """The shape of an array, or of all arrays in a tuple. Raises InputError for what is neither."""
    if isinstance(x, tuple | list):
        return tuple(map(shapes_of, x))
    shape = getattr(x, "shape", None)
    if shape is None:
        raise InputError(f"x1 should be an array, or a tuple of arrays, got {type(x).__name__}")
    return tuple(shape)


def without_examples(shapes: Shapes, layout: Any) -> Shapes:
    """The shapes with 1 in the place of the number of examples."""
    if isinstance(layout, tuple):
        return tuple(map(without_examples, shapes, layout))
    return tuple(1 if axis == layout.batch else size for axis, size in enumerate(shapes))


def _adjacency(part: Part, graph: Graph) -> Callable[[Any, int], Any]:
    """What makes adjacency matrices of a pattern, which a network without `Aggregate` does not read.

    Raises UnsupportedError if layers take different patterns.
    """
    found = list({single.dense for single in singles(part) if single.dense is not None})
    ops = [op for op in map(tensor_op, graph.nodes) if isinstance(op, Aggregate)]
    if not ops:
        return lambda pattern, count: None
    spatial = graph.tensor_of(graph.inputs[0].name).spatial
    sizes = vertices(ops[0], spatial)
    if len(found) > 1:
        raise UnsupportedError("layers that take patterns of different kinds")
    return lambda pattern, count: adjacent(found[0](pattern, sizes), ops[0], spatial, count)


def _pairs(shapes: Shapes, layout: Any) -> list[tuple[Any, Layout]]:
    if isinstance(layout, tuple):
        return [pair for each in zip(shapes, layout, strict=True) for pair in _pairs(*each)]
    return [(shapes, layout)]


def _filled(layout: Any, names: Iterator[str]) -> Value:
    if isinstance(layout, tuple):
        return tuple(_filled(own, names) for own in layout)
    return Tensor(next(names), layout)


def _values(result: Value) -> list[str]:
    """Names of the values of a result."""
    return [name for one in result for name in _values(one)] if isinstance(result, tuple) else [result.name]


def _relabelled(result: Value, labels: Iterator[str]) -> Any:
    """The labels, nested as the values are."""
    return tuple(_relabelled(one, labels) for one in result) if isinstance(result, tuple) else next(labels)


def default_target() -> Target:
    """That of the devices which JAX uses by default."""
    return {"gpu": "cuda", "tpu": "tpu"}.get(jax.default_backend(), "cpu")  # type: ignore[return-value]
