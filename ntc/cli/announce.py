"""What is said before a long computation, and the profile of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from ntc.cli.console import note
from ntc.cli.price import duration, size

if TYPE_CHECKING:
    from ntc.backends.jax.program import Program


_WIDE = ("float64", "longdouble", "float128", "int32", "int64", "uint32", "uint64")
"""Types with numbers that float32 rounds."""

Examples = npt.NDArray[Any] | dict[str, npt.NDArray[Any]]


def announce(program: Program, x1: Examples, x2: Examples | None) -> None:
    """Says on stderr where examples are computed with in less than their precision, and what a computation of more than
    a minute is predicted to take."""
    arrays = [array for x in (x1, x2) if x is not None for array in (x.values() if isinstance(x, dict) else [x])]
    if program.dtype == "f32" and any(array.dtype.name in _WIDE for array in arrays):
        name = next(array.dtype.name for array in arrays if array.dtype.name in _WIDE)
        text = f"{name} examples are computed with in float32; --dtype float64 keeps their digits"
        note(text)
    n1, n2 = count(x1), None if x2 is None else count(x2)
    if n1 == 0 or n2 == 0:
        return  # refused by the program, or nothing to compute
    if program.is_long(n1, n2):
        cost = program.cost(n1, n2)
        kind = "" if cost.measured else "; `ntc calibrate` would make that better"
        note(f"predicted: {duration(cost.seconds)}, {size(cost.memory)}{kind}")


def count(x: Examples) -> int:
    """How many examples there are, of an array (n, ...) or of several; 0 of a number."""
    first = next(iter(x.values())) if isinstance(x, dict) else x
    return len(first) if first.ndim else 0


@contextmanager
def profiled(directory: Path | None) -> Iterator[None]:
    """A JAX profiler trace of what is within, in a directory; None is no trace."""
    if directory is None:
        yield
        return
    import jax

    with jax.profiler.trace(str(directory)):
        yield
