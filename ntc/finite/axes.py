"""Which axes of two outputs a kernel pairs, keeps once or traces over, as labels of an Einstein sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from ntc.errors import InputError

Axes = int | Sequence[int]
Labels = tuple[int, ...]


@dataclass(frozen=True)
class OutputAxes:
    """Labels of the axes of f(x1) and f(x2), and of the kernel between them.

    Attributes:
      first, second: one label for each axis of an output.
      kernel: the two labels of every pair of axes next to each other, one of a diagonal axis, none of a traced one.
      traced: the axes traced over.
    """

    first: Labels
    second: Labels
    kernel: Labels
    traced: Labels

    @property
    def free(self) -> int:
        """The first label that is not in use."""
        return 2 * len(self.first)

    def check(self, shape1: Sequence[int], shape2: Sequence[int]) -> None:
        """Raises InputError where outputs differ in size along an axis that is traced over or kept once."""
        for axis, label in enumerate(self.second):
            if label == axis and shape1[axis] != shape2[axis]:
                raise InputError(
                    f"axis {axis} of the outputs is in trace_axes or diagonal_axes, but has {shape1[axis]} entries "
                    f"for x1 and {shape2[axis]} for x2"
                )

    def normalizer(self, shape: Sequence[int]) -> int:
        """The number of entries that a trace adds up: kernels are means over traced axes."""
        return prod(shape[axis] for axis in self.traced)


def output_axes(ndim: int, trace_axes: Axes, diagonal_axes: Axes) -> OutputAxes:
    """Labels for outputs of `ndim` axes. An axis may be named twice, or from either end.

    Raises InputError for an axis that is not there, or that is in both.
    """
    traced, diagonal = _axes(trace_axes, ndim, "trace_axes"), _axes(diagonal_axes, ndim, "diagonal_axes")
    both = set(traced) & set(diagonal)
    if both:
        raise InputError(f"axis {min(both)} is in trace_axes and in diagonal_axes", hint="name it in one of the two")
    first = tuple(range(ndim))
    shared = {*traced, *diagonal}
    second = tuple(axis if axis in shared else ndim + axis for axis in first)
    kernel = [
        label
        for a, b in zip(first, second, strict=True)
        for label in (() if a in traced else (a,) if a in diagonal else (a, b))
    ]
    return OutputAxes(first, second, tuple(kernel), traced)


def _axes(axes: Axes, ndim: int, name: str) -> Labels:
    given = (axes,) if isinstance(axes, int) else tuple(axes)
    for axis in given:
        if not -ndim <= axis < ndim:
            raise InputError(f"{name} names axis {axis} of an output of {ndim} axes")
    return tuple(sorted({axis % ndim for axis in given}))
