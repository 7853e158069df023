"""Which implementation is fastest: measured on arrays of the shapes at hand, once for each set of shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import jax
import numpy as np

from ntc.finite.implementation import NtkImplementation

CANDIDATES = (
    NtkImplementation.STRUCTURED_DERIVATIVES,
    NtkImplementation.JACOBIAN_CONTRACTION,
    NtkImplementation.NTK_VECTOR_PRODUCTS,
)
REPEATS = 3


class Choice:
    """The fastest implementation for all shapes seen so far."""

    def __init__(self) -> None:
        self._known: dict[Any, NtkImplementation] = {}

    def of(
        self,
        computed: Callable[[NtkImplementation], Callable[..., Any]],
        arguments: tuple[Any, ...],
        keywords: Mapping[str, Any],
    ) -> NtkImplementation:
        """The fastest for arguments of these shapes: each candidate is compiled, then timed on ones.

        Keyword arguments are used as they are: inside `jax.jit` they should not be traced, or structured derivatives
        are chosen without a measurement.
        """
        if any(_is_traced(leaf) for leaf in jax.tree.leaves(keywords)):
            return CANDIDATES[0]
        leaves, structure = jax.tree.flatten((arguments, dict(keywords)))
        key = structure, tuple((np.shape(x), jax.dtypes.result_type(x)) for x in leaves)
        if key not in self._known:
            ones = jax.tree.map(lambda x: np.ones(np.shape(x), jax.dtypes.result_type(x)), arguments)
            times = {how: _time(jax.jit(computed(how)), ones) for how in CANDIDATES}
            self._known[key] = min(times, key=times.__getitem__)
        return self._known[key]


def _is_traced(x: Any) -> bool:
    if not isinstance(x, jax.Array):
        return False
    try:
        np.asarray(x)
    except jax.errors.TracerArrayConversionError:
        return True
    except TypeError:  # a new-style key, which is not an array of numbers
        return False
    return False


def _time(function: Any, arguments: tuple[Any, ...]) -> float:
    """The least seconds of a few runs, without compilation."""
    compiled = function.lower(*arguments).compile()
    times = []
    for _ in range(REPEATS + 1):
        start = perf_counter()
        jax.block_until_ready(compiled(*arguments))  # type: ignore[no-untyped-call]
        times.append(perf_counter() - start)
    return min(times)
