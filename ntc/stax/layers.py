"""Layers with weights, pools and what else is not a nonlinearity, with the names and defaults of Neural Tangents.

Axes of batch and of channels are the first and the last. Every function makes a layer of `ntc.nn`, where it is documented.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ntc import nn
from ntc.errors import ParameterError, UnsupportedError
from ntc.ir.op import TensorOp
from ntc.stax.combinators import Layer, single, spatial_axis, triple
from ntc.stax.part import Single, operation

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
    """Dense layer. `s` is by how much the layer below and this one are wider than the network they stand for."""
    _check_axes(batch_axis, channel_axis)
    scales = _scales(W_std, b_std, parameterization)
    return single(nn.dense(out_dim * s[1], width_ratio=float(s[0]), **scales))


def _convolution(make: Callable[..., Any]) -> Callable[..., Layer]:
    """The layer of one kind of convolution of `ntc.nn`."""

    def layer(
        out_chan: int,
        filter_shape: Sequence[int],
        strides: Extent = None,
        padding: str = "VALID",
        W_std: float = 1.0,  # noqa: N803
        b_std: float | None = None,
        dimension_numbers: tuple[str, str, str] | None = None,
        parameterization: str = "ntk",
        s: tuple[int, int] = (1, 1),
    ) -> Layer:
        if dimension_numbers is not None:
            raise UnsupportedError("dimension_numbers", hint="put batch first and channels last")
        scales = _scales(W_std, b_std, parameterization)
        shape = (tuple(filter_shape), _stride(strides), _padding(padding))
        return single(make(out_chan * s[1], *shape, width_ratio=float(s[0]), **scales))

    layer.__doc__ = make.__doc__
    return layer


Conv = _convolution(nn.conv)
ConvTranspose = _convolution(nn.conv_transpose)
ConvLocal = _convolution(nn.conv_local)


def AvgPool(  # noqa: N802
    window_shape: Sequence[int],
    strides: Extent = None,
    padding: str = "VALID",
    normalize_edges: bool = False,
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> Layer:
    """Means over windows; strides are 1 unless given."""
    _check_axes(batch_axis, channel_axis)
    return single(nn.avg_pool(tuple(window_shape), _stride(strides), _padding(padding), normalize_edges))


def SumPool(  # noqa: N802
    window_shape: Sequence[int],
    strides: Extent = None,
    padding: str = "VALID",
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> Layer:
    """Sums over windows; strides are 1 unless given."""
    _check_axes(batch_axis, channel_axis)
    return single(nn.sum_pool(tuple(window_shape), _stride(strides), _padding(padding)))


def GlobalAvgPool(batch_axis: int = 0, channel_axis: int = -1) -> Layer:  # noqa: N802
    """Mean over all positions."""
    _check_axes(batch_axis, channel_axis)
    return single(nn.global_avg_pool())


def GlobalSumPool(batch_axis: int = 0, channel_axis: int = -1) -> Layer:  # noqa: N802
    """Sum over all positions."""
    _check_axes(batch_axis, channel_axis)
    return single(nn.global_sum_pool())


def Flatten(batch_axis: int = 0, batch_axis_out: int = 0) -> Layer:  # noqa: N802
    """All positions and channels as channels."""
    _check_axes(batch_axis, -1)
    _check_axes(batch_axis_out, -1)
    return single(nn.flatten())


def Identity() -> Layer:  # noqa: N802
    """The input."""
    return single(nn.identity())


def Dropout(rate: float, mode: str = "train") -> Layer:  # noqa: N802
    """Keeps entries with probability `rate`; `mode` is train or test."""
    return single(nn.dropout(rate, mode))  # type: ignore[arg-type]


def LayerNorm(  # noqa: N802
    axis: int | Sequence[int] = -1, eps: float = 1e-12, batch_axis: int = 0, channel_axis: int = -1
) -> Layer:
    """Mean 0 and variance 1 over the axes, of which channels have to be one."""
    _check_axes(batch_axis, channel_axis)
    named = (axis,) if isinstance(axis, int) else tuple(axis)

    def make(axes: int) -> TensorOp:
        found = sorted({spatial_axis("LayerNorm", one, axes) for one in named})
        if found[-1:] != [axes - 2]:
            raise UnsupportedError("LayerNorm over other axes than that of channels alone")
        return operation(nn.layer_norm(tuple(found[:-1]) or None, eps))

    return triple(Single(make))


def Aggregate(  # noqa: N802
    aggregate_axis: int | Sequence[int] | None = None,
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> Layer:
    """Sums over neighbours in the graph of each example: `kernel_fn(x1, x2, pattern=(p1, p2))`."""
    _check_axes(batch_axis, channel_axis)
    named = (aggregate_axis,) if isinstance(aggregate_axis, int) else aggregate_axis

    def make(axes: int) -> TensorOp:
        spatial = None if named is None else tuple(spatial_axis("Aggregate", one, axes) for one in named)
        return operation(nn.aggregate(spatial))

    return triple(Single(make))


def ImageResize(  # noqa: N802
    shape: Sequence[int], method: str, antialias: bool = True, batch_axis: int = 0, channel_axis: int = -1
) -> Layer:
    """Positions resized to those of `shape`, of which -1 keeps a size. The method is one of `jax.image.resize`."""
    _check_axes(batch_axis, channel_axis)
    if any(size == -1 for size in shape[1:-1]):
        raise UnsupportedError("ImageResize that keeps the size of a spatial axis", hint="give the size")
    name = {"bilinear": "linear", "trilinear": "linear", "triangle": "linear", "bicubic": "cubic"}.get(method, method)
    return single(nn.resize(tuple(shape[1:-1]), name, antialias))  # type: ignore[arg-type]


class _Slice:
    """`Slice[:, 1:3]` is the index of `Index`."""

    def __getitem__(self, index: Any) -> Any:
        return index


Slice = _Slice()


def Index(idx: Any, batch_axis: int = 0, channel_axis: int = -1) -> Layer:  # noqa: N802
    """One position of the input (all indices whole numbers), or a range of positions (all slices)."""
    _check_axes(batch_axis, channel_axis)
    keys = idx if isinstance(idx, tuple) else (idx,)
    if not keys or keys[0] != slice(None) or Ellipsis in keys:
        raise UnsupportedError("Index of examples, or with an ellipsis", hint="Index(Slice[:, 1, 2]), Slice[:, 1:3]")

    def make(axes: int) -> TensorOp:
        spatial = [*keys[1:], *[slice(None)] * (axes - 1 - len(keys))]
        if len(spatial) == axes - 1 and spatial[-1] == slice(None):
            spatial.pop()
        if len(spatial) != axes - 2:
            raise UnsupportedError("Index of channels", hint="an index for every spatial axis")
        if all(isinstance(key, int) for key in spatial):
            return operation(nn.index(tuple(spatial)))
        if not all(isinstance(key, slice) for key in spatial):
            raise UnsupportedError("Index with whole numbers and slices together")
        bounds = zip(*((key.start, key.stop, key.step or 1) for key in spatial), strict=True)
        return operation(nn.slice(*map(tuple, bounds)))

    return triple(Single(make))


def _check_axes(batch_axis: int, channel_axis: int) -> None:
    if batch_axis != 0 or channel_axis != -1:
        raise UnsupportedError(
            f"batch_axis={batch_axis} and channel_axis={channel_axis}", hint="put batch first and channels last"
        )


def _scales(w_std: float, b_std: float | None, parameterization: str) -> dict[str, Any]:
    return {
        "w_std": float(w_std),
        "b_std": float(b_std or 0.0),
        "bias": b_std is not None,
        "parameterization": parameterization,
    }


def _stride(strides: Extent) -> Any:
    return 1 if strides is None else strides if isinstance(strides, int) else tuple(strides)


def _padding(padding: str) -> Any:
    if padding not in ("SAME", "VALID", "CIRCULAR"):
        raise ParameterError(f"padding should be SAME, VALID or CIRCULAR, got {padding!r:.60}")
    return padding.lower()
