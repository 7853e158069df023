"""Kernels that are not finite, or zero everywhere, are not written in silence."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from ntc.errors import NonFiniteError, VanishingWarning

Allow = Annotated[
    bool, typer.Option("--allow-nonfinite", help="Write kernels that are not finite, or zero, with a note.")
]
_HINT = "--allow-nonfinite writes them all the same"


@contextmanager
def watched(allow: bool) -> Iterator[None]:
    """What a program says of kernels that vanish or overflow is an error, or if that is allowed a note."""
    from ntc.backends.jax.run.nonfinite import allowed

    if allow:
        with allowed():
            yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error", VanishingWarning)
        try:
            yield
        except VanishingWarning as warning:
            raise NonFiniteError(str(warning), hint=_HINT) from None
        except NonFiniteError as error:
            error.notes += (_HINT,)
            raise


def check(matrices: Mapping[str, npt.NDArray[Any]], allow: bool) -> None:
    """Raises NonFiniteError for matrices with entries that are not finite, which are then those of examples that are
    not: anything else the program has noticed."""
    for label, matrix in matrices.items():
        bad = np.argwhere(~np.isfinite(matrix))
        if len(bad) and not allow:
            i, j = (int(x) for x in bad[0][:2])
            message = f"the {label} kernel of examples {i} and {j} is not finite, as their numbers are not"
            raise NonFiniteError(message, hint=_HINT)
