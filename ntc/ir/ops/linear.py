"""Fixed linear maps of the spatial axes: slices, padding, resizing, matrices, transposition; and of the values."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from math import prod
from typing import Annotated, ClassVar

from pydantic import Field

from ntc.errors import LimitError, ShapeError
from ntc.ir import kernel
from ntc.ir.common import Common, Operand
from ntc.ir.hyper import TunableReal
from ntc.ir.kernel import Affine, Contract, Interpolate, Permute, Window
from ntc.ir.kernel.linear import Rows, SpatialAxis
from ntc.ir.op import Emit, KernelOp, Pair, TensorOp, Value
from ntc.ir.resampling import Method
from ntc.ir.schema import MAX_EXTENT, Count, Extent, frozen
from ntc.ir.sliding import Strided, compact, per_axis
from ntc.ir.types import MAX_SPATIAL_AXES, Distribution, Spatial, TensorType

Bound = Annotated[int, Field(ge=-MAX_EXTENT, le=MAX_EXTENT)] | None
Bounds = tuple[Bound, ...] | None
"""Positions per axis, as in a Python slice: negative from the end, none for the end itself."""

Margin = Annotated[int, Field(ge=0, le=MAX_EXTENT)]
MarginExtent = Margin | tuple[Margin, ...]


class FixedLinear(TensorOp):
    """y = M x with a matrix M over positions, the same in every channel: K' = M K M^T,  T' = M T M^T."""

    @abstractmethod
    def kernel_op(self, spatial: Spatial) -> KernelOp:
        """The map on covariances of an image of these sizes. Raises ShapeError."""

    @abstractmethod
    def outputs(self, spatial: Spatial) -> Spatial:
        """Sizes of the output. Raises ShapeError."""

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        return self.outputs(x.spatial), x.channels

    def distribution(self, *xs: TensorType) -> Distribution:
        return xs[0].distribution

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        return emit(self.kernel_op(xs[0].type.spatial), xs[0].k)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        return emit(self.kernel_op(xs[0].type.spatial), xs[0].t)


def _moved(spatial: Spatial, stride: Sequence[int], pads: Sequence[tuple[int, int]]) -> Window:
    """The filter of one tap that reads s p - before: a strided part of the image, or the image within zeros."""
    return Window((1,) * len(spatial), compact(tuple(stride)), pads=tuple(chain.from_iterable(pads)))


@frozen
class Slice(FixedLinear):
    """y[p] = x[start + step p], per spatial axis as Python's x[start:stop:step].

    K'[p, p'] = K[start + step p, start + step p'],  T' likewise. Source: definition; Novak et al. 2019
    (arXiv:1810.05148), section 3.2.2, for one position.

    Parameters: start and stop, one number per axis, negative from the end, none for all; step, one number or one per
    axis.
    """

    name: ClassVar[str] = "slice"
    start: Bounds = None
    stop: Bounds = None
    step: Extent = 1

    def ranges(self, spatial: Spatial) -> tuple[range, ...]:
        """The positions that are read along every axis. Raises ShapeError."""
        starts, stops = (self._bounds(name, spatial) for name in ("start", "stop"))
        axes = zip(spatial, starts, stops, per_axis("step", self.step, spatial), strict=True)
        ranges = tuple(range(size)[slice(start, stop, step)] for size, start, stop, step in axes)
        for axis, found in enumerate(ranges):
            if not found:
                raise ShapeError(
                    f"slice: nothing of axis {axis}, which has {spatial[axis]} positions, is in "
                    f"{starts[axis]}:{stops[axis]}",
                    parameter="stop" if self.stop else "start",
                )
        return ranges

    def _bounds(self, name: str, spatial: Spatial) -> tuple[int | None, ...]:
        given: Bounds = getattr(self, name)
        if given is None:
            return (None,) * len(spatial)
        if len(given) != len(spatial):
            raise ShapeError(
                f"{name} has {len(given)} axes, its input has {len(spatial)} spatial axes",
                parameter=name,
                hint="give one number, or none, per spatial axis",
            )
        return given

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        return tuple(Strided(axis[0], axis.step, len(axis)) for axis in self.ranges(x.spatial))

    def outputs(self, spatial: Spatial) -> Spatial:
        return tuple(map(len, self.ranges(spatial)))

    def kernel_op(self, spatial: Spatial) -> KernelOp:
        read = self.ranges(spatial)
        pads = [(-axis[0], axis[-1] + 1 - size) for axis, size in zip(read, spatial, strict=True)]
        return _moved(spatial, [axis.step for axis in read], pads)


@frozen
class Pad(FixedLinear):
    """y[p] = x[p - low], zero outside the image.

    K'[p, p'] = K[p - low, p' - low], zero where p or p' is outside,  T' likewise. Source: definition.

    Parameters: low and high, the zeros before and after, one number or one per spatial axis.
    """

    name: ClassVar[str] = "pad"
    low: MarginExtent = 0
    high: MarginExtent = 0

    def outputs(self, spatial: Spatial) -> Spatial:
        sizes = tuple(size + low + high for size, (low, high) in zip(spatial, self.margins(spatial), strict=True))
        if max(sizes, default=0) > MAX_EXTENT:
            raise ShapeError(f"pad: more than {MAX_EXTENT} positions")
        return sizes

    def margins(self, spatial: Spatial) -> tuple[tuple[int, int], ...]:
        """Zeros before and after, per axis. Raises ShapeError."""
        return tuple(zip(per_axis("low", self.low, spatial), per_axis("high", self.high, spatial), strict=True))

    def kernel_op(self, spatial: Spatial) -> KernelOp:
        return _moved(spatial, [1] * len(spatial), self.margins(spatial))


@frozen
class Resize(FixedLinear):
    """Interpolation to another number of positions, with the weights w of `jax.image.resize` (scale and translate).

    y[p] = sum over q of w[p, q] x[q],  K'[p, p'] = sum over q, q' of w[p, q] w[p', q'] K[q, q'],  T' likewise; along
    several axes w is a product. Source: Keys 1981 (cubic convolution), Duchon 1979 (Lanczos), and the bilinearity of
    the covariance.

    Parameters: size, one number or one per spatial axis; method; antialias, to widen the kernel where the image
    shrinks.
    """

    name: ClassVar[str] = "resize"
    size: Extent
    method: Method = "linear"
    antialias: bool = True

    def outputs(self, spatial: Spatial) -> Spatial:
        return self._interpolate(spatial).outputs(spatial)

    def kernel_op(self, spatial: Spatial) -> KernelOp:
        return self._interpolate(spatial)

    def reads(self, spatial: Spatial) -> KernelOp:
        return replace(self._interpolate(spatial), reads=True)

    def _interpolate(self, spatial: Spatial) -> Interpolate:
        if not spatial:
            raise ShapeError("resize: its input has no spatial axes", hint="remove this layer")
        return Interpolate(per_axis("size", self.size, spatial), self.method, self.antialias)


@frozen
class Matrix(FixedLinear):
    """y[.., o, ..] = sum over q of values[o][q] x[.., q, ..] along one spatial axis.

    K' = M K M^T with M = values along the axis, the identity along others,  T' likewise. Source: the bilinearity of
    the covariance; `DotGeneral` of Novak et al. 2022 (arXiv:2206.08720) with a right-hand side of one axis.

    Parameters: values, one row for every output position; axis, from 0.
    """

    name: ClassVar[str] = "matrix"
    values: Rows
    axis: SpatialAxis = 0

    def outputs(self, spatial: Spatial) -> Spatial:
        if self.axis >= len(spatial):
            raise ShapeError(
                f"matrix: its input has {len(spatial)} spatial axes, none with number {self.axis}", parameter="axis"
            )
        if {len(row) for row in self.values} != {spatial[self.axis]}:
            raise ShapeError(
                f"matrix: axis {self.axis} of its input has {spatial[self.axis]} positions; every row of values needs "
                f"as many numbers",
                parameter="values",
            )
        return (*spatial[: self.axis], len(self.values), *spatial[self.axis + 1 :])

    def kernel_op(self, spatial: Spatial) -> KernelOp:
        return Contract(self.axis, self.values)

    def reads(self, spatial: Spatial) -> KernelOp:
        return Contract(self.axis, _nonzero(self.values))


@frozen
class Mix(FixedLinear):
    """y[.., o] = sum over q of values[o][q] x[.., q], where q runs over positions along `axes` together.

    K' = M K M^T with M = values along these axes, the identity along others,  T' likewise. New axes of `sizes`,
    of which the product is the number of rows, come behind those that are left. Source: the bilinearity of the
    covariance; `DotGeneral` of Novak et al. 2022 (arXiv:2206.08720).

    Parameters: axes, from 0, the last one fastest in q, none for copies of every position; sizes; values, one row for
    every output position.
    """

    name: ClassVar[str] = "mix"
    axes: tuple[SpatialAxis, ...]
    sizes: tuple[Count, ...]
    values: Rows

    def outputs(self, spatial: Spatial) -> Spatial:
        inside = all(axis < len(spatial) for axis in self.axes) and len({*self.axes}) == len(self.axes)
        if not inside:
            raise ShapeError(f"mix: {self.axes} are not different axes of {len(spatial)}", parameter="axes")
        left = tuple(size for axis, size in enumerate(spatial) if axis not in self.axes)
        if len(left) + len(self.sizes) > MAX_SPATIAL_AXES:
            raise LimitError(f"mix: the output has more than {MAX_SPATIAL_AXES} spatial axes")
        rows, columns = prod(self.sizes), prod(spatial[axis] for axis in self.axes)
        if len(self.values) != rows or {len(row) for row in self.values} != {columns}:
            raise ShapeError(f"mix: values should have {rows} rows of {columns} numbers", parameter="values")
        return (*left, *self.sizes)

    def kernel_op(self, spatial: Spatial) -> KernelOp:
        return kernel.MixPositions(self.axes, self.sizes, self.values)

    def reads(self, spatial: Spatial) -> KernelOp:
        return kernel.MixPositions(self.axes, self.sizes, _nonzero(self.values))


def _nonzero(rows: Rows) -> Rows:
    """Ones for all that is not zero."""
    return tuple(tuple(float(value != 0) for value in row) for row in rows)


@frozen
class Transpose(FixedLinear):
    """y[p_0, p_1, ..] = x with its spatial axes in another order: axis i is axis `axes[i]` of the input.

    K' and T' have their pairs of axes in that order. Source: definition.

    Parameters: axes, numbers from 0; none for the reverse order.
    """

    name: ClassVar[str] = "transpose"
    axes: tuple[SpatialAxis, ...] | None = None

    def order(self, spatial: Spatial) -> tuple[int, ...]:
        """The axis of the input for every axis of the output. Raises ShapeError."""
        every = tuple(range(len(spatial)))
        if self.axes is None:
            return every[::-1]
        if tuple(sorted(self.axes)) != every:
            raise ShapeError(f"transpose: {self.axes} is not an order of the axes {every}", parameter="axes")
        return self.axes

    def outputs(self, spatial: Spatial) -> Spatial:
        return tuple(spatial[axis] for axis in self.order(spatial))

    def kernel_op(self, spatial: Spatial) -> KernelOp:
        return Permute(self.order(spatial))

    def reads(self, spatial: Spatial) -> KernelOp:
        return self.kernel_op(spatial)


@frozen
class Scale(FixedLinear):
    """y = factor x.

    K' = factor^2 K,  T' = factor^2 T. Source: the bilinearity of the covariance.
    """

    name: ClassVar[str] = "scale"
    factor: TunableReal

    def outputs(self, spatial: Spatial) -> Spatial:
        return spatial

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        return Strided.every(x.spatial)

    def common_after(self, *xs: Operand) -> Common | None:
        return xs[0].common

    def kernel_op(self, spatial: Spatial) -> KernelOp:
        return Affine(self.factor)
