"""`nt.Kernel`: covariances between two batches of values of a network, and what is known of those values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from ntc.errors import ParameterError, UnsupportedError

_Slice = slice  # in the class, `slice` is the method
_ARRAYS = ("nngp", "ntk", "cov1", "cov2", "mask1", "mask2")
_FACTS = (
    "x1_is_x2",
    "is_gaussian",
    "is_reversed",
    "is_input",
    "diagonal_batch",
    "diagonal_spatial",
    "shape1",
    "shape2",
    "batch_axis",
    "channel_axis",
)


@partial(jax.tree_util.register_dataclass, data_fields=_ARRAYS, meta_fields=_FACTS)
@dataclass(frozen=True, eq=False)
class Kernel:
    """What `kernel_fn` returns, and takes in place of inputs: kernels of a value of a network on x1 and x2.

    The fields are those of Neural Tangents; under JAX transformations the matrices are traced and the rest is known.

    Attributes:
      nngp, ntk: (n1, n2), then of every spatial axis its size twice, or once if `diagonal_spatial`. ntk may be None.
      cov1, cov2: of every example of x1, and of x2, with itself: (n1,) and the same axes; (n1, n1) and the same axes
        unless `diagonal_batch`. cov2 is None if x2 is x1.
      x1_is_x2: whether both are the same examples. Numbers that say otherwise, and cov2, are believed more.
      is_gaussian: whether channels are independent Gaussians of mean zero.
      is_reversed: whether spatial axes are in reverse order, if not `diagonal_spatial`.
      is_input: whether channels are those of the data, and not infinitely many.
      shape1, shape2: of the two batches of values.
      batch_axis, channel_axis: which axes of those are examples and channels.
      mask1, mask2: which positions are masked, of shapes that broadcast to those of the values; None for none.
    """

    nngp: Any
    ntk: Any = None
    cov1: Any = None
    cov2: Any = None
    x1_is_x2: bool = False
    is_gaussian: bool = False
    is_reversed: bool = False
    is_input: bool = False
    diagonal_batch: bool = True
    diagonal_spatial: bool = False
    shape1: tuple[int, ...] | None = None
    shape2: tuple[int, ...] | None = None
    batch_axis: int = 0
    channel_axis: int = -1
    mask1: Any = None
    mask2: Any = None

    def replace(self, **changes: Any) -> Kernel:
        """With other values for some fields."""
        return dataclasses.replace(self, **changes)

    def asdict(self) -> dict[str, Any]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def astuple(self) -> tuple[Any, ...]:
        """The fields in order."""
        return tuple(self.asdict().values())

    def slice(self, n1_slice: _Slice, n2_slice: _Slice) -> Kernel:
        """Of some examples of x1 and some of x2, which are different inputs unless these are the same."""
        cov2 = self.cov1 if self.cov2 is None else self.cov2
        shape2 = self.shape1 if self.shape2 is None else self.shape2
        same = self.x1_is_x2 and self.cov2 is None and n1_slice == n2_slice
        return self.replace(
            nngp=self.nngp[n1_slice, n2_slice],
            ntk=None if self.ntk is None else self.ntk[n1_slice, n2_slice],
            cov1=self._examples(self.cov1, n1_slice),
            cov2=None if same else self._examples(cov2, n2_slice),
            x1_is_x2=same,
            shape1=self._counted(self.shape1, n1_slice),
            shape2=self._counted(shape2, n2_slice),
            mask1=self._seen(self.mask1, n1_slice),
            mask2=None if same else self._seen(self.mask1 if self.x1_is_x2 else self.mask2, n2_slice),
        )

    def __getitem__(self, index: Any) -> Kernel:
        """`kernel[examples, h, w]`: of some examples of x1 and x2, and of some positions along the spatial axes.

        Raises ParameterError where examples are no slice, or where there are more indices than axes;
        UnsupportedError where there are masks.
        """
        shape = self._known_shape()
        if self.mask1 is not None or self.mask2 is not None:
            raise UnsupportedError("indices of a Kernel with masks", hint="kernel.slice cuts examples")
        axes = self._spatial(shape)
        examples, *positions = _indices(index, 1 + len(axes))
        if not isinstance(examples, slice):
            raise ParameterError("the axis of examples is indexed by a slice", hint="kernel[i:i + 1]")
        size = 1 if self.diagonal_spatial else 2
        stored = positions[::-1] if self.is_reversed and not self.diagonal_spatial else positions
        pairs = tuple(one for each in stored for one in (each,) * size)
        kernel = self.slice(examples, examples)._of_batches(lambda x, first: x[(slice(None),) * first + pairs])
        removed = [axis for axis, own in zip(axes, positions, strict=True) if isinstance(own, int)]
        chosen = dict(zip(axes, positions, strict=True))
        shapes = {name: _indexed(getattr(kernel, name), chosen) for name in ("shape1", "shape2")}
        layout = {
            name: axis - sum(one < axis for one in removed)
            for name in ("batch_axis", "channel_axis")
            for axis in [getattr(self, name) % len(shape)]
        }
        return kernel.replace(**shapes, **layout)

    def of_own_positions(self, diagonal: Callable[[Any, int], Any]) -> Kernel:
        """With each position alone; `diagonal(matrix, first)` takes it of a matrix of `first` axes of examples."""
        return self._of_batches(diagonal).replace(diagonal_spatial=True)

    def reverse(self) -> Kernel:
        """The same, stored with spatial axes in reverse order, H, H, W, W as W, W, H, H; unless `diagonal_spatial`."""
        if self.diagonal_spatial:
            return self
        return self._ordered(lambda number: list(range(number))[::-1]).replace(is_reversed=not self.is_reversed)

    def transpose(self, axes: Sequence[int] | None = None) -> Kernel:
        """Of values with spatial axes in another order, by default the reverse. Raises ParameterError."""
        shape = self._known_shape()
        spatial = self._spatial(shape)
        order = list(range(len(spatial)))[::-1] if axes is None else list(axes)
        if sorted(order) != list(range(len(spatial))):
            raise ParameterError(f"axes should be an order of {len(spatial)} spatial axes, got {axes}")
        if self.is_reversed and not self.diagonal_spatial:
            return self.reverse().transpose(axes)
        places = list(range(len(shape)))
        for place, axis in zip(spatial, order, strict=True):
            places[place] = spatial[axis]
        shapes = {
            name: tuple(own[place] for place in places)
            for name in ("shape1", "shape2")
            if (own := getattr(self, name)) is not None
        }
        return self._ordered(lambda number: order).replace(**shapes)

    def __mul__(self, factor: Any) -> Kernel:
        """Of values times the factor: matrices times its square."""
        return self._of_batches(lambda x, first: x * factor**2)

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> Kernel:
        return self._of_batches(lambda x, first: x / divisor**2)

    def __add__(self, scale: Any) -> Kernel:
        """Of values plus independent Gaussians of this scale, the same for all examples and positions."""
        return self._of_batches(lambda x, first: x + scale**2).replace(ntk=self.ntk)

    __sub__ = __add__

    def __neg__(self) -> Kernel:
        return self

    __pos__ = __neg__

    def _of_batches(self, function: Callable[[Any, int], Any]) -> Kernel:
        """The function of all matrices, and of how many axes of examples they have."""
        own = 1 if self.diagonal_batch else 2
        firsts = {"nngp": 2, "ntk": 2, "cov1": own, "cov2": own}
        known = {name: first for name, first in firsts.items() if getattr(self, name) is not None}
        return self.replace(**{name: function(getattr(self, name), first) for name, first in known.items()})

    def _ordered(self, order: Callable[[int], list[int]]) -> Kernel:
        """With the spatial axes of matrices in another order."""
        size = 1 if self.diagonal_spatial else 2

        def moved(x: Any, first: int) -> Any:
            axes = order((x.ndim - first) // size)
            return x.transpose(*range(first), *(first + size * axis + side for axis in axes for side in range(size)))

        return self._of_batches(moved)

    def has_spatial(self, sizes: Sequence[int]) -> bool:
        """Whether matrices have spatial axes of these sizes."""
        pairs = sizes if self.diagonal_spatial else [size for size in sizes for _ in range(2)]
        ordered = pairs[::-1] if self.is_reversed and not self.diagonal_spatial else pairs
        return tuple(self.nngp.shape[2:]) == tuple(ordered)

    def _known_shape(self) -> tuple[int, ...]:
        if self.shape1 is None:
            raise ParameterError("a kernel without shape1 does not know its axes")
        return self.shape1

    def _spatial(self, shape: tuple[int, ...]) -> list[int]:
        others = {axis % len(shape) for axis in (self.batch_axis, self.channel_axis)}
        return [axis for axis in range(len(shape)) if axis not in others]

    def _examples(self, covariance: Any, chosen: _Slice) -> Any:
        if covariance is None:
            return None
        return covariance[chosen] if self.diagonal_batch else covariance[chosen, chosen]

    def _seen(self, mask: Any, chosen: _Slice) -> Any:
        """The mask of some examples."""
        if mask is None or mask.shape[self.batch_axis] == 1:
            return mask
        return mask[(*(slice(None),) * (self.batch_axis % mask.ndim), chosen)]

    def _counted(self, shape: tuple[int, ...] | None, chosen: _Slice) -> tuple[int, ...] | None:
        return None if shape is None else _indexed(shape, {self.batch_axis % len(shape): chosen})


def joined(kernels: Sequence[Kernel], axis: int, join: Callable[..., Any]) -> Kernel:
    """The Kernel of all examples, from those of some of x1 (axis 0) or of x2 (axis 1).

    `join(*arrays, axis=...)` puts arrays together. Raises UnsupportedError where positions are masked.
    """
    if any(mask is not None for kernel in kernels for mask in (kernel.mask1, kernel.mask2)):
        raise UnsupportedError("a Kernel of masked inputs in tiles", hint='get=("nngp", "ntk") gives the matrices')
    first = kernels[0]
    cov1, cov2 = first.cov1, first.cov1 if first.cov2 is None else first.cov2
    shape1, shape2 = first.shape1, first.shape2
    if axis == 0:
        cov1 = join(*(kernel.cov1 for kernel in kernels), axis=0)
        shape1 = _counted(first.shape1, first.batch_axis, cov1.shape[0])
    else:
        cov2 = join(*(kernel.cov1 if kernel.cov2 is None else kernel.cov2 for kernel in kernels), axis=0)
        shape2 = _counted(first.shape2, first.batch_axis, cov2.shape[0])
    nngp, ntk = (join(*(getattr(kernel, name) for kernel in kernels), axis=axis) for name in ("nngp", "ntk"))
    return first.replace(nngp=nngp, ntk=ntk, cov1=cov1, cov2=cov2, x1_is_x2=False, shape1=shape1, shape2=shape2)


def _counted(shape: tuple[int, ...] | None, axis: int, count: int) -> tuple[int, ...] | None:
    """The shape with another number of examples."""
    return None if shape is None else (*shape[:axis], count, *shape[axis + 1 :])


def _indices(index: Any, axes: int) -> list[Any]:
    """One for every axis."""
    given = list(index) if isinstance(index, tuple) else [index]
    if any(not isinstance(one, slice | int) and one is not Ellipsis for one in given):
        raise ParameterError(f"a kernel is indexed by slices, numbers and an ellipsis, got {index!r:.60}")
    missing = [slice(None)] * (axes - sum(one is not Ellipsis for one in given))
    at = given.index(Ellipsis) if Ellipsis in given else len(given)
    found = [*given[:at], *missing, *given[at + 1 :]]
    if len(found) != axes:
        raise ParameterError(f"a kernel has {axes} axes, of examples and of positions; got {len(given)} indices")
    return found


def _indexed(shape: tuple[int, ...] | None, chosen: Mapping[int, Any]) -> tuple[int, ...] | None:
    """The shape of an array with some axes indexed."""
    if shape is None:
        return None
    sizes = []
    for axis, size in enumerate(shape):
        index = chosen.get(axis, slice(None))
        if isinstance(index, slice):
            sizes.append(len(range(*index.indices(size))))
    return tuple(sizes)
