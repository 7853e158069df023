"""`init_fn` and `apply_fn` of `ntc.stax`: finite networks, with parameters nested as the layers are.

The parameters of `serial` are a list and those of `parallel` a tuple, with one entry per layer; those of `repeat` are
the parameters of its layer, stacked; those of a layer with weights are (w, b), where b is None without bias, and those
of every other layer are ().
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ntc.backends.jax.finite import FORWARD, masking
from ntc.backends.jax.hyper import bound
from ntc.errors import InputError, ParameterError, ShapeError
from ntc.ir.op import TensorOp
from ntc.ir.ops import Aggregate
from ntc.ir.types import Distribution, TensorType
from ntc.stax.custom import Custom, masking_of
from ntc.stax.entrywise import entries, is_entrywise
from ntc.stax.layout import Layout
from ntc.stax.masked import marked, mask_of
from ntc.stax.part import Chain, FanOut, Join, OfPart, Parallel, Part, Repeat, Single, is_shape, layouts
from ntc.stax.patterns import adjacent, vertices
from ntc.stax.presence import present
from ntc.stax.weights import drawn, scaled

Shape = Any
"""Sizes of an array, of which that of examples may be anything, as -1; or a tuple of Shapes."""


class Init(OfPart):
    """`init_fn(rng, input_shape)` gives the shape of the output and random parameters."""

    def __call__(self, rng: jax.Array, input_shape: Shape, **ignored: Any) -> tuple[Shape, Any]:
        """Parameters are drawn in the default precision; other arguments are ignored.

        Raises NtcError where the shape does not fit.
        """
        shape = _tupled(input_shape)
        placed = _place(shape, layouts(shape, self.part.placed))
        result, params = _init(self.part, rng, placed)
        return _shapes(result), params


class Apply(OfPart):
    """`apply_fn(params, inputs, rng=None, ...)` gives the output for any number of examples, at any image size."""

    def __call__(
        self,
        params: Any,
        inputs: Any,
        *,
        rng: jax.Array | None = None,
        pattern: Any = None,
        mask_constant: float | None = None,
        **ignored: Any,
    ) -> Any:
        """The output, of the shape that `init_fn` says.

        Args:
          params: as `init_fn` makes them.
          inputs: an array, or a tuple of arrays, with axes where the layers say they are.
          rng: what dropout draws from.
          pattern: graphs of the examples, for `Aggregate`, which without them returns its input.
          mask_constant: entries of this value are missing. Masked positions of the output are zero.
          ignored: whatever else may be given to layers.

        Raises:
          NtcError: the network does not fit the arrays.
        """
        if not isinstance(inputs, tuple | list) and jnp.ndim(inputs) < 2 and is_entrywise(self.part):
            return entries(self.part, jnp.asarray(inputs))
        placed = layouts(_array_shapes(inputs), self.part.placed)
        with jax.numpy_rank_promotion("allow"):  # whatever callers ask of their own code
            entered = _enter(inputs, placed, mask_constant)
            return _leave(_apply(self.part, params, entered, _Call(rng, pattern)))


@dataclass(frozen=True)
class _Placed:
    """The shape of an array in standard order, and where its axes are."""

    shape: tuple[int, ...]
    layout: Layout

    @property
    def type(self) -> TensorType:
        return TensorType(tuple(self.shape[1:-1]), self.shape[-1], Distribution.GENERAL)


@dataclass(frozen=True)
class _Array:
    """An array in standard order, where its axes are for users, and which positions are there."""

    x: jax.Array
    layout: Layout
    mask: masking.Mask = None

    @property
    def type(self) -> TensorType:
        return TensorType(tuple(self.x.shape[1:-1]), self.x.shape[-1], Distribution.GENERAL)


@dataclass(frozen=True)
class _Call:
    """What one call of `apply_fn` was given besides inputs."""

    rng: jax.Array | None
    pattern: Any

    def split(self, count: int) -> list[_Call]:
        """One for each of so many layers."""
        if self.rng is None:
            return [self] * count
        return [replace(self, rng=key) for key in jax.random.split(self.rng, count)]


def _init(part: Part, rng: jax.Array, value: Any) -> tuple[Any, Any]:
    match part:
        case FanOut():
            return (value,) * part.count, ()
        case Chain():
            params = []
            for inner in part.parts:
                rng, key = jax.random.split(rng)
                value, own = _init(inner, key, value)
                params.append(own)
            return value, params
        case Repeat():
            return value, _init_repeat(part, rng, value)
        case Parallel():
            pairs = part.pairs(value)
            keys = jax.random.split(rng, len(pairs))
            found = [_init(inner, key, own) for (inner, own), key in zip(pairs, keys, strict=True)]
            return tuple(out for out, _ in found), tuple(own for _, own in found)
        case Join():
            layout = part.check(value)
            spatial, channels = part.make(layout).shape(*(operand.type for operand in value))
            return _Placed((value[0].shape[0], *spatial, channels), layout), ()
        case Single():
            return _init_single(part, rng, value)
        case Custom():
            shape, own = part.init(rng, _shapes(value))
            return _place(_tupled(shape), _layouts_after(shape, value)), own
    raise AssertionError(part)


def _init_repeat(part: Repeat, rng: jax.Array, value: Any) -> Any:
    """The parameters of every copy, stacked."""
    result, like = _init(part.part, rng, value)
    if result != value:
        raise ShapeError(
            f"repeat: its layer makes shape {_shapes(result)} of {_shapes(value)}; it should keep the shape",
            hint="serial(*([layer] * n))",
        )
    copies = []
    for _ in range(part.count):
        rng, key = jax.random.split(rng)
        copies.append(_init(part.part, key, value)[1])
    if not copies:
        return jax.tree.map(lambda x: jnp.zeros((0, *x.shape), x.dtype), like)
    return jax.tree.map(lambda *own: jnp.stack(own), *copies)


def _init_single(part: Single, rng: jax.Array, value: Any) -> tuple[_Placed, Any]:
    layout = part.check(value).layout
    if (chosen := part.examples(layout)) is not None and value.shape[0] >= 0:
        value = replace(value, shape=(len(range(value.shape[0])[chosen]), *value.shape[1:]))
    if part.forward is not None:
        like = jnp.zeros((1, *value.shape[1:]))
        shape = jax.eval_shape(partial(part.forward, layout), like).shape
        return _Placed((value.shape[0], *shape[1:]), part.result(layout, len(shape) - 2)), ()
    type_: TensorType = value.type
    params: tuple[Any, ...] = ()
    for op in part.ops(layout, type_.spatial):
        spatial, channels = op.shape(type_)
        weights = op.weights(type_)
        out = part.result(layout, len(spatial))
        if weights:
            params = drawn(part, rng, weights, layout, out, type_)
        type_ = TensorType(spatial, channels, Distribution.GENERAL)
    out = part.result(layout, len(type_.spatial))
    return _Placed((value.shape[0], *type_.spatial, type_.channels), out), params


def _apply(part: Part, params: Any, value: Any, call: _Call) -> Any:
    match part:
        case FanOut():
            return (value,) * part.count
        case Chain():
            for inner, own, each in zip(part.parts, params, call.split(len(part.parts)), strict=True):
                value = _apply(inner, own, value, each)
            return value
        case Repeat():
            return _apply_repeat(part, params, value, call)
        case Parallel():
            pairs = part.pairs(value)
            calls = call.split(len(pairs))
            return tuple(
                _apply(inner, own, one, each) for (inner, one), own, each in zip(pairs, params, calls, strict=True)
            )
        case Join():
            layout = part.check(value)
            return _apply_op(part.make(layout), {}, value, call, layout)
        case Single():
            return _apply_single(part, params, value, call)
        case Custom():
            return _apply_custom(part, params, value, call)
    raise AssertionError(part)


def _apply_repeat(part: Repeat, params: Any, value: Any, call: _Call) -> Any:
    keys = None if call.rng is None else jax.random.split(call.rng, part.count)

    def step(x: Any, given: tuple[Any, Any]) -> tuple[Any, None]:
        own, key = given
        before = jax.tree.map(lambda like, array: replace(like, x=array), value, x, is_leaf=_is_array)
        after = _apply(part.part, own, before, replace(call, rng=key))
        return jax.tree.map(lambda each: each.x, after, is_leaf=_is_array), None

    first = jax.tree.map(lambda each: each.x, value, is_leaf=_is_array)
    last, _ = jax.lax.scan(step, first, (params, keys), length=part.count)
    return jax.tree.map(lambda like, array: replace(like, x=array), value, last, is_leaf=_is_array)


def _apply_single(part: Single, params: Any, given: Any, call: _Call) -> _Array:
    value: _Array = part.check(given)
    layout = value.layout
    if (chosen := part.examples(layout)) is not None:
        value = replace(value, x=value.x[chosen], mask=None if value.mask is None else value.mask[chosen])
    if part.forward is not None:
        y = part.forward(layout, value.x)
        mask = value.mask if y.ndim == value.x.ndim else None
        y = y if mask is None else jnp.where(mask[..., None], y, 0)
        return _Array(y, part.result(layout, y.ndim - 2), mask)
    for op in part.ops(layout, value.type.spatial):
        if part.dense is not None and isinstance(op, Aggregate):
            call = replace(call, pattern=part.dense(call.pattern, vertices(op, value.type.spatial)))
            if call.pattern is None:
                return value
        out = part.result(layout, len(op.shape(value.type)[0]))
        weights = scaled(part, params, op.weights(value.type), out)
        value = _apply_op(bound(op, part.hyper), weights, (value,), call, out)
    return replace(value, layout=part.result(layout, value.x.ndim - 2))


def _apply_custom(part: Custom, params: Any, value: Any, call: _Call) -> Any:
    masks = _missing(value)
    masking = masking_of(part) if jax.tree.leaves(masks) else None
    given = {"rng": call.rng, "pattern": call.pattern, "mask": None if masking is None else masks}
    inputs = _leave(value)
    y = part.apply(params, inputs, **{name: x for name, x in given.items() if x is not None})
    entered = _enter(y, _layouts_after(_array_shapes(y), value), None)
    return entered if masking is None else _with_masks(entered, masking.move(masks, _array_shapes(inputs)))


def _missing(value: Any) -> Any:
    """The masks of values for users: true where a position is missing, with one channel."""
    if isinstance(value, tuple):
        return tuple(map(_missing, value))
    return None if value.mask is None else value.layout.stored(~value.mask[..., None])


def _with_masks(value: Any, masks: Any) -> Any:
    """Values with masks, zero where they are masked."""
    if isinstance(value, tuple):
        several = masks if isinstance(masks, tuple | list) else (masks,) * len(value)
        return tuple(map(_with_masks, value, several))
    if masks is None:
        return value
    seen = present(masks, value.layout.stored(value.x.shape), value.layout)
    return replace(value, x=jnp.where(seen[..., None], value.x, 0), mask=seen)


def _layouts_after(shape: Any, value: Any) -> Any:
    """Where the axes of what a layer of one's own makes of a value are: where they were, as far as they are there."""
    first = value
    while isinstance(first, tuple):
        first = first[0]
    if not is_shape(shape):
        return tuple(_layouts_after(one, value) for one in shape)
    return first.layout.resized(len(shape) - 2)


def _apply_op(
    op: TensorOp, weights: Mapping[str, jax.Array], operands: tuple[_Array, ...], call: _Call, layout: Layout
) -> _Array:
    op.shape(*(operand.type for operand in operands))
    first = operands[0]
    row = next(FORWARD[cls] for cls in type(op).__mro__ if cls in FORWARD)
    given: dict[str, Any] = {"mask": first.mask} if isinstance(op, masking.READ_MASK) else {}
    given |= {"key": _drawn_from(op, call.rng)} if op.draws else {}
    given |= {"packed": _with_pattern(op, first.x, call.pattern)} if isinstance(op, Aggregate) else {}
    y = row(op, weights, *(operand.x for operand in operands), **given)
    joined = masking.joined([operand.mask for operand in operands])
    mask = masking.moved(op, first.type, first.x, joined, given.get("packed"))
    return _Array(masking.masked(op, y, mask), layout, mask)


def _with_pattern(op: Aggregate, x: jax.Array, pattern: Any) -> jax.Array:
    """The input with the rows of the pattern in further channels."""
    spatial = x.shape[1:-1]
    rule = op.kernel_op(spatial)
    dense = adjacent(pattern, op, spatial, x.shape[0]).astype(x.dtype)
    if dense.shape[0] != x.shape[0]:
        raise InputError(f"the pattern is of {dense.shape[0]} examples, the input of {x.shape[0]}")
    sizes = [n if axis in rule.axes else 1 for axis, n in enumerate(spatial)]
    rows = dense.reshape(x.shape[0], *sizes, dense.shape[-1])
    return jnp.concatenate([x, jnp.broadcast_to(rows, (*x.shape[:-1], dense.shape[-1]))], -1)


def _drawn_from(op: TensorOp, rng: jax.Array | None) -> jax.Array:
    if rng is None:
        raise InputError(f"{op.name} draws random numbers: apply_fn needs rng", hint="apply_fn(params, x, rng=key)")
    return rng


def _enter(inputs: Any, layout: Any, mask_constant: float | None) -> Any:
    if isinstance(inputs, tuple | list):
        return tuple(_enter(x, one, mask_constant) for x, one in zip(inputs, layout, strict=True))
    value = _Array(layout.standard(jnp.asarray(inputs)), layout)
    if mask_constant is None:
        return value
    x = value.x if jnp.issubdtype(value.x.dtype, jnp.inexact) else value.x.astype(float)
    constant, x = marked(mask_constant, x, x.dtype)
    return _apply_op(mask_of(constant), {}, (replace(value, x=x),), _Call(None, None), layout)


def _leave(value: Any) -> Any:
    return tuple(map(_leave, value)) if isinstance(value, tuple) else value.layout.stored(value.x)


def _place(shape: Any, layout: Any) -> Any:
    if isinstance(layout, tuple):
        return tuple(map(_place, shape, layout))
    return _Placed(layout.standard(shape), layout)


def _shapes(value: Any) -> Shape:
    return tuple(map(_shapes, value)) if isinstance(value, tuple) else value.layout.stored(value.shape)


def _tupled(shape: Any) -> Any:
    """Nested tuples of lists and tuples."""
    if not isinstance(shape, tuple | list):
        raise ParameterError(f"input_shape should be a tuple of sizes, got {shape!r:.60}")
    return tuple(shape) if is_shape(shape) else tuple(map(_tupled, shape))


def _array_shapes(x: Any) -> Any:
    return tuple(map(_array_shapes, x)) if isinstance(x, tuple | list) else jnp.shape(x)


def _is_array(value: Any) -> bool:
    return isinstance(value, _Array)
