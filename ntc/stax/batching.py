"""Kernel functions in tiles of examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import update_wrapper
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntc.backends.jax.concrete import is_traced
from ntc.errors import ParameterError
from ntc.finite.arguments import second_of
from ntc.stax.compose import is_kernels
from ntc.stax.covariances import Kernel, joined
from ntc.stax.kernel import KernelFunction, are_matrices, chosen, given_once
from ntc.stax.part import chooses_examples


def batch(
    kernel_fn: Callable[..., Any], batch_size: int = 0, device_count: int = -1, store_on_device: bool = True
) -> Callable[..., Any]:
    """The same function of x1 and x2, computed in tiles of `batch_size` by `batch_size` examples.

    Kernels of `ntc.stax` bound their memory without it; functions such as those of `empirical_ntk_fn` need it. Sizes
    need not divide the number of examples: the last tiles are filled up, so that all have one shape, and cut.

    Args:
      kernel_fn: `kernel_fn(x1, x2, ...)`, whose results, or all arrays in them, begin with axes of x1 and x2, or which
        are of `Kernel`. A `Kernel` in place of x1 is not cut into tiles, as all of it is there. The first
        axis of x1 and x2, or of all arrays in them, is that of examples, as it is of both graphs in `pattern`.
      batch_size: examples of a tile on either side; 0 for all, as for a network that keeps some examples (`Index`).
      device_count: over how many devices kernels of `ntc.stax` are split, -1 for all there are, 0 for one. Other
        functions run where JAX runs them.
      store_on_device: whether results are JAX arrays; else they are NumPy arrays, and the device holds one tile.

    Raises:
      ParameterError: a size or a number of devices is not a whole number, or there are fewer devices.
    """
    _check(batch_size, device_count)
    devices = jax.device_count() if device_count == -1 else max(1, device_count)
    tile_fn = kernel_fn.on_devices(devices) if isinstance(kernel_fn, KernelFunction) else kernel_fn

    return update_wrapper(_Batched(tile_fn, batch_size, store_on_device), kernel_fn, updated=())


@dataclass
class _Batched:
    """A kernel function in tiles, which is pickled if the function is."""

    tile_fn: Callable[..., Any]
    batch_size: int
    store_on_device: bool

    def __call__(self, x1: Any = None, x2: Any = None, *args: Any, x1_or_kernel: Any = None, **kwargs: Any) -> Any:
        x1 = given_once(x1, x1_or_kernel)
        if is_kernels(x1):
            return self.tile_fn(x1, x2, *args, **kwargs)
        x2 = second_of(x1, x2)
        tiles = _Tiles(self.tile_fn, x1, x2, args, kwargs, self.batch_size, self.store_on_device)
        return tiles.chosen() if isinstance(self.tile_fn, KernelFunction) else tiles.all()


@dataclass(frozen=True)
class _Side:
    """The examples of a tile on one side: from `first`, `count` of them, filled up to `size`."""

    first: int
    count: int
    size: int

    def of(self, x: Any) -> Any:
        """The examples of an array, or of all arrays in x, with the first ones again where there are too few."""

        def cut(array: Any) -> Any:
            own = array[self.first : self.first + self.count]
            more = self.size - self.count
            return own if not more else jnp.concatenate([own, jnp.repeat(own[:1], more, 0)])

        return jax.tree.map(cut, x)


@dataclass(frozen=True)
class _Tiles:
    """A call of a kernel function."""

    function: Callable[..., Any]
    x1: Any
    x2: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    size: int
    on_device: bool

    def chosen(self) -> Any:
        """The result of a `KernelFunction`. Fields that are no matrices are taken of the whole Kernel."""
        given = dict(zip(("get",), self.args, strict=False)) | self.kwargs
        get = given.pop("get", None)
        if are_matrices(get):
            return self.all()
        return chosen(replace(self, args=(None,), kwargs=given).all(), get)

    def all(self) -> Any:
        """The result, put together."""
        columns = list(self._sides(self.x1 if self.x2 is None else self.x2))
        rows = [self._joined([self._tile(row, column) for column in columns], 1) for row in self._sides(self.x1)]
        whole = self._joined(rows, 0)
        return whole if self.x2 is not None else jax.tree.map(_of_itself, whole, is_leaf=_is_kernel)

    def _sides(self, x: Any) -> Iterator[_Side]:
        count = jax.tree.leaves(x)[0].shape[0]
        whole = isinstance(self.function, KernelFunction) and chooses_examples(self.function.part)  # by their numbers
        size = count if whole else min(self.size or count, count)
        for first in range(0, count, size) if count else (0,):
            yield _Side(first, min(size, count - first), size)

    def _tile(self, row: _Side, column: _Side) -> Any:
        same = self.x2 is None and row == column
        x2 = None if same else column.of(self.x1 if self.x2 is None else self.x2)
        kwargs = dict(self.kwargs)
        if kwargs.get("pattern") is not None:
            first, *second = kwargs["pattern"]
            kwargs["pattern"] = row.of(first), column.of(first if self.x2 is None else second[0])
        found = self.function(row.of(self.x1), x2, *self.args, **kwargs)
        rows, columns = slice(row.count), slice(column.count)

        def cut(part: Any) -> Any:
            own = part.slice(rows, columns) if _is_kernel(part) else part[rows, columns]
            return jax.tree.map(self._stored, own)

        return jax.tree.map(cut, found, is_leaf=_is_kernel)

    def _stored(self, matrix: Any) -> Any:
        return matrix if self.on_device or is_traced(matrix) else np.asarray(matrix)

    def _joined(self, parts: list[Any], axis: int) -> Any:
        def join(*arrays: Any, axis: int = axis) -> Any:
            numpy = jnp if self.on_device or is_traced(arrays) else np
            return numpy.concatenate(arrays, axis)

        if len(parts) == 1:
            return parts[0]

        def together(*own: Any) -> Any:
            return joined(own, axis, join) if _is_kernel(own[0]) else join(*own)

        return jax.tree.map(together, *parts, is_leaf=_is_kernel)


def _is_kernel(x: Any) -> bool:
    return isinstance(x, Kernel)


def _of_itself(whole: Any) -> Any:
    """The Kernel between all tiles of x1, which is one of x1 alone."""
    if not _is_kernel(whole):
        return whole
    return whole.replace(x1_is_x2=True, cov2=None)


def _check(batch_size: int, device_count: int) -> None:
    for name, value, least in (("batch_size", batch_size, 0), ("device_count", device_count, -1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ParameterError(f"batch: {name} should be a whole number from {least}, got {value!r:.60}")
    if device_count > jax.device_count():
        raise ParameterError(f"batch: device_count = {device_count}, but JAX finds {jax.device_count()} devices here")
