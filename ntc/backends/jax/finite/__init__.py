"""The finite network of a tensor graph: random parameters and the forward pass. One row per tensor op."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy.typing as npt

from ntc.backends.jax import functions
from ntc.backends.jax.finite import (
    affine,
    attention,
    convolutions,
    finite_only,
    joins,
    learnt,
    linear,
    masking,
    normalize,
    positions,
)
from ntc.backends.jax.hyper import Values, bound, values_of
from ntc.backends.jax.inputs import Examples, Inputs
from ntc.errors import InputError
from ntc.ir.graph import RESULT, Graph, Node, tensor_op
from ntc.ir.op import Weight
from ntc.ir.ops import Aggregate

Params = dict[str, dict[str, jax.Array]]
"""Arrays by layer and by name: `params["conv1"]["w"]`."""

FORWARD: Mapping[type[Any], Callable[..., jax.Array]] = {
    **affine.ROWS,
    **functions.ROWS,
    **linear.ROWS,
    **joins.ROWS,
    **masking.ROWS,
    **convolutions.ROWS,
    **positions.ROWS,
    **normalize.ROWS,
    **learnt.ROWS,
    **finite_only.ROWS,
    **attention.ROWS,
}
"""(op, scaled weights, inputs) to output, by the class of the op or one it inherits from. Ops that draw random numbers
take a key as well."""


def init(graph: Graph, key: jax.Array, dtype: Any = None, hyper: Values | None = None) -> Params:
    """Random parameters. Weights and biases are Gaussian with the standard deviations of `TensorOp.weights`.

    `hyper` are values of hyperparameters, by name; those of layers in the standard parameterization are read here,
    those of others in the forward pass. Raises InputError.
    """
    params: Params = {}
    scales = values_of(graph.hypers, hyper, dtype)
    for index, node in enumerate(graph.nodes):
        weights = tensor_op(node).weights(graph.tensor_of(node.operands[0]))
        if weights:
            keys = jax.random.split(jax.random.fold_in(key, index), len(weights))
            params[node.name] = {
                name: _scale(weight, "init", scales) * jax.random.normal(k, weight.shape, dtype) + _mean(weight, scales)
                for k, (name, weight) in zip(keys, weights.items(), strict=True)
            }
    return params


def apply(
    graph: Graph,
    params: Params,
    x: Examples,
    key: jax.Array | None = None,
    pattern: npt.ArrayLike | None = None,
    dtype: Any = None,
    hyper: Values | None = None,
) -> jax.Array:
    """The output of the network on a batch x of shape (N, *spatial, channels), or one array for each of several inputs.

    `key` is what layers draw random numbers from: dropout in train mode. `pattern`, if layers aggregate, is
    (N, vertices, vertices). `dtype` is that of the arithmetic (default: of x). `hyper` are values of hyperparameters,
    by name. Raises InputError.
    """
    return apply_all(graph, params, x, key, pattern, dtype, hyper)[RESULT]


def apply_all(
    graph: Graph,
    params: Params,
    x: Examples,
    key: jax.Array | None = None,
    pattern: npt.ArrayLike | None = None,
    dtype: Any = None,
    hyper: Values | None = None,
) -> dict[str, jax.Array]:
    """All outputs of the network by name, of which the last, `y`, is that of `apply`."""
    with jax.numpy_rank_promotion("allow"):  # whatever callers ask of their own code
        return _all_outputs(graph, params, x, key, pattern, dtype, hyper)


def _all_outputs(
    graph: Graph, params: Params, x: Examples, key: Any, pattern: Any, dtype: Any, hyper: Values | None
) -> dict[str, jax.Array]:
    inputs = Inputs(graph, dtype or jnp.result_type(*jax.tree.leaves(x)), jnp)
    packed = inputs.packed("x", x, None, pattern)
    values = dict(inputs.arrays("x", x))
    scales = values_of(graph.hypers, hyper, inputs.dtype)
    masks: dict[str, masking.Mask] = dict.fromkeys(values)
    for index, node in enumerate(graph.nodes):
        op = tensor_op(node)
        weights = op.weights(graph.tensor_of(node.operands[0]))
        scaled = {name: _scale(weight, "apply", scales) * params[node.name][name] for name, weight in weights.items()}
        row = next(FORWARD[cls] for cls in type(op).__mro__ if cls in FORWARD)
        mask = masking.joined([masks[operand] for operand in node.operands])
        given: dict[str, Any] = {"mask": mask} if isinstance(op, masking.READ_MASK) else {}
        given |= {"packed": packed} if isinstance(op, Aggregate) else {}
        given |= {"key": _key_of(node, index, key)} if op.draws else {}
        y = row(bound(op, scales), scaled, *(values[operand] for operand in node.operands), **given)
        masks[node.name] = masking.moved(
            op, graph.tensor_of(node.operands[0]), values[node.operands[0]], mask, given.get("packed")
        )
        values[node.name] = masking.masked(op, y, masks[node.name])
    return {output.label: values[output.value] for output in graph.outputs}


def _scale(weight: Weight, read: str, hyper: Values) -> Any:
    """What an array is scaled by when it is drawn ("init"), or in the forward pass ("apply")."""
    constant = weight.std if read == "init" else weight.multiplier
    return constant * hyper[weight.hyper.name] if weight.hyper and weight.read == read else constant


def _mean(weight: Weight, hyper: Values) -> Any:
    """The mean of what an array is drawn from."""
    return weight.mean * hyper[weight.hyper.name] if weight.hyper and weight.read == "init" else weight.mean


def _key_of(node: Node, index: int, key: jax.Array | None) -> jax.Array:
    if key is None:
        raise InputError(f"%{node.name} draws random numbers: apply needs a key", hint="apply(params, x, key)")
    return jax.random.fold_in(key, index)
