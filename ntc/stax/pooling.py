"""Pools, and layers that average or drop, with the names and defaults of Neural Tangents."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ntc import nn
from ntc.errors import UnsupportedError
from ntc.ir.op import TensorOp
from ntc.ir.types import Spatial
from ntc.stax.combinators import Layer, constructor, single, triple
from ntc.stax.enums import Padding
from ntc.stax.layout import Layout
from ntc.stax.normalized import over_examples
from ntc.stax.part import Single, operation
from ntc.stax.tuned import Tuned, tuned
from ntc.stax.words import word

Extent = int | Sequence[int] | None


@constructor
def AvgPool(  # noqa: N802
    window_shape: Sequence[int],
    strides: Extent = None,
    padding: str | Padding = "VALID",
    normalize_edges: bool = False,
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> Layer:
    """Means over windows; strides are 1 unless given. See `ntc.ir.ops.AvgPool`."""
    pool = nn.avg_pool(_extent(window_shape), _extent(strides), _padding(padding), normalize_edges)
    return single("AvgPool", pool, (batch_axis, channel_axis))


@constructor
def SumPool(  # noqa: N802
    window_shape: Sequence[int],
    strides: Extent = None,
    padding: str | Padding = "VALID",
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> Layer:
    """Sums over windows; strides are 1 unless given. See `ntc.ir.ops.SumPool`."""
    pool = nn.sum_pool(_extent(window_shape), _extent(strides), _padding(padding))
    return single("SumPool", pool, (batch_axis, channel_axis))


@constructor
def MaxPool(  # noqa: N802
    window_shape: Sequence[int],
    strides: Extent = None,
    padding: str | Padding = "VALID",
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> Layer:
    """Largest of windows; strides are 1 unless given. Finite networks alone. See `ntc.ir.ops.MaxPool`."""
    pool = nn.max_pool(_extent(window_shape), _extent(strides), _padding(padding))
    return single("MaxPool", pool, (batch_axis, channel_axis))


@constructor
def Softmax(batch_axis: int = 0, channel_axis: int = -1) -> Layer:  # noqa: N802
    """Of channels. Finite networks alone. See `ntc.ir.ops.Softmax`."""
    return single("Softmax", nn.softmax(), (batch_axis, channel_axis))


@constructor
def LogSoftmax(batch_axis: int = 0, channel_axis: int = -1) -> Layer:  # noqa: N802
    """Of channels. Finite networks alone. See `ntc.ir.ops.LogSoftmax`."""
    return single("LogSoftmax", nn.log_softmax(), (batch_axis, channel_axis))


@constructor
def BatchNorm(  # noqa: N802
    mode: str = "train", variance: float = 1.0, eps: float = 1e-5, batch_axis: int = 0, channel_axis: int = -1
) -> Layer:
    """Over all examples and positions; `mode` is train, of finite networks alone, or test. See `ntc.ir.ops.BatchNorm`.

    It has no learnt scale and shift.
    """
    norm = nn.batch_norm(mode, float(variance), float(eps))  # type: ignore[arg-type]
    return single("BatchNorm", norm, (batch_axis, channel_axis))


@constructor
def GlobalAvgPool(batch_axis: int = 0, channel_axis: int = -1) -> Layer:  # noqa: N802
    """Mean over all positions. See `ntc.ir.ops.GlobalAvgPool`."""
    return single("GlobalAvgPool", nn.global_avg_pool(), (batch_axis, channel_axis))


@constructor
def GlobalSumPool(batch_axis: int = 0, channel_axis: int = -1) -> Layer:  # noqa: N802
    """Sum over all positions. See `ntc.ir.ops.GlobalSumPool`."""
    return single("GlobalSumPool", nn.global_sum_pool(), (batch_axis, channel_axis))


@constructor
def Dropout(rate: float, mode: str = "train") -> Layer:  # noqa: N802
    """Keeps entries with probability `rate`; `mode` is train or test. See `ntc.ir.ops.Dropout`."""
    return tuned("Dropout", partial(nn.dropout, mode=mode), keep=rate)  # type: ignore[arg-type]


@constructor
def LayerNorm(  # noqa: N802
    axis: int | Sequence[int] = -1, eps: float = 1e-12, batch_axis: int = 0, channel_axis: int = -1
) -> Layer:
    """Mean 0 and variance 1 over the axes, of which channels have to be one. See `ntc.ir.ops.LayerNorm`.

    With the axis of examples, named as `batch_axis` names it, over all examples that are given: of two batches, each.
    """
    named = (axis,) if isinstance(axis, int) else tuple(axis)
    if batch_axis in named:
        return over_examples(named, eps, batch_axis, channel_axis)
    given = Tuned.of(eps=eps)

    def ops(layout: Layout, spatial: Spatial) -> tuple[TensorOp, ...]:
        found = sorted({layout.position("LayerNorm", one) for one in named})
        if found[-1:] != [layout.axes - 1] or found[0] == 0:
            raise UnsupportedError(
                f"LayerNorm over axes {named}",
                hint=f"name the axis of channels, and that of examples as batch_axis = {batch_axis} does",
            )
        normalized = tuple(position - 1 for position in found[:-1])
        return (operation(nn.layer_norm(normalized or None, **given.parameters)),)

    return triple(Single("LayerNorm", ops, (batch_axis, channel_axis), hyper=given.hyper))


def _extent(given: Extent) -> Any:
    return 1 if given is None else given if isinstance(given, int) else tuple(given)


def _padding(given: str | Padding) -> Any:
    return word("padding", given, Padding).lower()
