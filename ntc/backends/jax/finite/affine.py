"""Forward passes of layers with weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ntc.ir import ops


def _dense(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    y: jax.Array
    if op.axis is not None:
        return _dense_along(op, weights, x)
    y = jnp.einsum("...i,ij->...j", x, weights["w"], precision=lax.Precision.HIGHEST)
    return y + weights["b"] if op.bias else y


def _dense_along(op: Any, weights: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    """Over positions along one axis, the same for all channels."""
    y = jnp.tensordot(x, weights["w"], (1 + op.axis, 0), precision=lax.Precision.HIGHEST)
    y = y + weights["b"] if op.bias else y
    return jnp.moveaxis(y, -1, 1 + op.axis)


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
        feature_group_count=op.parts(x.shape[-1]),
        dimension_numbers=(f"N{axes}C", f"{axes}IO", f"N{axes}C"),
        precision=lax.Precision.HIGHEST,
    )
    return y + weights["b"] if op.bias else y


ROWS: Mapping[type[Any], Callable[..., jax.Array]] = {
    ops.Dense: _dense,
    ops.Convolution: _conv,
}
