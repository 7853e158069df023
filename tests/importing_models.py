"""Modules of Flax, Equinox and PyTorch that the tests import, as somebody would have written them."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import flax.linen as linen
import jax
import jax.numpy as jnp
import torch
from flax import nnx


class MLP(linen.Module):
    """Two hidden layers of gelu."""

    width: int = 16

    @linen.compact
    def __call__(self, x: Any) -> Any:
        for _ in range(2):
            x = linen.gelu(linen.Dense(self.width)(x))
        return linen.Dense(2)(x)


class CNN(linen.Module):
    """Convolutions, average pooling and batch norm with kept statistics."""

    width: int = 8

    @linen.compact
    def __call__(self, x: Any) -> Any:
        x = linen.Conv(self.width, (3, 3))(x)
        x = linen.relu(linen.BatchNorm(use_running_average=True)(x))
        x = linen.avg_pool(x, (2, 2), strides=(2, 2))
        x = linen.silu(linen.Conv(self.width, (3, 3), strides=(2, 2))(x))
        return linen.Dense(2)(x.reshape(len(x), -1))


class Block(linen.Module):
    """A residual block that begins with its normalisation (He et al. 2016, arXiv:1603.05027)."""

    width: int
    norm: Any
    stride: int = 1

    @linen.compact
    def __call__(self, x: Any) -> Any:
        y, shortcut = linen.relu(self.norm()(x)), x
        if self.stride != 1 or x.shape[-1] != self.width:
            shortcut = linen.Conv(self.width, (1, 1), (self.stride,) * 2, use_bias=False)(y)
        y = linen.Conv(self.width, (3, 3), (self.stride,) * 2, use_bias=False)(y)
        y = linen.Conv(self.width, (3, 3), use_bias=False)(linen.relu(self.norm()(y)))
        return shortcut + y


class ResNet18(linen.Module):
    """ResNet-18 of blocks of order two, for small images."""

    norm: Any = linen.LayerNorm
    widths: tuple[int, ...] = (8, 16, 32, 64)

    @linen.compact
    def __call__(self, x: Any) -> Any:
        x = linen.Conv(self.widths[0], (3, 3), use_bias=False)(x)
        for group, width in enumerate(self.widths):
            for block in range(2):
                x = Block(width, self.norm, 2 if group and not block else 1)(x)
        return linen.Dense(2)(linen.relu(self.norm()(x)).mean((1, 2)))


class Mixer(linen.Module):
    """MLP-Mixer: dense layers along positions and along channels, by turns."""

    width: int = 16
    positions: int = 8
    hidden: int = 32

    @linen.compact
    def __call__(self, x: Any) -> Any:
        x = linen.Conv(self.width, (2, 2), strides=(2, 2), padding="VALID")(x)
        x = x.reshape(len(x), -1, self.width)
        for _ in range(2):
            x = x + self.mlp(linen.LayerNorm()(x).swapaxes(1, 2), self.positions).swapaxes(1, 2)
            x = x + self.mlp(linen.LayerNorm()(x), self.hidden)
        return linen.Dense(2)(linen.LayerNorm()(x).mean(1))

    def mlp(self, x: Any, hidden: int) -> Any:
        """Two dense layers, back to the size of the last axis."""
        inside = linen.gelu(linen.Dense(hidden)(x))
        return linen.Dense(x.shape[-1])(inside)


class Attention(linen.Module):
    """Self-attention with scores of keys with themselves, divided by their number of channels."""

    heads: int
    size: int

    @linen.compact
    def __call__(self, x: Any) -> Any:
        shape = (x.shape[-1], self.heads, self.size)
        initial = linen.initializers.lecun_normal(in_axis=0, out_axis=(1, 2))
        keys = jnp.einsum("npi,ihd->nphd", x, self.param("key", initial, shape))
        values = jnp.einsum("npi,ihd->nphd", x, self.param("value", initial, shape))
        weights = linen.softmax(jnp.einsum("nphd,nqhd->nhpq", keys, keys) / self.size)
        heads = jnp.einsum("nhpq,nqhd->nphd", weights, values)
        return linen.DenseGeneral(x.shape[-1], axis=(-2, -1), use_bias=False)(heads)


class ViT(linen.Module):
    """A small vision transformer with linear scaling of its scores."""

    width: int = 16
    heads: int = 4
    size: int = 8

    @linen.compact
    def __call__(self, x: Any) -> Any:
        x = linen.Conv(self.width, (4, 4), strides=(4, 4), padding="VALID", use_bias=False)(x)
        x = x.reshape(len(x), -1, self.width)
        for _ in range(2):
            x = x + Attention(self.heads, self.size)(linen.LayerNorm()(x))
            y = linen.Dense(2 * self.width, use_bias=False)(linen.LayerNorm()(x))
            x = x + linen.Dense(self.width, use_bias=False)(linen.gelu(y))
        return linen.Dense(2, use_bias=False)(linen.LayerNorm()(x).mean(1))


class MLPnnx(nnx.Module):
    """Two hidden layers with layer norm."""

    def __init__(self, rngs: nnx.Rngs, width: int = 16) -> None:
        self.first = nnx.Linear(5, width, rngs=rngs)
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.second = nnx.Linear(width, width, rngs=rngs)
        self.last = nnx.Linear(width, 2, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.last(nnx.relu(self.second(nnx.gelu(self.norm(self.first(x))))))


class CNNnnx(nnx.Module):
    """Convolutions with batch norm with kept statistics, and a mean over positions."""

    def __init__(self, rngs: nnx.Rngs, width: int = 8) -> None:
        self.first = nnx.Conv(3, width, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(width, use_running_average=True, rngs=rngs)
        self.second = nnx.Conv(width, width, (3, 3), padding="VALID", rngs=rngs)
        self.last = nnx.Linear(width, 2, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.last(nnx.relu(self.second(nnx.relu(self.norm(self.first(x))))).mean((1, 2)))


def of_nnx(kind: Any) -> tuple[Any, Any]:
    """f(params, x) of a module of Flax nnx, and the function that draws its parameters."""
    definition, _, rest = nnx.split(kind(nnx.Rngs(0)), nnx.Param, ...)

    def function(params: Any, x: Any) -> Any:
        return nnx.merge(definition, params, rest)(x)

    return function, lambda key: nnx.split(kind(nnx.Rngs(key)), nnx.Param, ...)[1]


def of_linen(module: Any, x: Any) -> tuple[Any, Any]:
    """f(params, x) of a module of Flax linen, and the function that draws its parameters."""
    example = jnp.asarray(x, jnp.float32)
    return module.apply, lambda key: module.init(key, example)


def of_equinox(make: Any) -> tuple[Any, Any]:
    """f(params, x) of a module of Equinox, and the function that draws its parameters."""
    _, static = eqx.partition(make(jax.random.key(0)), eqx.is_array)

    def function(params: Any, x: Any) -> Any:
        return jax.vmap(eqx.combine(params, static))(x)

    return function, lambda key: eqx.filter(make(key), eqx.is_array)


def torch_mlp(width: int = 16) -> torch.nn.Module:
    """Two hidden layers."""
    layers = torch.nn.Linear(5, width), torch.nn.GELU(), torch.nn.Linear(width, width), torch.nn.Softplus()
    return torch.nn.Sequential(*layers, torch.nn.Linear(width, 2))


class TorchBlock(torch.nn.Module):
    """A residual block, with its normalisation first, or as that of torchvision, with a nonlinearity last."""

    def __init__(self, inputs: int, width: int, stride: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.bn1 = torch.nn.BatchNorm2d(inputs if first else width)
        self.conv1 = torch.nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(width)
        self.conv2 = torch.nn.Conv2d(width, width, 3, 1, 1, bias=False)
        changes = stride != 1 or inputs != width
        self.downsample = torch.nn.Conv2d(inputs, width, 1, stride, bias=False) if changes else None

    def forward(self, x: Any) -> Any:
        if self.first:
            y = torch.relu(self.bn1(x))
            shortcut = x if self.downsample is None else self.downsample(y)
            return shortcut + self.conv2(torch.relu(self.bn2(self.conv1(y))))
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + shortcut)


class TorchResNet18(torch.nn.Module):
    """ResNet-18 with the stem of torchvision: pooling by averages and blocks of order two (`first`), or by maxima and
    the blocks of torchvision."""

    def __init__(self, first: bool = True, widths: tuple[int, ...] = (8, 16, 32, 64)) -> None:
        super().__init__()
        self.first = first
        self.conv1 = torch.nn.Conv2d(3, widths[0], 7, 2, 3, bias=False)
        self.pool = torch.nn.AvgPool2d(3, 2, 1) if first else torch.nn.MaxPool2d(3, 2, 1)
        blocks, inputs = [], widths[0]
        for group, width in enumerate(widths):
            for block in range(2):
                blocks.append(TorchBlock(inputs, width, 2 if group and not block else 1, first))
                inputs = width
        self.layers = torch.nn.Sequential(*blocks)
        self.bn = torch.nn.BatchNorm2d(inputs if first else widths[0])
        self.fc = torch.nn.Linear(inputs, 2)

    def forward(self, x: Any) -> Any:
        x = self.conv1(x)
        x = self.pool(x) if self.first else self.pool(torch.relu(self.bn(x)))
        x = self.layers(x)
        x = torch.relu(self.bn(x)) if self.first else x
        return self.fc(torch.flatten(torch.nn.functional.adaptive_avg_pool2d(x, 1), 1))
