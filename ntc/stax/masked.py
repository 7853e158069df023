"""Inputs of which some entries are missing, and kernels of them."""

from __future__ import annotations

from math import inf, isnan
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntc.backends.jax.inputs import is_missing
from ntc.backends.jax.known import is_traced
from ntc.errors import InputError, UnsupportedError
from ntc.ir.ops import Mask
from ntc.stax.layout import Layout


def mask_of(constant: float) -> Mask:
    """The op for entries of this value. Raises ParameterError for a number that is too large."""
    if isnan(constant):
        return Mask("nan")
    return Mask("inf" if constant == inf else float(constant))


def marked(constant: Any, x: Any, dtype: Any) -> tuple[float, Any]:
    """The mask constant as a number, and the arrays in x, whose missing entries have that value.

    For a constant that is traced, arrays become of type `dtype`, infinity marks what is missing, and what is infinite
    otherwise becomes NaN, so that it is no number in kernels either. Raises InputError for what is no number.
    """
    number = isinstance(constant, int | float | np.generic | np.ndarray | jax.Array)
    if not number or np.shape(constant) != ():
        raise InputError(f"mask_constant should be one number, got {constant!r:.60}")
    if not is_traced(constant):
        return float(constant), x
    return inf, jax.tree.map(lambda array: _with_infinity(jnp.asarray(array, dtype), constant), x)


def _with_infinity(x: Any, constant: Any) -> Any:
    """With infinity at entries of this value: what a known constant marks, see `ntc.ir.kernel.inputs.markers`."""
    single = jnp.asarray(constant, jnp.float32)
    missing = (x == jnp.asarray(constant, x.dtype)) | (x == single.astype(x.dtype)) | (jnp.isnan(x) & jnp.isnan(single))
    return jnp.where(missing, inf, jnp.where(jnp.isinf(x), jnp.nan, x))


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
    value = mask_of(constant).value
    return is_missing(value, x).all(-1, keepdims=True)
