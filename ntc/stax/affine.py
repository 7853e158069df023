"""Dense and convolutional layers, with the names and defaults of Neural Tangents.

Scales may be traced, so that kernels can be differentiated by them: they are then hyperparameters of the program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from ntc import nn
from ntc.backends.jax.known import is_traced
from ntc.errors import ParameterError, UnsupportedError
from ntc.stax.combinators import Layer, triple
from ntc.stax.enums import Padding
from ntc.stax.layout import LAST, Axes, Layout
from ntc.stax.part import Filters, Single, operation
from ntc.stax.words import word

Extent = int | Sequence[int] | None


def Dense(  # noqa: N802
    out_dim: int,
    W_std: float = 1.0,  # noqa: N803
    b_std: float | None = None,
    batch_axis: int = 0,
    channel_axis: int = -1,
    parameterization: str = "ntk",
    s: tuple[int, int] = (1, 1),
) -> Layer:
    """Fully connected layer. `s` is by how much the layer below and this one are wider than the network they stand for.

    See `ntc.ir.ops.Dense`.
    """
    scales = _Scales.of(W_std, b_std, parameterization)
    ops = (operation(nn.dense(out_dim * s[1], width_ratio=float(s[0]), **scales.parameters)),)
    return triple(Single("Dense", lambda layout, spatial: ops, (batch_axis, channel_axis), hyper=scales.hyper))


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
    """Convolution. See `ntc.ir.ops.Conv`.

    `dimension_numbers` name the axes of input, filter and output: ("NCHW", "OIHW", "NCHW") for channels first.
    """
    scales = _Scales.of(W_std, b_std, parameterization)
    return _convolution("Conv", nn.conv, out_chan, filter_shape, strides, padding, dimension_numbers, s, scales)


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
    stride = 1 if strides is None else strides if isinstance(strides, int) else tuple(strides)
    pad = word("padding", padding, Padding).lower()
    given = {"width_ratio": float(s[0]), **scales.parameters}
    op = operation(make(channels * s[1], tuple(filter_shape), stride, pad, **given))
    part = Single(name, lambda layout, spatial: (op,), LAST, hyper=scales.hyper)
    if dimension_numbers is None:
        return triple(part)
    x, w, y = _numbers(name, dimension_numbers, len(filter_shape))
    order = tuple(_standard(w).index(letter) for letter in w)
    out = Layout.of(len(y), _axes(y))
    return triple(replace(part, axes=_axes(x), result=lambda layout, spatial: out, filters=Filters(order=order)))


def _numbers(name: str, given: tuple[str, str, str], spatial: int) -> tuple[str, str, str]:
    """The three words. Raises ParameterError, UnsupportedError."""
    if len(given) != 3 or any(len({*word}) != spatial + 2 or len(word) != spatial + 2 for word in given):
        raise ParameterError(f"{name}: dimension_numbers {given} for {spatial} spatial axes", hint=_EXAMPLE)
    x, w, y = (word.upper() for word in given)
    letters = [letter for letter in x if letter not in "NC"]
    if not ({"N", "C"} <= {*x} == {*y} and {*w} == {*letters, "I", "O"}):
        raise ParameterError(f"{name}: dimension_numbers {given} do not name the same axes", hint=_EXAMPLE)
    if [letter for letter in y if letter not in "NC"] != letters:
        raise UnsupportedError(f"{name}: dimension_numbers {given} that change the order of spatial axes")
    if name == "ConvLocal" and [letter for letter in w if letter not in "IO"] != letters:
        raise UnsupportedError(f"{name}: filters whose spatial axes are in another order")
    return x, "".join(letter if letter in "IO" else _POSITION[letters.index(letter)] for letter in w), y


_EXAMPLE = '("NCHW", "OIHW", "NCHW")'
_POSITION = "abc"


def _standard(w: str) -> str:
    """Letters of the axes of a filter in the order of `ntc`."""
    return _POSITION[: len(w) - 2] + "IO"


def _axes(letters: str) -> Axes:
    return letters.index("N"), letters.index("C")


@dataclass(frozen=True)
class _Scales:
    """Parameters of a layer with weights, and the values of those that are traced, which are hyperparameters."""

    parameters: dict[str, Any]
    hyper: dict[str, Any]

    @classmethod
    def of(cls, w_std: Any, b_std: Any, parameterization: str) -> _Scales:
        hyper: dict[str, Any] = {}
        scales = {"w_std": w_std, "b_std": 0.0 if b_std is None else b_std}
        for name, value in scales.items():
            if is_traced(value):
                label = f"{name}_{next(_NUMBERS)}"
                hyper[label], scales[name] = value, nn.hyper(1.0, label)
            else:
                scales[name] = float(value)
        return cls({**scales, "bias": b_std is not None, "parameterization": parameterization.lower()}, hyper)


_NUMBERS = count()
"""Two layers with traced scales have two hyperparameters."""
