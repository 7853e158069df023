"""`init_fn` and `apply_fn` of `ntc.stax`: finite networks, with parameters nested as the layers are.

The parameters of `serial` and `parallel` are tuples with one entry per layer, those of a layer with weights are (W, b),
where b is None without bias, and those of every other layer are ().
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax

from ntc.backends.jax.finite import FORWARD, masking
from ntc.errors import InputError, UnsupportedError
from ntc.ir.op import TensorOp
from ntc.ir.ops import Aggregate, Mask
from ntc.ir.types import Distribution, TensorType
from ntc.stax.part import Chain, FanOut, Join, Parallel, Part, Single

Shape = Any
"""(n, *spatial, channels), with n = -1 for any number; or a tuple of Shapes."""


@dataclass(frozen=True)
class Init:
    """`init_fn(rng, input_shape)` gives the shape of the output and random parameters."""

    part: Part

    def __call__(self, rng: jax.Array, input_shape: Shape) -> tuple[Shape, Any]:
        """Parameters are drawn in the default precision. Raises NtcError where the shape does not fit."""
        return _init(self.part, rng, input_shape)


@dataclass(frozen=True)
class Apply:
    """`apply_fn(params, inputs, rng=None)` gives the output on inputs (n, *spatial, channels) of any size."""

    part: Part

    def __call__(self, params: Any, inputs: Any, *, rng: jax.Array | None = None, **unsupported: Any) -> Any:
        """`rng` is what dropout draws from. Raises InputError without it, UnsupportedError for masks and patterns."""
        given = sorted(name for name, value in unsupported.items() if value is not None)
        if given:
            raise UnsupportedError(f"apply_fn does not take {', '.join(given)}")
        return _apply(self.part, params, inputs, rng)


def _init(part: Part, rng: jax.Array, shape: Shape) -> tuple[Shape, Any]:
    match part:
        case FanOut(count):
            return (shape,) * count, ()
        case Chain(parts):
            params = []
            for inner in parts:
                rng, key = jax.random.split(rng)
                shape, drawn = _init(inner, key, shape)
                params.append(drawn)
            return shape, tuple(params)
        case Parallel(parts):
            keys = jax.random.split(rng, len(parts))
            found = [_init(*each) for each in zip(parts, keys, shape, strict=True)]
            return tuple(out for out, _ in found), tuple(drawn for _, drawn in found)
        case Single() | Join():
            return _init_op(part, rng, shape)
    raise AssertionError(part)


def _init_op(part: Single | Join, rng: jax.Array, shape: Shape) -> tuple[Shape, Any]:
    shapes = shape if isinstance(part, Join) else (shape,)
    op, types = part.make(len(shapes[0])), [_tensor(one) for one in shapes]
    spatial, channels = op.shape(*types)
    weights = op.weights(types[0])
    keys = jax.random.split(rng, max(1, len(weights)))
    drawn = tuple(
        weight.std * jax.random.normal(key, weight.shape) for key, weight in zip(keys, weights.values(), strict=False)
    )
    if tuple(weights) == ("w",):
        drawn = (*drawn, None)  # type: ignore[assignment]
    return (shapes[0][0], *spatial, channels), drawn


def _apply(part: Part, params: Any, x: Any, rng: jax.Array | None) -> Any:
    match part:
        case FanOut(count):
            return (x,) * count
        case Chain(parts):
            for inner, own, key in zip(parts, params, _keys(rng, len(parts)), strict=True):
                x = _apply(inner, own, x, key)
            return x
        case Parallel(parts):
            keys = _keys(rng, len(parts))
            return tuple(_apply(*each) for each in zip(parts, params, x, keys, strict=True))
        case Single() | Join():
            return _apply_op(part, params, x, rng)
    raise AssertionError(part)


def _apply_op(part: Single | Join, params: Any, x: Any, rng: jax.Array | None) -> jax.Array:
    operands = tuple(x) if isinstance(part, Join) else (x,)
    op = part.make(operands[0].ndim)
    if isinstance(op, Aggregate | Mask):
        raise UnsupportedError(f"apply_fn of {op.name}")
    types = [_tensor(operand.shape) for operand in operands]
    op.shape(*types)
    weights = op.weights(types[0])
    scaled = {
        name: weight.multiplier * array for (name, weight), array in zip(weights.items(), params, strict=False)
    }
    row = next(FORWARD[cls] for cls in type(op).__mro__ if cls in FORWARD)
    given: dict[str, Any] = {"mask": None} if isinstance(op, masking.READ_MASK) else {}
    given |= {"key": _drawn_from(op, rng)} if op.draws else {}
    return row(op, scaled, *operands, **given)


def _drawn_from(op: TensorOp, rng: jax.Array | None) -> jax.Array:
    if rng is None:
        raise InputError(f"{op.name} draws random numbers: apply_fn needs rng", hint="apply_fn(params, x, rng=key)")
    return rng


def _keys(rng: jax.Array | None, count: int) -> list[Any]:
    return [None] * count if rng is None else list(jax.random.split(rng, count))


def _tensor(shape: tuple[int, ...]) -> TensorType:
    return TensorType(tuple(shape[1:-1]), shape[-1], Distribution.GENERAL)
