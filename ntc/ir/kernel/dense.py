"""Helpers on dense arrays (*batch, H, H', W, W', ...) for the NumPy reference."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ntc.ir.op import Array
from ntc.ir.sliding import Sliding
from ntc.ir.types import CovarianceType, Spatial


def diagonal(x: Array, batch_axes: int) -> Array:
    """The entries with p' = p: (*batch, H, W, ...)."""
    axis = batch_axes
    while axis < x.ndim:
        x = np.moveaxis(np.diagonal(x, axis1=axis, axis2=axis + 1), -1, axis)
        axis += 1
    return x


def spread_variance(result: CovarianceType, v1: Array, v2: Array) -> tuple[Array, Array]:
    """v1[n, p] and v2[m, p'], shaped to broadcast against a covariance of type `result`."""
    first, second = diagonal(v1, 1), diagonal(v2, 1)
    axes = tuple(range(1, first.ndim))
    lead = (slice(None),) + (None,) * (len(result.batch) - 1)
    first = np.expand_dims(first, tuple(2 * a for a in axes))[lead]
    tail = (None,) * (len(result.batch) - 1) + (slice(None),)
    second = np.expand_dims(second, tuple(2 * a - 1 for a in axes))[tail]
    return first, second


def on_diagonal(type_: CovarianceType) -> npt.NDArray[np.bool_]:
    """Where p' = p, (H, H', W, W', ...)."""
    mask = np.array(True)
    for size in type_.spatial:
        mask = mask[..., None, None] & np.eye(size, dtype=bool)
    return mask


def turned(type_: CovarianceType, x: Array, v1: Array, v2: Array) -> Array:
    """K of a value in the distance form, or the distance form of K, of variances `spread_variance`."""
    return np.where(on_diagonal(type_), (v1 + v2) / 2 - x, -x)


def bias(type_: CovarianceType, b_std: float) -> Array:
    """What a bias adds to every entry of the type: b_std^2 to K, nothing to a distance."""
    if type_.form == "covariance":
        return np.array(b_std**2)
    return np.where(on_diagonal(type_), 0.0, -(b_std**2))


def tap(x: Array, axis: int, geometry: Sliding, number: int) -> Array:
    """What tap `number` of a filter along array axis `axis` reads, zero outside."""
    positions, inside = geometry.sources(number)
    read = np.take(x, np.where(inside, positions, 0), axis)
    shape = [1] * x.ndim
    shape[axis] = inside.size
    return np.where(inside.reshape(shape), read, 0.0)


def spread_positions(x: Array, axis: int, spatial: Spatial) -> Array:
    """x[p, p'] of one spatial axis, shaped to broadcast against (H, H', W, W', ...)."""
    shape = [1] * (2 * len(spatial))
    shape[2 * axis : 2 * axis + 2] = x.shape
    return x.reshape(shape)
