"""Forward passes of convolutions that are not one sliding filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ntc.ir import ops
from ntc.ir.sliding import per_axis


def _conv_local(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    spatial = x.shape[1:-1]
    geometry, axes = op.geometry(spatial), "HWD"[: len(spatial)]
    pads = [axis.pads for axis in geometry]
    if op.padding == "circular":
        x, pads = jnp.pad(x, [(0, 0), *pads, (0, 0)], mode="wrap"), [(0, 0)] * len(pads)
    patches = lax.conv_general_dilated_patches(
        x,
        filter_shape=tuple(axis.window for axis in geometry),
        window_strides=tuple(axis.stride for axis in geometry),
        padding=pads,
        rhs_dilation=tuple(axis.dilation for axis in geometry),
        dimension_numbers=(f"N{axes}C", f"{axes}IO", f"N{axes}C"),
        precision=lax.Precision.HIGHEST,
    )
    y: jax.Array = jnp.einsum("n...i,...ij->n...j", patches, weights["w"], precision=lax.Precision.HIGHEST)
    return y + weights["b"] if op.bias else y


def _conv_transpose(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    spatial = x.shape[1:-1]
    axes, stride = "HWD"[: len(spatial)], per_axis("stride", op.stride, spatial)
    numbers = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
    if op.padding == "circular":
        y = _on_a_circle(op, stride, weights["w"], x, numbers)
    else:
        y = lax.conv_transpose(
            x,
            weights["w"],
            stride,
            op.padding.upper(),
            dimension_numbers=numbers,
            precision=lax.Precision.HIGHEST,
        )
    return y + weights["b"] if op.bias else y


def _on_a_circle(op: Any, stride: tuple[int, ...], w: jax.Array, x: jax.Array, numbers: Any) -> jax.Array:
    pads = op.pads(x.shape[1:-1])
    zeros = [(0, 0, 0), *((0, s - 1, s - 1) for s in stride), (0, 0, 0)]
    dilated = lax.pad(x, jnp.zeros((), x.dtype), zeros)
    wrapped = jnp.pad(dilated, [(0, 0), *zip(pads[::2], pads[1::2], strict=True), (0, 0)], mode="wrap")
    y: jax.Array = lax.conv_general_dilated(
        wrapped, w, (1,) * len(stride), "VALID", dimension_numbers=numbers, precision=lax.Precision.HIGHEST
    )
    return y


ROWS: Mapping[type[Any], Callable[..., jax.Array]] = {
    ops.ConvLocal: _conv_local,
    ops.ConvTranspose: _conv_transpose,
}
