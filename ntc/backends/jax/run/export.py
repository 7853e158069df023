"""Programs as StableHLO, for platforms that need not be present, with symbolic numbers of examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export

from ntc.backends.jax.emit.stages import emit
from ntc.backends.jax.precision import precision
from ntc.backends.jax.program import Program
from ntc.errors import ArtifactError
from ntc.ir.graph import Graph
from ntc.ir.types import ArrayType, Between, Target

Emitted = Callable[..., Mapping[str, jax.Array]]


def export(program: Program, between: Between) -> jax_export.Exported:
    """The program for one kind of pairs of examples, for any number of them, on its target."""
    graph = program.graphs[between]
    with precision(program.dtype):
        function = jax_export.export(jax.jit(emit(graph, program.target)), platforms=[program.target])
        return function(*_arguments(graph), **_hyper(graph))


def stablehlo(program: Program, between: Between) -> str:
    """The exported program as MLIR text."""
    return str(export(program, between).mlir_module())


def restore(serialized: bytes, graph: Graph, target: Target) -> Emitted:
    """The function of a serialised program, which must come from a source that is trusted.

    Raises ArtifactError if it is not a program for this target with the inputs of `graph`.
    """
    try:
        exported = jax_export.deserialize(bytearray(serialized))
    except Exception as error:  # whatever a damaged flatbuffer makes of the reader
        raise ArtifactError(f"the stored program cannot be read: {error}") from error
    expected = [(x.dtype, x.shape[1:]) for x in (*_arguments(graph), *_leaves(graph))]
    if [(x.dtype, x.shape[1:]) for x in exported.in_avals] != expected or target not in exported.platforms:
        raise ArtifactError("the stored program does not belong to the kernel graph beside it")
    return jax.jit(exported.call)


def _arguments(graph: Graph) -> list[jax.ShapeDtypeStruct]:
    types = [x.type for x in graph.inputs if isinstance(x.type, ArrayType)]
    names = jax_export.symbolic_shape(", ".join(x.batch.lower() for x in types))
    return [_argument(type_, size) for type_, size in zip(types, names, strict=True)]


def _hyper(graph: Graph) -> dict[str, dict[str, jax.ShapeDtypeStruct]]:
    """The argument `hyper`, if the graph has hyperparameters."""
    (dtype,) = {_dtype(x.type) for x in graph.inputs if isinstance(x.type, ArrayType)}
    scalars = {name: jax.ShapeDtypeStruct((), dtype) for name in graph.hypers}  # type: ignore[no-untyped-call]
    return {"hyper": scalars} if scalars else {}


def _leaves(graph: Graph) -> list[jax.ShapeDtypeStruct]:
    return jax.tree.leaves(_hyper(graph))


def _dtype(type_: ArrayType) -> Any:
    return jnp.float32 if type_.dtype == "f32" else jnp.float64


def _argument(type_: ArrayType, size: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((size, *type_.spatial, type_.channels), _dtype(type_))  # type: ignore[no-untyped-call]
