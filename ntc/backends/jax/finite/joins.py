"""Forward passes of layers that join branches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from operator import add, mul
from typing import Any

import jax
import jax.numpy as jnp

from ntc.ir import ops


def _sum(op: Any, weights: Mapping[str, jax.Array], *xs: jax.Array) -> jax.Array:
    return reduce(add, xs)


def _product(op: Any, weights: Mapping[str, jax.Array], *xs: jax.Array) -> jax.Array:
    return reduce(mul, xs)


def _concat(op: Any, weights: Mapping[str, jax.Array], *xs: jax.Array) -> jax.Array:
    return jnp.concatenate(xs, axis=-1)


ROWS: Mapping[type[Any], Callable[..., jax.Array]] = {
    ops.Sum: _sum,
    ops.Product: _product,
    ops.Concat: _concat,
}
