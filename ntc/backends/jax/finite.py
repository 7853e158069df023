"""The finite network of a tensor graph: random parameters and the forward pass. One row per tensor op."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from math import prod
from operator import add, mul
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.errors import InputError
from ntc.ir import ops
from ntc.ir.graph import Graph, tensor_op
from ntc.ir.ops.activation import PiecewiseLinear
from ntc.ir.sliding import Sliding

Params = dict[str, dict[str, jax.Array]]
"""Arrays by layer and by name: `params["conv1"]["w"]`."""


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


def _dense(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    y: jax.Array = jnp.einsum("...i,ij->...j", x, weights["w"], precision=lax.Precision.HIGHEST)
    return y + weights["b"] if op.bias else y


def _conv(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    spatial = x.shape[1:-1]
    geometry = op.geometry(spatial)
    if op.padding == "circular":
        x = jnp.pad(x, [(0, 0), *(axis.pads for axis in geometry), (0, 0)], mode="wrap")
    axes = "HWD"[: len(spatial)]
    y: jax.Array = lax.conv_general_dilated(
        x,
        weights["w"],
        window_strides=tuple(axis.stride for axis in geometry),
        padding="SAME" if op.padding == "same" else "VALID",
        rhs_dilation=tuple(axis.dilation for axis in geometry),
        dimension_numbers=(f"N{axes}C", f"{axes}IO", f"N{axes}C"),
        precision=lax.Precision.HIGHEST,
    )
    return y + weights["b"] if op.bias else y


def _piecewise_linear(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    below, above = op.slopes
    y: jax.Array = below * jnp.minimum(x, 0) + above * jnp.maximum(x, 0)
    return y


def _erf(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    y: jax.Array = op.a * lax.erf(op.b * x) + op.c
    return y


def _identity(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    return x


def _flatten(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    return x.reshape(x.shape[0], -1)


def _index(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    position = tuple(n // 2 for n in x.shape[1:-1]) if op.position == "center" else op.position
    return x[(slice(None), *position)]


def _avg_pool(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    total = _window_sum(op, x)
    if op.normalize_edges and op.padding == "same":
        return total / _window_sum(op, jnp.ones_like(x))
    return total / prod(axis.window for axis in _geometry(op, x))


def _sum_pool(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    return _window_sum(op, x)


def _window_sum(op: Any, x: jax.Array) -> jax.Array:
    axes = _geometry(op, x)
    pads = [(0, 0), *(axis.pads for axis in axes), (0, 0)]
    if op.padding == "circular":
        x, pads = jnp.pad(x, pads, mode="wrap"), [(0, 0)] * x.ndim
    window, stride = (1, *(axis.window for axis in axes), 1), (1, *(axis.stride for axis in axes), 1)
    zero = np.zeros((), x.dtype)  # not traced, or JAX would not see a sum and could not differentiate it
    total: jax.Array = lax.reduce_window(x, zero, lax.add, window, stride, pads)
    return total


def _geometry(op: Any, x: jax.Array) -> tuple[Sliding, ...]:
    spatial = x.shape[1:-1]
    geometry: tuple[Sliding, ...] = op.kernel_op(spatial).geometry(spatial)
    return geometry


def _global_avg_pool(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    return x.mean(tuple(range(1, x.ndim - 1)))


def _global_sum_pool(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    return x.sum(tuple(range(1, x.ndim - 1)))


def _sum(op: Any, weights: Mapping[str, jax.Array], *xs: jax.Array) -> jax.Array:
    return reduce(add, xs)


def _product(op: Any, weights: Mapping[str, jax.Array], *xs: jax.Array) -> jax.Array:
    return reduce(mul, xs)


def _concat(op: Any, weights: Mapping[str, jax.Array], *xs: jax.Array) -> jax.Array:
    return jnp.concatenate(xs, axis=-1)


FORWARD: Mapping[type[Any], Callable[..., jax.Array]] = {
    ops.Dense: _dense,
    ops.Conv: _conv,
    PiecewiseLinear: _piecewise_linear,
    ops.Erf: _erf,
    ops.Identity: _identity,
    ops.Flatten: _flatten,
    ops.Index: _index,
    ops.AvgPool: _avg_pool,
    ops.SumPool: _sum_pool,
    ops.GlobalAvgPool: _global_avg_pool,
    ops.GlobalSumPool: _global_sum_pool,
    ops.Sum: _sum,
    ops.Product: _product,
    ops.Concat: _concat,
}
