"""Where the entries of a covariance lie: per spatial axis p if diagonal, else p, p'; then the batch axes.

Examples are innermost, so that filters over positions read long contiguous rows: on a CPU, images are small
and batches are not, and the other order is several times slower.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from ntc.ir.offsets import DIAGONAL
from ntc.ir.sliding import Sliding
from ntc.ir.types import CovarianceType, Type


@dataclass(frozen=True)
class Operand:
    """A value of the kernel graph while its program is traced."""

    array: jax.Array
    type: Type

    @property
    def covariance(self) -> CovarianceType:
        """The type of a covariance."""
        assert isinstance(self.type, CovarianceType)
        return self.type


def array_axes(type_: CovarianceType) -> list[tuple[int, ...]]:
    """Per spatial axis, its array axes: (p,) or (p, p')."""
    axes, start = [], 0
    for offsets in type_.offsets:
        count = 1 if offsets.diagonal else 2
        axes.append(tuple(range(start, start + count)))
        start += count
    return axes


def positionwise(operand: Operand) -> jax.Array:
    """The entries with p' = p: (*spatial, *batch)."""
    return _select_diagonals(operand, operand.covariance.with_offsets((DIAGONAL,) * len(operand.covariance.spatial)))


def narrowed(operand: Operand, result: CovarianceType) -> Operand:
    """The operand without the entries of the axes of which `result` tracks the diagonal alone."""
    pairs = zip(operand.covariance.offsets, result.offsets, strict=True)
    type_ = operand.covariance.with_offsets(tuple(DIAGONAL if kept.diagonal else own for own, kept in pairs))
    return Operand(_select_diagonals(operand, type_), type_)


def _select_diagonals(operand: Operand, kept: CovarianceType) -> jax.Array:
    x = operand.array
    for axes, offsets in reversed(list(zip(array_axes(operand.covariance), kept.offsets, strict=True))):
        if offsets.diagonal and len(axes) == 2:
            x = diagonal(x, *axes)
    return x


def diagonal(x: jax.Array, first: int, second: int) -> jax.Array:
    """The entries with equal positions along two neighbouring axes, along the first."""
    return jnp.moveaxis(jnp.diagonal(x, axis1=first, axis2=second), -1, first)


def spread(values: jax.Array, result: CovarianceType, second: bool) -> jax.Array:
    """values[p, n] of the first example (or [p', m] of the second), to broadcast against `result`."""
    rank = len(result.batch) + sum(map(len, array_axes(result)))
    kept = [axes[-1] if second else axes[0] for axes in array_axes(result)]
    kept.append(rank - 1 if second else rank - len(result.batch))
    return jnp.expand_dims(values, tuple(i for i in range(rank) if i not in kept))


def same_entry(result: CovarianceType, array: jax.Array) -> jax.Array:
    """Mask of the entries (p, p, n, n) of a covariance of one input with itself."""
    pairs = [axes for axes in array_axes(result) if len(axes) == 2]
    if len(result.batch) == 2:
        pairs.append((array.ndim - 2, array.ndim - 1))
    mask = jnp.ones((1,) * array.ndim, bool)
    for first, second in pairs:
        mask &= index_along(array, first) == index_along(array, second)
    return mask


def index_along(array: jax.Array, axis: int) -> jax.Array:
    """The position along one axis, shaped to broadcast against `array`."""
    shape = tuple(n if i == axis else 1 for i, n in enumerate(array.shape))
    return lax.broadcasted_iota(jnp.int32, shape, axis)


def sum_taps(x: jax.Array, axes: tuple[int, ...], geometry: Sliding) -> jax.Array:
    """Sum over the taps of a filter that moves along all of `axes` at once."""
    x = _padded(x, axes, geometry)
    last = (geometry.outputs - 1) * geometry.stride + 1

    def read(tap: int) -> jax.Array:
        start, step = [0] * x.ndim, [1] * x.ndim
        stop = list(x.shape)
        for axis in axes:
            start[axis] = tap * geometry.dilation
            stop[axis] = start[axis] + last
            step[axis] = geometry.stride
        return lax.slice(x, start, stop, step)

    total = read(0)
    for tap in range(1, geometry.window):
        total = total + read(tap)
    return total


def _padded(x: jax.Array, axes: tuple[int, ...], geometry: Sliding) -> jax.Array:
    if not any(geometry.pads):
        return x
    widths = [geometry.pads if i in axes else (0, 0) for i in range(x.ndim)]
    return jnp.pad(x, widths, mode="wrap" if geometry.padding == "circular" else "constant")


def along(values: jax.typing.ArrayLike, rank: int, axis: int) -> jax.Array:
    """A vector along one axis of an array of this rank."""
    return jnp.expand_dims(jnp.asarray(values), tuple(i for i in range(rank) if i != axis))
