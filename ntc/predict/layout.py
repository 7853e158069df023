"""Outputs as columns: which axes a kernel has, and how outputs and kernels of any rank become matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ntc.errors import InputError

Axes = int | Sequence[int]


@dataclass(frozen=True)
class Layout:
    """How outputs of shape (examples, *axes) become matrices (entries, copies).

    The kernel has a pair of axes for every one in `kept`, next to each other: (n, n', a, a', b, b', ...). Along the
    axes in `traced` it is Theta x I: outputs there are copies that evolve by themselves. That of examples may be one
    of them, as in an empirical kernel that is a mean over examples; then there are as many test inputs as training
    inputs. A kernel of which all axes are traced is one number.

    Attributes:
      shape: of y_train.
      kept: axes that the kernel has.
      traced: axes that it lacks.
    """

    shape: tuple[int, ...]
    kept: tuple[int, ...]
    traced: tuple[int, ...]

    @classmethod
    def of(cls, y_train: Any, trace_axes: Axes) -> Layout:
        """Of axes in any order, which may be named twice. Raises InputError if one is not an axis of the outputs."""
        shape = tuple(y_train.shape)
        axes = (trace_axes,) if isinstance(trace_axes, int | np.integer) else tuple(trace_axes)
        if not shape or not prod(shape):
            raise InputError(f"y_train should have one row for each training input, got shape {shape}")
        if any(not -len(shape) <= axis < len(shape) for axis in axes):
            raise InputError(f"trace_axes {axes} are not all axes of y_train, which has shape {shape}")
        traced = tuple(sorted({axis % len(shape) for axis in axes}))
        return cls(shape, tuple(axis for axis in range(len(shape)) if axis not in traced), traced)

    @property
    def size(self) -> int:
        """Number of all outputs: training times are in units of it."""
        return prod(self.shape)

    def columns(self, y: Any) -> Any:
        """Outputs (examples, *axes) as a matrix (entries, copies)."""
        moved = y.transpose((*self.kept, *self.traced))
        return moved.reshape(prod(moved.shape[: len(self.kept)]), -1)

    def outputs(self, columns: Any, shape: tuple[int, ...]) -> Any:
        """The inverse of `columns` for outputs of any shape; leading axes, such as times, are kept in front."""
        lead = columns.ndim - 2
        order = (*self.kept, *self.traced)
        split = columns.reshape((*columns.shape[:lead], *(shape[axis] for axis in order)))
        return split.transpose((*range(lead), *(lead + order.index(axis) for axis in range(len(order)))))

    def matrix(self, kernel: Any) -> Any:
        """A kernel (n, n', a, a', ...) as a matrix with a row for each entry of the first outputs."""
        rank = len(self.kept)
        rows = kernel.shape[::2]
        moved = kernel.transpose((*range(0, 2 * rank, 2), *range(1, 2 * rank, 2)))
        return moved.reshape(prod(rows), -1)

    def kernel(self, matrix: Any, rows: tuple[int, ...], columns: tuple[int, ...]) -> Any:
        """The inverse of `matrix` for kernels between outputs of two shapes; leading axes are kept in front."""
        lead, rank = matrix.ndim - 2, len(self.kept)
        sizes = [shape[axis] for shape in (rows, columns) for axis in self.kept]
        split = matrix.reshape((*matrix.shape[:lead], *sizes))
        order = [lead + axis + half * rank for axis in range(rank) for half in (0, 1)]
        return split.transpose((*range(lead), *order))

    def test_shape(self, kernel: Any) -> tuple[int, ...]:
        """Shape of the outputs to which the rows of a kernel belong."""
        sizes = dict(zip(self.kept, kernel.shape[::2], strict=True))
        return tuple(sizes.get(axis, size) for axis, size in enumerate(self.shape))

    def check(self, name: str, kernel: Any, square: bool = False) -> None:
        """Raises InputError unless the kernel is one of outputs like these with the training outputs."""
        own = tuple(self.shape[axis] for axis in self.kept)
        fits = kernel.ndim == 2 * len(own) and kernel.shape[1::2] == own
        if not fits or (square and kernel.shape[::2] != own):
            first = ("n", *own[1:]) if self.kept[:1] == (0,) and not square else own
            wanted = ", ".join(str(size) for pair in zip(first, own, strict=True) for size in pair)
            if kernel.ndim == 2 * len(own) and own[:1] != kernel.shape[1:2] and kernel.shape[3::2] == own[1:]:
                raise InputError(f"y_train has {own[0]} rows, but {name} is of {kernel.shape[1]} training inputs")
            hint = "a kernel has no axes for those in trace_axes"
            if len(self.shape) == 1 and kernel.ndim == 2:
                hint += ": give y_train the shape (n, 1)"
            raise InputError(f"{name} should have shape ({wanted}), got {tuple(kernel.shape)}", hint=hint)
