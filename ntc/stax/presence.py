"""Which positions of values are there, from masks as users give them."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ntc.errors import InputError
from ntc.stax.layout import Layout

_FIRST, _SECOND = "abc", "xyz"
"""Spatial axes of the first and of the second value of a pair."""


def present(mask: Any, shape: tuple[int, ...], layout: Layout) -> Any:
    """True where a position (n, *spatial) has a channel that is there, by a mask, true where entries are missing.

    The mask broadcasts to `shape`; without it, all are there. Raises InputError for other masks.
    """
    if mask is None:
        return jnp.ones(layout.standard(shape)[:-1], bool)
    try:
        missing = jnp.broadcast_to(jnp.asarray(mask, bool), shape)
    except ValueError:
        raise InputError(f"a mask of shape {jnp.shape(mask)} is not one of values of shape {shape}") from None
    return ~layout.standard(missing).all(-1)


def both_present(first: Any, second: Any, examples: int, own_positions: bool = False, backwards: bool = False) -> Any:
    """True where both positions of a pair are there, as a covariance has its axes.

    Args:
      first, second: (n, *spatial) and (m, *spatial).
      examples: 2 for all pairs of examples, 1 for each with itself.
      own_positions: whether each position is with itself alone.
      backwards: whether spatial axes are in reverse order.
    """
    count = first.ndim - 1
    one, other = _FIRST[:count], (_FIRST if own_positions else _SECOND)[:count]
    axes = [x if own_positions else x + y for x, y in zip(one, other, strict=True)]
    pairs = "".join(axes[::-1] if backwards and not own_positions else axes)
    batch = "n" if examples == 1 else "m"
    out = f"n{pairs}" if examples == 1 else f"nm{pairs}"
    return jnp.einsum(f"n{one},{batch}{other}->{out}", first.astype(jnp.float32), second.astype(jnp.float32)) > 0
