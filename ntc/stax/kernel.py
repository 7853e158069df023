"""The `kernel_fn` of `ntc.stax`: compiles the network for the shapes it is given, once, and runs the program."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ntc.backends.jax.program import Program
from ntc.compiler import build
from ntc.errors import ParameterError, UnsupportedError
from ntc.ir.build import TensorGraphBuilder
from ntc.ir.graph import Graph
from ntc.ir.ops import Mask
from ntc.ir.types import Kernel
from ntc.stax.part import Part, Value

Shapes = Any
"""(*spatial, channels) of an array, or a tuple of Shapes."""

KERNELS: tuple[Kernel, ...] = ("nngp", "ntk")


class KernelFunction:
    """`kernel_fn(x1, x2=None, get=None, ...)`: the kernels of one network.

    A program is compiled when a shape of examples, dtype or choice of kernels is first seen, and kept.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        self._programs: dict[object, Program] = {}

    def __call__(
        self,
        x1: Any,
        x2: Any = None,
        get: str | Sequence[str] | None = None,
        *,
        pattern: tuple[Any, Any] | None = None,
        mask_constant: float | None = None,
        diagonal_batch: bool | None = None,
        diagonal_spatial: bool | None = None,
    ) -> Any:
        """The kernels between all examples of x1 and all of x2 (default: x1).

        Args:
          x1, x2: (n, *spatial, channels), or tuples of them for a network of several inputs.
          get: "nngp" or "ntk" for one matrix, a tuple of them for a namedtuple; None for `ntc.Kernels` with both.
          pattern: adjacency matrices (n1, vertices, vertices), (n2, ...) for `Aggregate`.
          mask_constant: entries of this value are missing.
          diagonal_batch, diagonal_spatial: which covariances to carry is the compiler's choice: False or None.

        Raises:
          ParameterError: `get` is something else.
          UnsupportedError: diagonal outputs are asked for.
          NtcError: the network does not fit the arrays.
        """
        if diagonal_batch or diagonal_spatial:
            raise UnsupportedError("kernel_fn returns whole matrices", hint="`ntc.build(...).diagonal(x)` for a diagonal")
        program = self._program(x1, x2, _wanted(get), mask_constant)
        given = dict(zip(("pattern1", "pattern2"), pattern or (), strict=False)) if pattern is not None else {}
        if x2 is None:
            given.pop("pattern2", None)
        kernels = program(_flat(x1), None if x2 is None else _flat(x2), **given)
        if get is None:
            return kernels
        if isinstance(get, str):
            return getattr(kernels, get)
        return _result(tuple(get))(*(getattr(kernels, name) for name in get))

    def _program(self, x1: Any, x2: Any, kernels: tuple[Kernel, ...], mask_constant: float | None) -> Program:
        dtype = jax.dtypes.canonicalize_dtype(jnp.result_type(*map(_dtype, jax.tree.leaves((x1, x2)))))
        name: Literal["float32", "float64"] = "float64" if dtype == np.float64 else "float32"
        key = (_shapes(x1), name, kernels, repr(mask_constant))
        if key not in self._programs:
            self._programs[key] = build(
                network(self.part, key[0], mask_constant), target=_target(), kernels=kernels, dtype=name
            )
        return self._programs[key]


def network(part: Part, shapes: Shapes, mask_constant: float | None = None) -> Graph:
    """The tensor graph of the part on inputs of these shapes. Raises NtcError where they do not fit."""
    flat = jax.tree.leaves(shapes, is_leaf=_is_shape)
    names = ["x"] if len(flat) == 1 else [f"x{index}" for index in range(len(flat))]
    builder = TensorGraphBuilder(flat[0][:-1], flat[0][-1], None, names[0])
    values = [builder.add_input(shape[:-1], shape[-1], None, name) for shape, name in zip(flat, names, strict=True)]
    if mask_constant is not None:
        mask: Any = "nan" if np.isnan(mask_constant) else float(mask_constant)
        values = [builder.append(Mask(mask), [value]) for value in values]
    value: Value = jax.tree.unflatten(jax.tree.structure(shapes, is_leaf=_is_shape), values)
    result = part.write(builder, value)
    if not isinstance(result, str):
        raise UnsupportedError("a network of several results", hint="join them by FanInSum, FanInProd or FanInConcat")
    return builder.finish("network", result)


def _wanted(get: str | Sequence[str] | None) -> tuple[Kernel, ...]:
    names = KERNELS if get is None else (get,) if isinstance(get, str) else tuple(get)
    if not names or not set(names) <= set(KERNELS):
        raise ParameterError(f"get should be nngp, ntk, a tuple of them, or None; got {get!r:.60}")
    return tuple(kernel for kernel in KERNELS if kernel in names)


@lru_cache
def _result(names: tuple[str, ...]) -> Any:
    return namedtuple("Kernels", names)


def _flat(x: Any) -> Any:
    return tuple(jax.tree.leaves(x)) if isinstance(x, list | tuple) else x


def _shapes(x: Any) -> Shapes:
    if isinstance(x, list | tuple):
        return tuple(map(_shapes, x))
    shape = tuple(np.shape(x))
    if len(shape) < 2:
        raise ParameterError(f"inputs should have shape (n, ..., channels), got {shape}")
    return shape[1:]


def _is_shape(x: Any) -> bool:
    return isinstance(x, tuple) and all(isinstance(size, int) for size in x)


def _dtype(x: Any) -> Any:
    return x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype


def _target() -> Any:
    return {"gpu": "cuda", "tpu": "tpu"}.get(jax.default_backend(), "cpu")
