"""The finite network of a tensor graph: random parameters and the forward pass. One row per tensor op."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax

from ntc.backends.jax.finite import activations, affine, attention, joins, linear, normalize
from ntc.errors import InputError
from ntc.ir.graph import Graph, Node, tensor_op

Params = dict[str, dict[str, jax.Array]]
"""Arrays by layer and by name: `params["conv1"]["w"]`."""

FORWARD: Mapping[type[Any], Callable[..., jax.Array]] = {
    **affine.ROWS,
    **activations.ROWS,
    **linear.ROWS,
    **joins.ROWS,
    **normalize.ROWS,
    **attention.ROWS,
}
"""(op, scaled weights, inputs) to output, by the class of the op or one it inherits from. Ops that draw random numbers
take a key as well."""


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


def apply(graph: Graph, params: Params, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
    """The output of the network on a batch x of shape (N, *spatial, channels).

    `key` is what layers draw random numbers from: dropout in train mode. Raises InputError.
    """
    expected = graph.tensor_of(graph.inputs[0].name)
    if x.shape[1:] != (*expected.spatial, expected.channels):
        raise InputError(f"the network takes {expected}, got shape {x.shape}")
    values = {graph.inputs[0].name: x}
    for index, node in enumerate(graph.nodes):
        op = tensor_op(node)
        weights = op.weights(graph.tensor_of(node.operands[0]))
        scaled = {name: weight.multiplier * params[node.name][name] for name, weight in weights.items()}
        row = next(FORWARD[cls] for cls in type(op).__mro__ if cls in FORWARD)
        if op.draws:
            row = partial(row, key=_key_of(node, index, key))
        values[node.name] = row(op, scaled, *(values[operand] for operand in node.operands))
    return values[graph.outputs[0].value]


def _key_of(node: Node, index: int, key: jax.Array | None) -> jax.Array:
    if key is None:
        raise InputError(f"%{node.name} draws random numbers: apply needs a key", hint="apply(params, x, key)")
    return jax.random.fold_in(key, index)
