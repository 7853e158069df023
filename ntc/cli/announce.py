"""What is said before a long computation, and the profile of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from ntc.cli.console import stderr
from ntc.cli.price import duration, size

if TYPE_CHECKING:
    from ntc.backends.jax.program import Program


def announce(program: Program, x1: npt.NDArray[Any], x2: npt.NDArray[Any] | None) -> None:
    """Says on stderr what a computation of more than a minute is predicted to take."""
    if not (x1.ndim and len(x1)) or (x2 is not None and not (x2.ndim and len(x2))):
        return  # refused by the program, or nothing to compute
    n1, n2 = len(x1), None if x2 is None else len(x2)
    if program.is_long(n1, n2):
        cost = program.cost(n1, n2)
        kind = "" if cost.measured else "; `ntc calibrate` would make that better"
        stderr.print(f"predicted: {duration(cost.seconds)}, {size(cost.memory)}{kind}", markup=False, highlight=False)


@contextmanager
def profiled(directory: Path | None) -> Iterator[None]:
    """A JAX profiler trace of what is within, in a directory; None is no trace."""
    if directory is None:
        yield
        return
    import jax

    with jax.profiler.trace(str(directory)):
        yield
