"""Max pooling: a rule for windows of two entries, finite networks for others."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np

from ntc.errors import ShapeError, UnsupportedError
from ntc.ir.common import without_rule
from ntc.ir.kernel import Add, Contract, Dual, DualDot, Mul, Window2
from ntc.ir.op import Emit, Pair, Value
from ntc.ir.ops.activation import Abs
from ntc.ir.ops.finite_only import FiniteOnly
from ntc.ir.schema import Extent, Padding, frozen
from ntc.ir.sliding import Sliding, compact, per_axis, slid_spatial
from ntc.ir.types import Distribution, Spatial, TensorType

_MOST = 2
"""Entries of a window of which the largest has a rule."""


@frozen
class MaxPool(FiniteOnly):
    """y[p] = largest of x[s p + a] over taps a.

    Of two Gaussian entries, as of a window of (1, 2) directly after dense or conv, the largest is s + |d|, with s half
    of their sum and d half of their difference. With S, D the covariances of s and d, and T_s, T_d their NTKs,
    K' = S + E[|u| |v|],  T' = T_s + T_d E[sign(u) sign(v)],  (u, v) ~ N(0, [[D1, D], [D, D2]]):
    all else is odd in the sign of x, and vanishes. Source: Clark 1961, section 2 (moments of one pair); Cho & Saul
    2009, eq. 6 (those of sizes and signs).
    Finite networks alone of larger windows, as the largest of several correlated Gaussians is an integral in as many
    dimensions, of windows over the edge (padding=same, where taps outside do not count), and of other values.

    Parameters: window and stride (default: the window), one number or one per spatial axis.
    """

    name: ClassVar[str] = "max_pool"
    why: ClassVar[str] = (
        "the largest of more than two correlated Gaussians is an integral in as many dimensions as a window has entries"
    )
    instead: ClassVar[str] = "avg_pool, or a convolution with a stride, or a window of two entries,"
    window: Extent
    stride: Extent | None = None
    padding: Padding = "valid"

    @property
    def closed_form(self) -> bool:
        return self.window <= _MOST if isinstance(self.window, int) else prod(self.window) <= _MOST

    def kernel_op(self, spatial: Spatial) -> Window2:
        """The windows, as of a mean."""
        window = per_axis("window", self.window, spatial)
        stride = window if self.stride is None else per_axis("stride", self.stride, spatial)
        return Window2(window, compact(stride), self.padding, "mean")

    def geometry(self, spatial: Spatial) -> tuple[Sliding, ...]:
        """How windows lie, per axis."""
        return self.kernel_op(spatial).geometry(spatial)

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        if not x.spatial:
            raise ShapeError("max_pool: its input has no spatial axes", hint="remove this layer")
        return slid_spatial("window", self.geometry(x.spatial)), x.channels

    def distribution(self, *xs: TensorType) -> Distribution:
        (x,) = xs
        ruled = x.distribution is Distribution.GAUSSIAN and self._is_small(x.spatial)
        return Distribution.GENERAL if ruled else Distribution.FINITE

    def _is_small(self, spatial: Spatial) -> bool:
        """Whether all windows have two entries or one."""
        axes = self.geometry(spatial)
        inside = all(axis.sources(tap)[1].all() for axis in axes for tap in range(axis.window))
        return inside and prod(axis.window for axis in axes) <= _MOST

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        (x,) = xs
        half = emit(self.kernel_op(x.type.spatial), x.k, name="half_sum")
        if not self._pairs(x):
            return half
        return emit(Add(), half, emit(Dual(Abs()), *self._differences(emit, x), name="size"))

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        (x,) = xs
        half = emit(self.kernel_op(x.type.spatial), x.t, name="half_sum")
        if not self._pairs(x):
            return half
        signs = emit(DualDot(Abs()), *self._differences(emit, x), name="d")
        return emit(Add(), half, emit(Mul(), self._difference(emit, x, x.t), signs, name="below"))

    def without_rule(self, *xs: TensorType) -> UnsupportedError:
        (x,) = xs
        if x.distribution is not Distribution.GAUSSIAN and self._is_small(x.spatial):
            return without_rule(self.name, "its input is not Gaussian", "it, directly after dense or conv,")
        return super().without_rule(x)

    def _pairs(self, x: Pair) -> bool:
        """Whether windows have two entries."""
        return any(axis.window > 1 for axis in self.geometry(x.type.spatial))

    def _differences(self, emit: Emit, x: Pair) -> tuple[Value, Value, Value]:
        """Covariance and variances of half the difference of the entries of a window."""
        v1 = self._difference(emit, x, x.v1)
        v2 = v1 if x.v2 == x.v1 else self._difference(emit, x, x.v2)
        return v1 if x.k == x.v1 else self._difference(emit, x, x.k), v1, v2

    def _difference(self, emit: Emit, x: Pair, k: Value) -> Value:
        for number, axis in enumerate(self.geometry(x.type.spatial)):
            rows = _rows(axis, (0.5, -0.5) if axis.window == _MOST else (1.0,))
            if axis.window == _MOST or axis.outputs < axis.size:
                k = emit(Contract(number, rows), k, name="difference")
        return k


def _rows(axis: Sliding, weights: Sequence[float]) -> tuple[tuple[float, ...], ...]:
    """The matrix of a filter with a weight for every tap, (outputs, size)."""
    matrix = np.zeros((axis.outputs, axis.size))
    for tap, weight in enumerate(weights):
        np.add.at(matrix, (np.arange(axis.outputs), axis.read_positions(tap)), weight)
    return tuple(map(tuple, matrix.tolist()))
