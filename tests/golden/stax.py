"""Just enough of the layer names of Neural Tangents to read the stored networks as ntc layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ntc import nn
from ntc.frontend.layers import Layer


class _FanOut:
    """Marks that the next two entries of `serial` are parallel branches and their join."""


class _Parallel(tuple[Layer, ...]):
    """Branches that wait for their join."""

    __slots__ = ()


def _scales(w_std: float, b_std: float | None, parameterization: str) -> dict[str, Any]:
    return {
        "w_std": float(w_std),
        "b_std": float(b_std or 0.0),
        "bias": b_std is not None,
        "parameterization": parameterization,
    }


def serial(*layers: Any) -> Layer:
    """The layers in order; FanOut, parallel and a join become one fan."""
    parts: list[Layer] = []
    rest = iter(layers)
    for layer in rest:
        if isinstance(layer, _FanOut):
            branches = next(rest)
            parts.append(next(rest)(*branches))
        else:
            parts.append(layer)
    return nn.serial(*parts)


def parallel(*layers: Layer) -> _Parallel:
    return _Parallel(layers)


def repeat(layer: Layer, n: int) -> Layer:
    return nn.repeat(n, layer)


def FanOut(n: int) -> _FanOut:  # noqa: N802
    return _FanOut()


def FanInSum() -> Any:  # noqa: N802
    return nn.sum


def FanInProd() -> Any:  # noqa: N802
    return nn.product


def FanInConcat(axis: int) -> Any:  # noqa: N802
    return nn.concat if axis == -1 else partial(nn.concat_spatial, axis=axis - 1)


def Dense(  # noqa: N802
    n: int,
    W_std: float = 1.0,  # noqa: N803
    b_std: float | None = None,
    parameterization: str = "ntk",
    s: tuple[int, int] = (1, 1),
    channel_axis: int = -1,
) -> Layer:
    """`s` is by how much the layer below and this one are wider than the network they stand for."""
    return nn.dense(n * s[1], **_scales(W_std, b_std, parameterization), width_ratio=float(s[0]))


def Conv(  # noqa: N802
    n: int,
    filter_shape: tuple[int, ...],
    strides: Any = 1,
    padding: str = "VALID",
    W_std: float = 1.0,  # noqa: N803
    b_std: float | None = None,
    parameterization: str = "ntk",
) -> Layer:
    scales = _scales(W_std, b_std, parameterization)
    return nn.conv(n, filter_shape, strides, padding.lower(), **scales)  # type: ignore[arg-type]


def AvgPool(window: Any, strides: Any = 1, padding: str = "VALID", normalize_edges: bool = False) -> Layer:  # noqa: N802
    return nn.avg_pool(window, strides, padding.lower(), normalize_edges)  # type: ignore[arg-type]


def SumPool(window: Any, strides: Any = 1, padding: str = "VALID") -> Layer:  # noqa: N802
    return nn.sum_pool(window, strides, padding.lower())  # type: ignore[arg-type]


class _Index:
    def __getitem__(self, key: Any) -> Any:
        return key


Slice = _Index()


def Index(key: Any) -> Layer:  # noqa: N802
    if all(isinstance(k, int) for k in key[1:]):
        return nn.index(key[1:])
    start, stop, step = zip(*((k.start, k.stop, k.step or 1) for k in key[1:]), strict=True)
    return nn.slice(start, stop, step)


def ConvTranspose(  # noqa: N802
    n: int, filter_shape: tuple[int, ...], strides: Any = 1, padding: str = "VALID", b_std: float | None = None
) -> Layer:
    return nn.conv_transpose(n, filter_shape, strides, padding.lower(), **_scales(1.0, b_std, "ntk"))  # type: ignore[arg-type]


def ConvLocal(  # noqa: N802
    n: int, filter_shape: tuple[int, ...], strides: Any = 1, padding: str = "VALID", b_std: float | None = None
) -> Layer:
    return nn.conv_local(n, filter_shape, strides, padding.lower(), **_scales(1.0, b_std, "ntk"))  # type: ignore[arg-type]


def ImageResize(shape: tuple[int, ...], method: str) -> Layer:  # noqa: N802
    return nn.resize(shape[1:-1], {"bilinear": "linear"}.get(method, method))  # type: ignore[arg-type]


def DotGeneral(rhs: Any, dimension_numbers: Any, batch_axis: int, channel_axis: int) -> Layer:  # noqa: N802
    """The contraction of one spatial axis of the image with the first axis of a matrix."""
    ((axis,), _), _ = dimension_numbers
    return nn.matrix(tuple(map(tuple, np.transpose(rhs).tolist())), axis - 1)


def Aggregate(axis: int) -> Layer:  # noqa: N802
    return nn.aggregate((axis - 1,))


Relu, LeakyRelu, ABRelu, Abs = nn.relu, nn.leaky_relu, nn.ab_relu, nn.abs
Erf, Identity, Sign, Gelu, Sigmoid_like = nn.erf, nn.identity, nn.sign, nn.gelu, nn.sigmoid_like
Sin, Cos, Rbf, Exp, Gaussian, ExpNormalized = nn.sin, nn.cos, nn.rbf, nn.exp, nn.gaussian, nn.exp_normalized
Gabor, Hermite, Monomial, RectifiedMonomial = nn.gabor, nn.hermite, nn.monomial, nn.rectified_monomial


def ElementwiseNumerical(fn: Any, deg: int) -> Layer:  # noqa: N802
    """A function by quadrature of so many nodes: of tanh, which has a layer of its own."""
    if fn is not np.tanh:
        raise NotImplementedError("a function other than tanh")
    return nn.tanh()


def Polynomial(coef: list[float]) -> Layer:  # noqa: N802
    return nn.polynomial(tuple(coef))


GlobalSumPool, Flatten = nn.global_sum_pool, nn.flatten


def GlobalAvgPool(channel_axis: int = -1) -> Layer:  # noqa: N802
    """The channel axis says where the peer stores channels."""
    return nn.global_avg_pool()


def Dropout(rate: float, mode: str = "train") -> Layer:  # noqa: N802
    return nn.dropout(rate, mode)  # type: ignore[arg-type]


def LayerNorm(axis: int | tuple[int, ...] = -1) -> Layer:  # noqa: N802
    spatial = tuple(a - 1 for a in axis[:-1]) if isinstance(axis, tuple) else None
    return nn.layer_norm(spatial)


def GlobalSelfAttention(  # noqa: N802
    n_chan_out: int,
    n_chan_key: int,
    n_chan_val: int,
    n_heads: int,
    linear_scaling: bool = True,
    attention_mechanism: str = "SOFTMAX",
    b_std: float = 0.0,
    pos_emb_type: str = "NONE",
    W_pos_emb_std: float = 1.0,  # noqa: N803
    pos_emb_decay_fn: Callable[[float], float] | None = None,
) -> Layer:
    mechanisms = {"SOFTMAX": "softmax", "IDENTITY": "linear", "ABS": "absolute", "RELU": "rectified"}
    if pos_emb_decay_fn and [pos_emb_decay_fn(d) for d in (0, 1, 2)] != [1, 1 / 2, 1 / 3]:
        raise NotImplementedError("a decay other than 1 / (1 + d)")
    return nn.self_attention(
        n_chan_out,
        n_chan_key,
        n_chan_val,
        n_heads,
        linear_scaling,
        mechanisms[attention_mechanism],  # type: ignore[arg-type]
        b_std=b_std,
        embedding={"NONE": None, "SUM": "added", "CONCAT": "concatenated"}[pos_emb_type],  # type: ignore[arg-type]
        embedding_std=W_pos_emb_std,
        decay="inverse" if pos_emb_decay_fn else None,
    )


def wrn(stax: Any, n: int = 2) -> Layer:
    """Listing 1 of Novak et al. 2020 with n blocks per group."""

    def block(channels: int, stride: int, project: bool) -> Layer:
        main = serial(Relu(), Conv(channels, (3, 3), stride, "SAME"), Relu(), Conv(channels, (3, 3), padding="SAME"))
        shortcut = Conv(channels, (3, 3), stride, "SAME") if project else Identity()
        return nn.sum(main, shortcut)

    groups = [
        layer
        for channels, stride in ((16, 1), (32, 2), (64, 2))
        for layer in (block(channels, stride, True), *[block(channels, 1, False)] * (n - 1))
    ]
    return serial(Conv(16, (3, 3), padding="SAME"), *groups, GlobalAvgPool(), Dense(10))


def myrtle(stax: Any, counts: tuple[int, ...] = (1, 1, 1)) -> Layer:
    """The Myrtle networks of Shankar et al. 2020."""
    w = 2**0.5
    layers: list[Layer] = []
    for count in counts:
        layers += [Conv(1, (3, 3), padding="SAME", W_std=w), Relu()] * count + [AvgPool((2, 2), (2, 2))]
    return serial(*layers, Flatten(), Dense(1, w, 0.0))
