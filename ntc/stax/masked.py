"""Inputs of which some entries are missing, and kernels of them."""

from __future__ import annotations

from math import inf, isnan
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntc.backends.jax.concrete import is_traced
from ntc.backends.jax.inputs import is_missing
from ntc.errors import InputError
from ntc.ir.ops import Mask
from ntc.stax.layout import in_order, input_names


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


def masked_kernels(kernels: Any, facts: Any, x1: Any, x2: Any, layout: Any, constant: float) -> Any:
    """The Kernels with masks: those of the input, at the positions where layers have moved them.

    Of several inputs, each has its own.
    """
    if isinstance(kernels, tuple):
        return tuple(masked_kernels(*each, x1, x2, layout, constant) for each in zip(kernels, facts, strict=True))
    if facts.visible is None:
        return kernels
    first, second = (None if x is None else _all_present(x, layout, constant) for x in (x1, x2))
    return facts.masked(kernels, first, second)


def _all_present(x: Any, layout: Any, constant: float) -> dict[str, Any]:
    """Which positions of every input are there, by the names of inputs."""
    arrays = in_order(x, layout)
    return {name: _present(one, constant) for name, one in zip(input_names(len(arrays)), arrays, strict=True)}


def _present(x: Any, constant: float) -> Any:
    """Which positions of an array in standard order have a channel."""
    return ~is_missing(mask_of(constant).value, x).all(-1)
