"""A kernel graph as a JAX function: one row per kernel op."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from operator import add, mul
from typing import Any

import jax
import jax.numpy as jnp

from ntc.backends.jax.duals import integrals
from ntc.backends.jax.layout import (
    Operand,
    along,
    array_axes,
    diagonal,
    index_along,
    narrowed,
    positionwise,
    same_entry,
    spread,
    sum_taps,
)
from ntc.errors import UnsupportedError
from ntc.ir import kernel
from ntc.ir.graph import Graph, kernel_op
from ntc.ir.offsets import Offsets
from ntc.ir.op import KernelOp
from ntc.ir.types import CovarianceType

Outputs = dict[str, jax.Array]


def emit(graph: Graph) -> Callable[..., Outputs]:
    """The function (x1, x2) -> outputs by label that computes a kernel graph, to be traced by `jax.jit`.

    Outputs are (n1, n2, H, H', W, W', ...). Raises UnsupportedError if a value tracks offsets other than
    the diagonal or all.
    """
    _check_layouts(graph)

    def function(*arrays: jax.Array) -> Outputs:
        values = {x.name: Operand(array, x.type) for x, array in zip(graph.inputs, arrays, strict=True)}
        batch = {x.type.batch: array.shape[0] for x, array in zip(graph.inputs, arrays, strict=True)}  # type: ignore[union-attr]
        for node in graph.nodes:
            type_ = graph.covariance_of(node.name)
            operands = [values[x] for x in node.operands]
            with jax.named_scope(f"ntc.{node.name}"):
                values[node.name] = Operand(_emit_op(kernel_op(node), type_, operands), type_)
        return {x.label: _dense(values[x.value], batch) for x in graph.outputs}

    return function


def _emit_op(op: KernelOp, result: CovarianceType, operands: list[Operand]) -> jax.Array:
    return EMITTERS[type(op)](op, result, operands)


def _check_layouts(graph: Graph) -> None:
    for node in graph.nodes:
        type_ = graph.covariance_of(node.name)
        for size, offsets in zip(type_.spatial, type_.offsets, strict=True):
            if not offsets.diagonal and offsets != Offsets.full(size):
                raise UnsupportedError(f"%{node.name}: the jax backend has no layout for {type_} yet", node.location)


def _dense(value: Operand, batch: Mapping[Any, int]) -> jax.Array:
    """An output as the caller sees it: batch axes first, both axes of every spatial axis, also of size one."""
    type_ = value.covariance
    examples = tuple(batch[name] for name in type_.batch)
    x = jnp.broadcast_to(value.array, (*type_.axes, *examples))
    x = jnp.moveaxis(x, range(-len(examples), 0), range(len(examples)))
    return x.reshape(*examples, *(n for size in type_.spatial for n in (size, size)))


def _gram(op: Any, result: CovarianceType, operands: list[Operand]) -> jax.Array:
    letters = iter("abcdef")
    first, second, output = "n", "n" if len(result.batch) == 1 else "m", ""
    for offsets in result.offsets:
        p = next(letters)
        q = p if offsets.diagonal else next(letters)
        first, second = first + p, second + q
        output += p if p == q else p + q
    output += "nm"[: len(result.batch)]
    x1, x2 = operands[0].array, operands[-1].array
    products = jnp.einsum(f"{first}z,{second}z->{output}", x1, x2, precision=jax.lax.Precision.HIGHEST)
    return products / x1.shape[-1]


def _constant(op: Any, result: CovarianceType, operands: list[Operand]) -> jax.Array:
    dtype = jnp.float32 if result.dtype == "f32" else jnp.float64
    return jnp.full((1,) * (len(result.batch) + len(result.axes)), op.value, dtype)


def _affine(op: Any, result: CovarianceType, operands: list[Operand]) -> jax.Array:
    return _scale_shift(operands[0].array, op.w_std**2, op.b_std**2)


def _scale_shift(x: jax.Array, scale: float, shift: float) -> jax.Array:
    x = x if scale == 1 else scale * x
    return x if shift == 0 else x + shift


def _add(op: Any, result: CovarianceType, operands: list[Operand]) -> jax.Array:
    weights = op.weights or (1.0,) * len(operands)
    terms = [_scale_shift(x, w, 0) for w, x in zip(weights, _aligned(result, operands), strict=True)]
    return reduce(add, terms)


def _mul(op: Any, result: CovarianceType, operands: list[Operand]) -> jax.Array:
    return reduce(mul, _aligned(result, operands))


def _aligned(result: CovarianceType, operands: list[Operand]) -> list[jax.Array]:
    return [narrowed(x, result).array for x in operands]


def _integral(op: Any, result: CovarianceType, operands: list[Operand]) -> jax.Array:
    k, first, second = operands
    v1, v2 = positionwise(first), positionwise(second)
    array = narrowed(k, result).array
    same = same_entry(result, array) if first is second else None
    dual, dual_dot = integrals(op.phi)
    function = dual if isinstance(op, kernel.Dual) else dual_dot
    return function(op.phi, array, spread(v1, result, False), spread(v2, result, True), same)


def _window(op: Any, result: CovarianceType, operands: list[Operand]) -> jax.Array:
    k = narrowed(operands[0], result)
    x = k.array
    for axes, geometry in zip(array_axes(k.covariance), op.axes(k.type), strict=True):
        x = sum_taps(x, axes, geometry)
    return _scale_shift(x, op.w_std**2 / op.taps, op.b_std**2)


def _window2(op: Any, result: CovarianceType, operands: list[Operand]) -> jax.Array:
    x = operands[0].array
    axes = array_axes(operands[0].covariance)
    geometries = op.axes(operands[0].type)
    for own, geometry, offsets in reversed(list(zip(axes, geometries, result.offsets, strict=True))):
        once = len(own) == 1 and geometry.size > 1  # then the window is 1, and p' = p
        for axis in (own[0],) if once else (own[0], own[-1]):
            x = sum_taps(x, (axis,), geometry)
            x = x / along(op.divisor(geometry).astype(x.dtype), x.ndim, axis)
        if len(own) == 2 and offsets.diagonal:
            x = diagonal(x, *own)
    return x


def _reduce(op: Any, result: CovarianceType, operands: list[Operand]) -> jax.Array:
    (k,) = operands
    x = positionwise(k) if op.reduction == "trace" else k.array
    axes = tuple(range(x.ndim - len(result.batch)))
    return x.sum(axes) if op.reduction == "sum" else x.mean(axes)


def _select(op: Any, result: CovarianceType, operands: list[Operand]) -> jax.Array:
    return positionwise(operands[0])[op.position]


def _mirror(op: Any, result: CovarianceType, operands: list[Operand]) -> jax.Array:
    """Entry (n, p; m, p') with (n, p) after (m, p') in order takes the value of (m, p'; n, p)."""
    x = operands[0].array
    pairs = [(x.ndim - 2, x.ndim - 1), *(axes for axes in array_axes(result) if len(axes) == 2)]
    row = column = jnp.zeros((), jnp.int32)
    transposed = x
    for first, second in pairs:
        row = row * x.shape[first] + index_along(x, first)
        column = column * x.shape[second] + index_along(x, second)
        transposed = jnp.swapaxes(transposed, first, second)
    return jnp.where(row <= column, x, transposed)


EMITTERS: Mapping[type[KernelOp], Callable[[Any, CovarianceType, list[Operand]], jax.Array]] = {
    kernel.Gram: _gram,
    kernel.Constant: _constant,
    kernel.Affine: _affine,
    kernel.Add: _add,
    kernel.Mul: _mul,
    kernel.Dual: _integral,
    kernel.DualDot: _integral,
    kernel.Window: _window,
    kernel.Window2: _window2,
    kernel.Reduce: _reduce,
    kernel.Select: _select,
    kernel.Mirror: _mirror,
}
