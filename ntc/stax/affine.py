"""Dense and convolutional layers, with the names and defaults of Neural Tangents.

Scales may be traced, so that kernels can be differentiated by them: they are then hyperparameters of the program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import copysign
from typing import Any

from ntc import nn
from ntc.errors import ParameterError, ShapeError
from ntc.ir.op import TensorOp
from ntc.ir.types import Spatial
from ntc.stax.combinators import Layer, constructor, triple
from ntc.stax.enums import Padding
from ntc.stax.layout import Axes, Layout
from ntc.stax.part import Filters, Single, operation
from ntc.stax.tuned import Tuned
from ntc.stax.words import word

Extent = int | Sequence[int] | None


@constructor
def Dense(  # noqa: N802
    out_dim: int,
    W_std: float = 1.0,  # noqa: N803
    b_std: float | None = None,
    batch_axis: int = 0,
    channel_axis: int = -1,
    parameterization: str = "ntk",
    s: tuple[int, int] = (1, 1),
) -> Layer:
    """Fully connected layer. See `ntc.ir.ops.Dense`.

    `s` is by how much the layer below and this one are wider than the network they stand for, in the standard
    parameterization; in the other one kernels do not depend on it, and it has no effect.
    """
    scales = _Scales.of(W_std, b_std, parameterization)
    ops = (operation(nn.dense(scales.width(out_dim, s), **scales.given(s))),)
    return triple(
        Single("Dense", lambda layout, spatial: ops, (batch_axis, channel_axis), hyper=scales.hyper, signs=scales.signs)
    )


@constructor
def Conv(  # noqa: N802
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Extent = None,
    padding: str | Padding = "VALID",
    W_std: float = 1.0,  # noqa: N803
    b_std: float | None = None,
    dimension_numbers: tuple[str, str, str] | None = None,
    parameterization: str = "ntk",
    s: tuple[int, int] = (1, 1),
) -> Layer:
    """Convolution; a dense layer where `filter_shape` is empty. See `ntc.ir.ops.Conv`, and `Dense` for `s`.

    `dimension_numbers` name the axes of input, filter and output: ("NCHW", "OIHW", "NCHW") for channels first. As in
    `jax.lax.conv_general_dilated`, `filter_shape` and `strides` are in the order of the filter's letters.
    """
    scales = _Scales.of(W_std, b_std, parameterization)
    return _convolution("Conv", nn.conv, out_chan, filter_shape, strides, padding, dimension_numbers, s, scales)


@constructor
def ConvTranspose(  # noqa: N802
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Extent = None,
    padding: str | Padding = "VALID",
    W_std: float = 1.0,  # noqa: N803
    b_std: float | None = None,
    dimension_numbers: tuple[str, str, str] | None = None,
    parameterization: str = "ntk",
    s: tuple[int, int] = (1, 1),
) -> Layer:
    """Transposed convolution. See `ntc.ir.ops.ConvTranspose`, and `Conv` for the parameters."""
    scales = _Scales.of(W_std, b_std, parameterization)
    make = nn.conv_transpose
    return _convolution("ConvTranspose", make, out_chan, filter_shape, strides, padding, dimension_numbers, s, scales)


@constructor
def ConvLocal(  # noqa: N802
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Extent = None,
    padding: str | Padding = "VALID",
    W_std: float = 1.0,  # noqa: N803
    b_std: float | None = None,
    dimension_numbers: tuple[str, str, str] | None = None,
    parameterization: str = "ntk",
    s: tuple[int, int] = (1, 1),
) -> Layer:
    """Convolution with a filter of its own at every position. See `ntc.ir.ops.ConvLocal`, `Conv` for the parameters."""
    scales = _Scales.of(W_std, b_std, parameterization)
    make = nn.conv_local
    return _convolution("ConvLocal", make, out_chan, filter_shape, strides, padding, dimension_numbers, s, scales)


def _convolution(
    name: str,
    make: Callable[..., Any],
    channels: int,
    filter_shape: Sequence[int],
    strides: Extent,
    padding: str | Padding,
    dimension_numbers: tuple[str, str, str] | None,
    s: tuple[int, int],
    scales: _Scales,
) -> Layer:
    if not filter_shape:
        return _pointwise(name, channels, dimension_numbers, s, scales)
    letters = _Letters.of(name, dimension_numbers, len(filter_shape))
    kernel = letters.of_filter(filter_shape)
    stride = 1 if strides is None else strides if isinstance(strides, int) else letters.of_filter(strides)
    pad = word("padding", padding, Padding).lower()
    op = operation(make(scales.width(channels, s), kernel, stride, pad, **scales.given(s)))
    ops = (op,) if letters.swap is None else (op, operation(nn.transpose(letters.swap)))
    out = Layout.of(len(letters.y), _axes(letters.y))
    return triple(
        Single(
            name,
            lambda layout, spatial: ops,
            _axes(letters.x),
            lambda layout, spatial: out,
            letters.filters(filter_shape if make is nn.conv_local else None),
            hyper=scales.hyper,
            signs=scales.signs,
        )
    )


def _pointwise(
    name: str, channels: int, dimension_numbers: tuple[str, str, str] | None, s: tuple[int, int], scales: _Scales
) -> Layer:
    """A convolution without spatial axes: a dense layer."""
    letters = _Letters.of(name, dimension_numbers, 0)
    op = operation(nn.dense(scales.width(channels, s), **scales.given(s)))
    out = Layout.of(2, _axes(letters.y))

    def ops(layout: Layout, spatial: Spatial) -> tuple[TensorOp, ...]:
        if spatial:
            raise ShapeError(f"{name}: a filter without axes, and an input with {len(spatial)} spatial axes")
        return (op,)

    return triple(
        Single(
            name, ops, _axes(letters.x), lambda *_: out, letters.filters(None), hyper=scales.hyper, signs=scales.signs
        )
    )


@dataclass(frozen=True)
class _Letters:
    """`dimension_numbers`: axes of input, filter and output by letter. As in JAX, sizes and strides of a filter are in
    the order of its own letters.

    Attributes:
      x, w, y: the words, of N, C and one letter for every spatial axis; w with I and O.
    """

    x: str
    w: str
    y: str

    @classmethod
    def of(cls, name: str, given: tuple[str, str, str] | None, spatial: int) -> _Letters:
        """By default examples first and channels last. Raises ParameterError."""
        if given is None:
            own = _SPATIAL[:spatial]
            return cls(f"N{own}C", f"{own}IO", f"N{own}C")
        if len(given) != 3 or any(len({*word}) != spatial + 2 or len(word) != spatial + 2 for word in given):
            raise ParameterError(f"{name}: dimension_numbers {given} for {spatial} spatial axes", hint=_EXAMPLE)
        found = cls(*(word.upper() for word in given))
        if not ({"N", "C"} <= {*found.x} == {*found.y} and {*found.w} == {*_spatial(found.x), "I", "O"}):
            raise ParameterError(f"{name}: dimension_numbers {given} do not name the same axes", hint=_EXAMPLE)
        return found

    @property
    def places(self) -> tuple[int, ...]:
        """For every spatial axis of the input, which one of the filter it is."""
        return tuple(map(_spatial(self.w).index, _spatial(self.x)))

    def of_filter(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Sizes in the order of the filter's letters, in that of the input. Raises ParameterError."""
        if len(sizes) != len(self.places):
            raise ParameterError(f"a filter with {len(self.places)} axes, and {len(sizes)} sizes or strides for them")
        return tuple(sizes[place] for place in self.places)

    @property
    def swap(self) -> tuple[int, ...] | None:
        """For every spatial axis of the output, which one of the input it is; None if all are in order."""
        order = tuple(map(_spatial(self.x).index, _spatial(self.y)))
        return None if order == tuple(sorted(order)) else order

    def filters(self, taps: Sequence[int] | None) -> Filters:
        """How parameters lie; `taps` are those of filters at every position, in the order of the filter."""
        order = tuple(map((_spatial(self.x) + "IO").index, self.w))
        if taps is None:
            return Filters(order=order)
        bias = (*(self.swap or range(len(taps))), len(taps))
        return Filters(order=order, bias=bias, taps=tuple(zip(taps, self.places, strict=True)))


_EXAMPLE = '("NCHW", "OIHW", "NCHW")'
_SPATIAL = "HWD" + "ABEFG"


def _spatial(letters: str) -> str:
    return "".join(letter for letter in letters if letter not in "NCIO")


def _axes(letters: str) -> Axes:
    return letters.index("N"), letters.index("C")


@dataclass(frozen=True)
class _Scales:
    """Parameters of a layer with weights, values of those that are traced, and signs of arrays by slot: kernels do not
    depend on these, what a finite network computes of given parameters does."""

    parameters: dict[str, Any]
    hyper: dict[str, Any]
    signs: dict[str, float]

    @classmethod
    def of(cls, w_std: Any, b_std: Any, parameterization: str) -> _Scales:
        given = Tuned.of(w_std=w_std, b_std=0.0 if b_std is None else b_std)
        signs = {name[0]: copysign(1.0, x) for name, x in given.parameters.items() if isinstance(x, float)}
        scales = {name: abs(x) if isinstance(x, float) else x for name, x in given.parameters.items()}
        scales |= {"bias": b_std is not None, "parameterization": parameterization.lower()}
        return cls(scales, given.hyper, signs)

    def width(self, channels: int, s: tuple[int, int]) -> int:
        """Channels of the finite layer: `s` has a meaning in the standard parameterization only."""
        return channels * s[1] if self._standard else channels

    def given(self, s: tuple[int, int]) -> dict[str, Any]:
        """Parameters of the layer, with the ratio of widths."""
        return {"width_ratio": float(s[0]) if self._standard else 1.0, **self.parameters}

    @property
    def _standard(self) -> bool:
        return bool(self.parameters["parameterization"] == "standard")
