"""The kernel of one network between all examples, block by block."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ntc.backends.jax.run.tiles_in_jit import joined, stacked
from ntc.errors import InputError

Kernel = Callable[[Any, Any, dict[str, Any]], Any]
"""Of some examples of x1 and of x2, and the keywords that go with them."""


def in_blocks(kernel: Kernel, x1: Any, x2: Any, keywords: dict[str, Any], size: int) -> Any:
    """The kernel of all examples, computed between `size` of x1 and as many of x2 at a time."""
    n1 = len(jax.tree.leaves(x1)[0])
    n2 = n1 if x2 is None else len(jax.tree.leaves(x2)[0])
    if not n1 or not n2:
        raise InputError("there are no examples")
    rows = {
        name: value[0] for name, value in keywords.items() if _is_of_examples(value, n1, None if x2 is None else n2)
    }
    columns = {name: rows[name] if x2 is None else keywords[name][1] for name in rows}
    noise = keywords.get("rng")
    # Of x1 with itself both sides of a block draw alike.
    same = {"rng": (noise, noise)} if x2 is None and noise is not None and not isinstance(noise, tuple) else {}
    sides = ((x1, rows), n1), ((x1 if x2 is None else x2, columns), n2)
    first, second = (jax.tree.map(partial(stacked, size=min(size, n)), x) for x, n in sides)

    def block(a: Any, b: Any) -> Any:
        return kernel(a[0], b[0], same | {name: (a[1][name], b[1][name]) for name in rows})

    found = lax.map(lambda a: lax.map(lambda b: block(a, b), second), first)
    return jax.tree.map(lambda k: joined(k)[:n1, :n2], found)


def _is_of_examples(value: Any, *counts: int | None) -> bool:
    """Whether it is a pair of arrays with a row for each example; of x1 alone, whatever the second is."""
    if not isinstance(value, tuple) or len(value) != 2:
        return False
    pairs = [(part, n) for part, n in zip(value, counts, strict=True) if n is not None]
    return all(hasattr(part, "shape") and part.shape[:1] == (n,) and not _is_key(part) for part, n in pairs)


def _is_key(x: Any) -> bool:
    return bool(jnp.issubdtype(x.dtype, jax.dtypes.prng_key)) or x.dtype == jnp.uint32
