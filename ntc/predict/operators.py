"""Kernel matrices that are multiplied with, whether or not they are in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ntc.errors import InputError
from ntc.ir.types import Kernel
from ntc.predict.arithmetic import checked
from ntc.predict.posterior import matrix

if TYPE_CHECKING:
    from ntc.backends.jax.program import Program

Array = npt.NDArray[np.float64]


_ROWS = 1024
"""Of a block."""


class KernelOperator(Protocol):
    """A symmetric kernel matrix (n, n) of which no entry need be kept."""

    @property
    def size(self) -> int:
        """n."""

    def diagonal(self) -> Array:
        """The diagonal (n,)."""

    def row(self, index: int) -> Array:
        """One row (n,)."""

    def product(self, right: Array) -> Array:
        """The matrix times right, (n, columns)."""


class DenseOperator:
    """A kernel matrix (n, n) that is in memory, in its own precision; products are in float64."""

    def __init__(self, kernel: Any) -> None:
        self._matrix = checked("kernel", kernel)
        if self._matrix.ndim != 2 or len(self._matrix) != self._matrix.shape[1] or not self._matrix.size:
            raise InputError(f"kernel should have shape (n, n), got {self._matrix.shape}")

    @property
    def size(self) -> int:
        return len(self._matrix)

    def diagonal(self) -> Array:
        return np.diagonal(self._matrix).astype(np.float64)

    def row(self, index: int) -> Array:
        return np.asarray(self._matrix[index], np.float64)

    def product(self, right: Array) -> Array:
        # In blocks, or NumPy would make a float64 copy of the whole matrix.
        blocks = (self._matrix[i : i + _ROWS].astype(np.float64) @ right for i in range(0, self.size, _ROWS))
        found: Array = np.concatenate(list(blocks))
        return found


class ProgramOperator:
    """The kernel of a program between training inputs, computed anew for every product, block by block.

    Every pair of examples is computed once per product: the blocks on and above the diagonal.

    Args:
      program: computes the kernel, of a network without spatial axes at its end.
      x: inputs (n, *spatial, channels).
      kernel: nngp or ntk.
      block: examples on either side of a block, of which one is in memory.
    """

    def __init__(self, program: Program, x: npt.ArrayLike, kernel: Kernel, block: int = _ROWS) -> None:
        if block < 1:
            raise InputError(f"block should be positive, got {block}")
        self._program, self._x, self._kernel, self._block = program, np.asarray(x), kernel, block
        if not len(self._x):
            raise InputError("there are no training inputs")

    @property
    def size(self) -> int:
        return len(self._x)

    def diagonal(self) -> Array:
        return np.asarray(matrix(self._program.diagonal(self._x), self._kernel, rank=1), np.float64)

    def row(self, index: int) -> Array:
        kernels = self._program(self._x[index : index + 1], self._x)
        return np.asarray(matrix(kernels, self._kernel)[0], np.float64)

    def product(self, right: Array) -> Array:
        result = np.zeros_like(right)
        for rows, columns, block in self._blocks():
            result[rows] += block @ right[columns]
            if rows != columns:
                result[columns] += block.T @ right[rows]
        return result

    def _blocks(self) -> Iterator[tuple[slice, slice, npt.NDArray[Any]]]:
        parts = [slice(i, min(i + self._block, self.size)) for i in range(0, self.size, self._block)]
        for number, rows in enumerate(parts):
            # A block on the diagonal is computed as k(x, x), where examples are known to be the same.
            yield rows, rows, matrix(self._program(self._x[rows]), self._kernel)
            for columns in parts[number + 1 :]:
                yield rows, columns, matrix(self._program(self._x[rows], self._x[columns]), self._kernel)
