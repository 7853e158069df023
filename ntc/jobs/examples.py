"""Examples as a job stores them: packed for the program, some at a time, whatever their number."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ntc.errors import InputError

if TYPE_CHECKING:
    from ntc.backends.jax.program import Program

_ROWS = 4096
"""Examples that are packed at a time."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Examples:
    """The first or second examples of a kernel matrix, which may be memory maps or zarr arrays.

    Attributes:
      name: x1 or x2.
      program: whose inputs they are.
      x, mask, pattern: those arguments of `Program.__call__`.
    """

    name: str
    program: Program
    x: Any
    mask: Any = None
    pattern: Any = None

    def __len__(self) -> int:
        """How many. Raises InputError where arrays differ in that, or there is no example."""
        parts = list(self.x.values()) if isinstance(self.x, Mapping) else [self.x]
        if self._several and not isinstance(self.x, Mapping):
            parts = list(self.x)
        counts = {np.shape(part)[0] if np.ndim(part) else 0 for part in parts}
        counts |= {np.shape(part)[0] for part in (self.mask, self.pattern) if part is not None and np.ndim(part)}
        if len(counts) != 1 or 0 in counts:
            shown = " and ".join(map(str, sorted(counts)))
            raise InputError(f"{self.name} should have 1 example or more, as many in every array, got {shown}")
        return int(counts.pop())

    def packed(self, index: slice | Array) -> Array:
        """Some of them as one array (n, ...). Raises InputError where they do not fit the program."""
        from ntc.backends.jax.inputs import Inputs

        dtype = np.float32 if self.program.dtype == "f32" else np.float64
        others = (None if part is None else _taken(part, index) for part in (self.mask, self.pattern))
        found: Array = Inputs(self.program.network, dtype).packed(self.name, self._some(index), *others)
        return found

    def checksums(self, counts: Sequence[int]) -> list[str]:
        """sha256 of the packed examples, of so many at a time one after another, and of any that are left."""
        ends, found, start = np.cumsum(counts).tolist(), [], 0
        for end in dict.fromkeys([*(min(x, len(self)) for x in ends), len(self)]):
            digest = hashlib.sha256()
            for first in range(start, end, _ROWS):
                packed = self.packed(slice(first, min(first + _ROWS, end)))
                digest.update(f"{packed.dtype.str}{packed.shape[1:]}".encode() if first == start else b"")
                digest.update(np.ascontiguousarray(packed).tobytes())
            found.append(digest.hexdigest())
            start = end
        return found

    def in_order(self, order: npt.NDArray[np.int64], start: int) -> Iterator[tuple[slice, Array]]:
        """Packed examples in an order (n,) from a place in it on, with the places where they go."""
        for first in range(start, len(order), _ROWS):
            span = slice(first, min(first + _ROWS, len(order)))
            yield span, self.packed(order[span])

    @property
    def _several(self) -> bool:
        return len(self.program.inputs) > 1

    def _some(self, index: slice | Array) -> Any:
        """Some examples of x, given as x is."""
        if isinstance(self.x, Mapping):
            return {name: _taken(part, index) for name, part in self.x.items()}
        return tuple(_taken(part, index) for part in self.x) if self._several else _taken(self.x, index)


def _taken(part: Any, index: slice | Array) -> Array:
    array = part if hasattr(part, "shape") else np.asarray(part)
    return np.asarray(array.oindex[index] if hasattr(array, "oindex") else array[index])  # zarr has its own
