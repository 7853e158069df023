"""Layers as triples (init_fn, apply_fn, kernel_fn), and how they are combined."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec

from ntc import nn
from ntc.errors import ParameterError, UnsupportedError
from ntc.frontend.layers import Layer as GraphLayer
from ntc.ir.ops import Concat, ConcatSpatial, Elementwise, Product, Sum
from ntc.ir.ops import Identity as IdentityOp
from ntc.stax.custom import Custom
from ntc.stax.finite import Apply, Init
from ntc.stax.kernel import KernelFunction
from ntc.stax.layout import Axes, Layout
from ntc.stax.part import Chain, Join, Parallel, Part, Recipe, Repeat, Single, operation
from ntc.stax.part import FanOut as _FanOut

Layer = tuple[Init, Apply, KernelFunction]


def triple(part: Part) -> Layer:
    """The layer that is this part."""
    return Init(part), Apply(part), KernelFunction(part)


P = ParamSpec("P")


def constructor(make: Callable[P, Layer]) -> Callable[P, Layer]:
    """Decorator of a function that makes a layer: what it makes is pickled as a call of it."""

    @wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> Layer:
        return _recorded(make(*args, **kwargs), (made, args, kwargs))

    return made


def _recorded(made: Layer, recipe: Recipe) -> Layer:
    object.__setattr__(made[2].part, "recipe", recipe)  # parts are frozen
    return made


def single(name: str, layer: GraphLayer, axes: Axes | None = None, hyper: Mapping[str, Any] | None = None) -> Layer:
    """The layer of one op of `ntc.nn`, whose parameters do not depend on its input. `hyper` are values of its
    hyperparameters, by name."""
    ops = (operation(layer),)
    entrywise = isinstance(ops[0], Elementwise | IdentityOp)
    return triple(Single(name, lambda layout, spatial: ops, axes, hyper=hyper or {}, entrywise=entrywise))


def layer(layer_fn: Callable[..., Any]) -> Callable[..., Layer]:
    """Decorator of a function that makes a layer of one's own: (init_fn, apply_fn, kernel_fn).

    `kernel_fn(kernel, **kwargs)` is from `Kernel` to `Kernel`; what is decorated has one that takes inputs as well, and
    `get`. The layer may be combined with others; it counts as independent of other branches. A layer that is made of
    those of `ntc.stax` is not changed.
    """

    @wraps(layer_fn)
    def made(*args: Any, **kwargs: Any) -> Layer:
        init_fn, apply_fn, kernel_fn, *_ = layer_fn(*args, **kwargs)
        if isinstance(kernel_fn, KernelFunction):
            return init_fn, apply_fn, kernel_fn
        return _recorded(triple(Custom(layer_fn.__name__, init_fn, apply_fn, kernel_fn)), (made, args, kwargs))

    return made


def part_of(layer: Layer) -> Part:
    """What a layer is made of.

    Raises ParameterError for what is no layer, UnsupportedError for layers that are not of `ntc.stax`.
    """
    if isinstance(layer, tuple) and len(layer) == 3 and all(map(callable, layer)):
        if not isinstance(layer[2], KernelFunction):
            raise UnsupportedError("layers with a kernel_fn of their own", hint="what makes them wants @stax.layer")
        part: Part = layer[2].part
        return part
    if isinstance(layer, KernelFunction):
        raise ParameterError(f"{layer.part.name}: its kernel_fn is given, where the layer is wanted")
    if callable(layer):
        name = getattr(layer, "__name__", type(layer).__name__)
        raise ParameterError(f"{name} makes a layer, and is none itself", hint=f"write {name}() in place of {name}")
    if isinstance(layer, list | tuple):
        raise ParameterError(
            f"a {type(layer).__name__} is given, where a layer is wanted",
            hint="write serial(*layers) in place of serial(layers)",
        )
    raise ParameterError(f"a layer is wanted, got {layer!r:.60}", hint="layers are made by functions, as Dense(512)")


@constructor
def serial(*layers: Layer) -> Layer:
    """The layers one after another. Raises ParameterError without any."""
    if not layers:
        raise ParameterError("serial needs one or more layers", hint="Identity() does nothing")
    return triple(Chain("serial", tuple(map(part_of, layers))))


@constructor
def parallel(*layers: Layer) -> Layer:
    """Each layer on an input of its own: of a tuple of inputs, as FanOut makes."""
    return triple(Parallel("parallel", tuple(map(part_of, layers))))


@constructor
def repeat(layer: Layer, n: int) -> Layer:
    """n copies of the layer one after another, each with weights of its own, which are stacked in the parameters."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 0:
        raise ParameterError(f"repeat: n should be a whole number from 0, got {n}")
    return triple(Repeat("repeat", part_of(layer), n))


@constructor
def Identity() -> Layer:  # noqa: N802
    """The input."""
    return single("Identity", nn.identity())


@constructor
def FanOut(num: int) -> Layer:  # noqa: N802
    """The input num times, as a tuple."""
    if isinstance(num, bool) or not isinstance(num, int) or num < 1:
        raise ParameterError(f"FanOut: num should be a positive whole number, got {num}")
    return triple(_FanOut("FanOut", num))


@constructor
def FanInSum() -> Layer:  # noqa: N802
    """Sum of a tuple of inputs. See `ntc.ir.ops.Sum`."""
    return triple(Join("FanInSum", lambda layout: Sum()))


@constructor
def FanInProd() -> Layer:  # noqa: N802
    """Product, entry by entry, of a tuple of inputs. See `ntc.ir.ops.Product`."""
    return triple(Join("FanInProd", lambda layout: Product()))


@constructor
def FanInConcat(axis: int = -1) -> Layer:  # noqa: N802
    """A tuple of inputs side by side along the axis of channels, or along a spatial one."""

    def make(layout: Layout) -> Concat | ConcatSpatial:
        at = layout.position("FanInConcat", axis)
        if at == 0:
            raise UnsupportedError("FanInConcat along the axis of examples", hint="concatenate kernels instead")
        return Concat() if at == layout.axes - 1 else ConcatSpatial(at - 1)

    return triple(Join("FanInConcat", make))
