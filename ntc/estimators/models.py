"""What estimators take for a model, and its programs."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from ntc.backends.jax.inputs import edges_of
from ntc.backends.jax.program import Program
from ntc.compiler import build
from ntc.errors import InputError, NtcError
from ntc.frontend import nn
from ntc.frontend.elaborate import load_graph, read_graph
from ntc.frontend.layers import Layer, Network
from ntc.ir.graph import Graph
from ntc.ir.types import Kernel

_ROOT = math.sqrt(2)
DEFAULT = nn.serial(
    *(nn.dense(512, nn.hyper(_ROOT, "w_std"), nn.hyper(1.0, "b_std")), nn.relu()),
    *(nn.dense(512, _ROOT, nn.hyper(1.0, "b_std")), nn.relu()),
    nn.dense(1),
)
"""Two hidden layers with ReLU. Of all scales two are left free that are not that of the output: that of the input, and
that of the biases beside it."""


def graph_of(model: Any, features: int) -> Graph:
    """The tensor graph of what was given as `model`, for (n, features). Raises what reading it raises, InputError."""
    model = DEFAULT if model is None else model
    if isinstance(model, Layer):
        return (nn.input(features) >> model).graph()
    if isinstance(model, Network):
        return model.graph()
    if isinstance(model, Graph):
        return model
    if isinstance(model, Path) or (isinstance(model, str) and model.endswith(".nt")):
        return load_graph(model)
    if isinstance(model, str):
        return read_graph(model)
    raise InputError(f"model should be text, a path, a graph, a network or layers, got {type(model).__name__}")


@lru_cache(maxsize=32)
def program_of(graph: Graph, kernels: tuple[Kernel, ...], dtype: Literal["float32", "float64"]) -> Program:
    """Programs are shared: what is compiled for one estimator is there for its clones."""
    return build(graph, kernels=kernels, dtype=dtype)


def hypers_of(model: Any) -> dict[str, float]:
    """Hyperparameters of a model by name, as written in it; none of one that cannot be read."""
    try:
        return {name: hyper.value for name, hyper in graph_of(model, 1).hypers.items()}
    except (NtcError, OSError):
        return {}


def pattern_shape(program: Program) -> tuple[int, int] | None:
    """The shape (vertices, outputs) of the pattern of one example, if the model aggregates."""
    spatial = program.network.tensor_of(program.inputs[0]).spatial
    rule = edges_of(program.network, spatial)
    return None if rule is None else (rule.size(spatial), rule.columns(spatial))


def input_shape(program: Program, features: int) -> tuple[int, ...]:
    """The shape of one input, of as many numbers as features, but for those of its pattern. Raises InputError."""
    if len(program.inputs) != 1:
        raise InputError(f"the model of an estimator should have one input, got {len(program.inputs)}")
    type_ = program.network.inputs[0].type
    shape = (*type_.spatial, type_.channels)  # type: ignore[union-attr]
    pattern = pattern_shape(program)
    count = math.prod(shape) + (math.prod(pattern) if pattern else 0)
    if count != features:
        own = f"{'x'.join(map(str, shape))} of the model has {math.prod(shape)} numbers"
        edges = f" and its pattern {math.prod(pattern)}" if pattern else ""
        raise InputError(
            f"the input {own}{edges}, X has {features} features",
            hint="layers of the builder without an input take their size from the data",
        )
    return shape
