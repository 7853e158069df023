"""Just enough of the layer names of Neural Tangents to read the stored networks as ntc layers."""

from __future__ import annotations

from typing import Any

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
    if axis != -1:
        raise NotImplementedError("concatenation along a spatial axis")
    return nn.concat


def Dense(n: int, W_std: float = 1.0, b_std: float | None = None, parameterization: str = "ntk") -> Layer:  # noqa: N802, N803
    return nn.dense(n, **_scales(W_std, b_std, parameterization))


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
    if not all(isinstance(k, int) for k in key[1:]):
        raise NotImplementedError("slices")
    return nn.index(key[1:])


Relu, LeakyRelu, ABRelu, Abs = nn.relu, nn.leaky_relu, nn.ab_relu, nn.abs
Erf, Identity, Sign, Gelu, Sigmoid_like = nn.erf, nn.identity, nn.sign, nn.gelu, nn.sigmoid_like
Sin, Cos, Rbf, Exp, Gaussian, ExpNormalized = nn.sin, nn.cos, nn.rbf, nn.exp, nn.gaussian, nn.exp_normalized
Gabor, Hermite, Monomial, RectifiedMonomial = nn.gabor, nn.hermite, nn.monomial, nn.rectified_monomial


def Polynomial(coef: list[float]) -> Layer:  # noqa: N802
    return nn.polynomial(tuple(coef))


GlobalAvgPool, GlobalSumPool, Flatten = nn.global_avg_pool, nn.global_sum_pool, nn.flatten


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
