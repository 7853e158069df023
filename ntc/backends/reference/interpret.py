"""Runs a kernel graph op by op on dense float64 arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ntc.errors import InputError
from ntc.ir.graph import Graph, kernel_op
from ntc.ir.op import Array
from ntc.ir.types import ArrayType, CovarianceType


def interpret(graph: Graph, *inputs: npt.ArrayLike, hyper: Mapping[str, float] | None = None) -> dict[str, Array]:
    """The outputs of a kernel graph by label, in float64 whatever its dtype.

    Arguments are arrays (batch, *spatial, channels), one per input. Results are (n1, n2, H, H', W, W', ...),
    or (n, H, H', ...) for a graph of marginals. `hyper` are values of hyperparameters, by name, where they are not
    those of the graph.

    Covariances are dense here even where the graph tracks less: entries that are not tracked are set to
    NaN, so that a graph that reads one of them gives NaN and never a number. Constants broadcast. What no output
    depends on is not computed: it may be of numbers that a mask hides.

    Raises InputError if the arrays do not fit.
    """
    graph = graph.with_hypers(hyper or {}).settled
    values: dict[str, Array] = dict(_bind(graph, inputs))
    batch = {type_.batch: values[name].shape[0] for name, type_ in _arrays(graph).items()}
    for node in graph.live:
        type_ = graph.covariance_of(node.name)
        result = kernel_op(node).reference(type_, *(values[x] for x in node.operands))
        shape = (*(batch[b] for b in type_.batch), *(n for size in type_.spatial for n in (size, size)))
        values[node.name] = np.where(_tracked(type_), np.broadcast_to(result, shape), np.nan)
    return {output.label: values[output.value] for output in graph.outputs}


def _arrays(graph: Graph) -> dict[str, ArrayType]:
    return {x.name: x.type for x in graph.inputs if isinstance(x.type, ArrayType)}


def _bind(graph: Graph, inputs: tuple[npt.ArrayLike, ...]) -> Mapping[str, Array]:
    types = _arrays(graph)
    if len(types) != len(inputs):
        raise InputError(f"the graph takes {len(types)} arrays, got {len(inputs)}")
    bound = {}
    for (name, type_), given in zip(types.items(), inputs, strict=True):
        array = np.asarray(given, np.float64)
        if array.shape[1:] != (*type_.spatial, type_.channels) or array.ndim == 0:
            raise InputError(f"%{name} should be {type_}, got shape {array.shape}")
        bound[name] = array
    return bound


def _tracked(type_: CovarianceType) -> npt.NDArray[np.bool_]:
    """Which entries (H, H', W, W', ...) exist."""
    tracked = np.array(True)
    for size, offsets in zip(type_.spatial, type_.offsets, strict=True):
        offset = np.arange(size)[None, :] - np.arange(size)[:, None]
        axis = (offset >= offsets.low) & (offset <= offsets.high) & ((offset - offsets.low) % offsets.step == 0)
        tracked = tracked[..., None, None] & axis
    return tracked
