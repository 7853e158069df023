"""Kernels of inputs of which some positions are missing."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ntc.errors import UnsupportedError
from ntc.stax.layout import Layout


def masked_kernels(kernels: Any, x1: Any, x2: Any, layout: Layout, constant: float) -> Any:
    """The Kernels with masks, which are those of the inputs, unless no positions are left.

    Raises UnsupportedError where a layer has moved positions.
    """
    if isinstance(kernels, tuple):
        return tuple(masked_kernels(one, x1, x2, layout, constant) for one in kernels)
    if len(kernels.shape1) == 2:
        return kernels
    masks: list[Any] = [None if x is None else _mask(layout.standard(jnp.asarray(x)), constant) for x in (x1, x2)]
    own = Layout.of(len(kernels.shape1), (kernels.batch_axis, kernels.channel_axis))
    if own.standard(kernels.shape1)[:-1] != masks[0].shape[:-1]:
        raise UnsupportedError(
            "a Kernel of masked inputs whose positions a layer has moved", hint='get=("nngp", "ntk") gives the matrices'
        )
    mask1, mask2 = (None if mask is None else own.stored(mask) for mask in masks)
    return kernels.replace(mask1=mask1, mask2=mask2)


def _mask(x: Any, constant: float) -> Any:
    """Which positions of an array in standard order have no channel."""
    missing = jnp.isnan(x) if constant != constant else x == constant
    return missing.all(-1, keepdims=True)
