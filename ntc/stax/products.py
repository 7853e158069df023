"""Kernels of products of values with given arrays."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp

from ntc.errors import ParameterError, UnsupportedError

if TYPE_CHECKING:
    from ntc.stax.covariances import Kernel

Numbers = tuple[tuple[Sequence[int], Sequence[int]], tuple[Sequence[int], Sequence[int]]]
"""As of `jax.lax.dot_general`: axes that are summed, of the left and of the right factor; axes that are paired."""


class Product:
    """The axes of the product of values x with an array, as letters.

    Attributes:
      x, other, out: axes of the factors and of their product.
      summed: those of x that are summed over.
    """

    def __init__(self, axes: int, other_axes: int, is_lhs: bool, numbers: Numbers) -> None:
        """Raises ParameterError where dimension numbers do not fit."""
        (left_sums, right_sums), (left_pairs, right_pairs) = numbers
        own_sums, other_sums = (right_sums, left_sums) if is_lhs else (left_sums, right_sums)
        own_pairs, other_pairs = (right_pairs, left_pairs) if is_lhs else (left_pairs, right_pairs)
        self.x = ascii_lowercase[:axes]
        letters = list(ascii_lowercase[axes : axes + other_axes])
        own, others = [*own_pairs, *own_sums], [*other_pairs, *other_sums]
        if len(own) != len(others) or not all(-axes <= a < axes for a in own):
            raise ParameterError(f"dimension_numbers {numbers} do not fit values of {axes} axes")
        for axis, place in zip(own, others, strict=True):
            letters[place] = self.x[axis]
        self.other = "".join(letters)
        used = {self.x[axis] for axis in own}
        self.summed = {self.x[axis] for axis in own_sums}
        own_free, other_free = ("".join(y for y in word if y not in used) for word in (self.x, "".join(letters)))
        paired = "".join(self.x[axis] for axis in own_pairs)
        self.out = paired + (other_free + own_free if is_lhs else own_free + other_free)


def dot_general(kernel: Kernel, other1: Any, other2: Any, is_lhs: bool, numbers: Numbers) -> Kernel:
    """See `Kernel.dot_general`."""
    if other1 is None and other2 is None:
        return kernel
    other2 = other1 if other2 is None and kernel.cov2 is None else other2
    shape = kernel.shape1
    if shape is None or other1 is None or other2 is None or jnp.ndim(other1) != jnp.ndim(other2):
        raise ParameterError("dot_general needs shape1, and factors of x1 and of x2 with as many axes")
    product = Product(len(shape), jnp.ndim(other1), is_lhs, numbers)
    examples, channel = (product.x[axis % len(shape)] for axis in (kernel.batch_axis, kernel.channel_axis))
    if examples in product.summed or channel in product.other:
        raise UnsupportedError("products that sum over examples, or that channels take part in")
    if kernel.diagonal_spatial and len(shape) > 2:
        raise UnsupportedError("dot_general of a Kernel with diagonal_spatial=True")
    kernel = kernel.reverse() if kernel.is_reversed else kernel
    alone = 1 if kernel.diagonal_batch else 2
    known = {"nngp": (2, other1, other2), "ntk": (2, other1, other2)}
    known |= {"cov1": (alone, other1, other1), "cov2": (alone, other2, other2)}
    changed = {
        name: _between(product, examples, channel, x, one, other, count)
        for name, (count, one, other) in known.items()
        if (x := getattr(kernel, name)) is not None
    }
    shapes = {
        name: _shape(product, own, jnp.shape(other))
        for name, own, other in (("shape1", kernel.shape1, other1), ("shape2", kernel.shape2, other2))
        if own is not None
    }
    axes = {"batch_axis": product.out.index(examples), "channel_axis": product.out.index(channel)}
    return kernel.replace(**changed, **shapes, **axes, mask1=None, mask2=None)


def _between(product: Product, examples: str, channel: str, x: Any, one: Any, other: Any, count: int) -> Any:
    """The covariance of products, of that of values, of `count` axes of examples."""

    def second(word: str) -> str:
        return "".join(y if y == examples and count == 1 else y.upper() for y in word)

    def pairs(word: str) -> str:
        batch = examples if count == 1 else examples + examples.upper()
        return batch + "".join(y + y.upper() for y in word if y not in (examples, channel))

    terms = f"{product.other},{pairs(product.x)},{second(product.other)}->{pairs(product.out)}"
    return jnp.einsum(terms, one, x, other)


def _shape(product: Product, own: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    sizes = dict(zip(product.other, other, strict=True)) | dict(zip(product.x, own, strict=True))
    return tuple(sizes[y] for y in product.out)
