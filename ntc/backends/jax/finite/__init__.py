"""The finite network of a tensor graph: random parameters and the forward pass. One row per tensor op."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from ntc.backends.jax.finite import activations, affine, convolutions, joins, linear, positions
from ntc.errors import InputError
from ntc.ir.graph import Graph, tensor_op

Params = dict[str, dict[str, jax.Array]]
"""Arrays by layer and by name: `params["conv1"]["w"]`."""

FORWARD: Mapping[type[Any], Callable[..., jax.Array]] = {
    **affine.ROWS,
    **activations.ROWS,
    **linear.ROWS,
    **joins.ROWS,
    **convolutions.ROWS,
    **positions.ROWS,
}
"""(op, scaled weights, inputs) to output, by the class of the op or one it inherits from."""


def init(graph: Graph, key: jax.Array, dtype: Any = None) -> Params:
    """Random parameters. Weights and biases are Gaussian with the standard deviations of `TensorOp.weights`."""
    params: Params = {}
    for index, node in enumerate(graph.nodes):
        weights = tensor_op(node).weights(graph.tensor_of(node.operands[0]))
        if weights:
            keys = jax.random.split(jax.random.fold_in(key, index), len(weights))
            params[node.name] = {
                name: weight.std * jax.random.normal(k, weight.shape, dtype)
                for k, (name, weight) in zip(keys, weights.items(), strict=True)
            }
    return params


def apply(graph: Graph, params: Params, x: jax.Array) -> jax.Array:
    """The output of the network on a batch x of shape (N, *spatial, channels). Raises InputError."""
    expected = graph.tensor_of(graph.inputs[0].name)
    if x.shape[1:] != (*expected.spatial, expected.channels):
        raise InputError(f"the network takes {expected}, got shape {x.shape}")
    values = {graph.inputs[0].name: x}
    for node in graph.nodes:
        op = tensor_op(node)
        weights = op.weights(graph.tensor_of(node.operands[0]))
        scaled = {name: weight.multiplier * params[node.name][name] for name, weight in weights.items()}
        row = next(FORWARD[cls] for cls in type(op).__mro__ if cls in FORWARD)
        values[node.name] = row(op, scaled, *(values[operand] for operand in node.operands))
    return values[graph.outputs[0].value]
