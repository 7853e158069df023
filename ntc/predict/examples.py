"""Examples with what belongs to them: which positions are missing, and which vertices have edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ntc.backends.jax.program import Program
from ntc.backends.jax.result import Kernels
from ntc.errors import InputError


@dataclass(frozen=True)
class Examples:
    """Inputs in place of an array, where a network has a mask or aggregates: `regress`, `Trained` and their `predict`
    take it, and cut it into batches.

    Attributes:
      x: (n, *spatial, channels).
      mask: true where a position is missing, (n, *spatial), as of `Program.__call__`.
      pattern: weighted adjacency matrices (n, vertices, vertices).

    Raises:
      InputError: they are not of as many examples.
    """

    x: npt.ArrayLike
    mask: npt.ArrayLike | None = None
    pattern: npt.ArrayLike | None = None

    def __post_init__(self) -> None:
        if self.plain:
            return
        counts = {name: len(np.asarray(value)) for name, value in vars(self).items() if value is not None}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name} of {count}" for name, count in counts.items())
            raise InputError(f"examples should all have what belongs to them, got {listed}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of x."""
        return np.asarray(self.x).shape

    @property
    def plain(self) -> bool:
        """Whether there is x alone."""
        return self.mask is None and self.pattern is None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Examples:
        mask, pattern = (None if value is None else np.asarray(value)[rows] for value in (self.mask, self.pattern))
        return Examples(np.asarray(self.x)[rows], mask, pattern)


def examples(x: Any) -> Examples:
    """An array as examples; what are examples stays as it is."""
    return x if isinstance(x, Examples) else Examples(x)


def kernels(program: Program, x1: Any, x2: Any = None, **keywords: Any) -> Kernels:
    """The program between arrays or `Examples`."""
    first, second = examples(x1), None if x2 is None else examples(x2)
    given: dict[str, Any] = {"mask1": first.mask, "pattern1": first.pattern}
    if second is not None:
        given |= {"mask2": second.mask, "pattern2": second.pattern}
    given = {name: value for name, value in given.items() if value is not None}
    return program(first.x, None if second is None else second.x, **given, **keywords)


def diagonal(program: Program, x: Any) -> Kernels:
    """The kernels of every example with itself."""
    found = examples(x)
    return program.diagonal(found.x, found.mask, found.pattern)
