"""Amounts of work by kind."""

from __future__ import annotations

from dataclasses import dataclass
from operator import add


@dataclass(frozen=True)
class Work:
    """Amounts of work.

    Attributes:
      additions: additions, products, comparisons of numbers in the cache.
      roots: square roots and quotients.
      transcendentals: exponentials, arcs, error functions.
      products: multiply-adds within products of matrices.
      loop_bytes: read and written by computations within loops, which stay in the cache of a CPU.
      bytes: read and written of whole values.
      steps: computations that are started.
      calls: tiles that are started.
    """

    additions: float = 0
    roots: float = 0
    transcendentals: float = 0
    products: float = 0
    loop_bytes: float = 0
    bytes: float = 0
    steps: float = 0
    calls: float = 0

    def __add__(self, other: Work) -> Work:
        return Work(*map(add, vars(self).values(), vars(other).values()))

    def __mul__(self, factor: float) -> Work:
        return Work(*(factor * amount for amount in vars(self).values()))
