"""Layer normalisation over the axis of examples as well: a function of kernels, as no example has one alone."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ntc.errors import UnsupportedError
from ntc.stax.combinators import Layer, layer
from ntc.stax.covariances import Kernel
from ntc.stax.custom import requires, supports_masking
from ntc.stax.kernel import own_positions
from ntc.stax.layout import Layout
from ntc.stax.presence import present


def over_examples(named: tuple[int, ...], eps: Any, batch_axis: int, channel_axis: int) -> Layer:
    """(x - mean(x)) / sqrt(var(x) + eps), mean and variance over the named axes of all examples that are given.

    K' = K / sqrt((V1 + eps) (V2 + eps)), and so of the NTK, where V1 is the mean of the variances of x1, V2 of those of
    x2, over examples and over the spatial axes that are named: over infinitely many channels of mean zero, the mean is
    zero. Source: Ba et al. 2016 (arXiv:1607.06450), eq. 3, with examples among the axes. The layer raises
    UnsupportedError where channels are not Gaussians of mean zero, or not among the axes.
    """

    @layer
    @supports_masking(remask_kernel=True)
    def LayerNorm() -> Any:  # noqa: N802
        def init_fn(rng: Any, shape: Any) -> Any:
            return shape, ()

        def apply_fn(params: Any, x: Any, mask: Any = None, **kwargs: Any) -> Any:
            axes = tuple(axis % x.ndim for axis in named)
            there = jnp.ones(x.shape, x.dtype) if mask is None else jnp.broadcast_to(~mask, x.shape).astype(x.dtype)
            count = there.sum(axes, keepdims=True)
            centred = x - _quotient((x * there).sum(axes, keepdims=True), count)
            variance = _quotient((centred**2 * there).sum(axes, keepdims=True), count)
            return there * centred / jnp.sqrt(variance + eps)

        @requires(batch_axis=batch_axis, channel_axis=channel_axis)
        def kernel_fn(kernel: Kernel, **kwargs: Any) -> Kernel:
            return _normalized(kernel, named, eps)

        return init_fn, apply_fn, kernel_fn

    return LayerNorm()


def _normalized(kernel: Kernel, named: tuple[int, ...], eps: Any) -> Kernel:
    if kernel.shape1 is None or not kernel.is_gaussian:
        raise UnsupportedError(
            "LayerNorm over the axis of examples, of values that are no Gaussians of mean zero",
            hint="put it after a layer with weights, before the nonlinearity",
        )
    if kernel.is_reversed:
        return _normalized(kernel.reverse(), named, eps).reverse()
    layout = Layout.of(len(kernel.shape1), (kernel.batch_axis, kernel.channel_axis))
    places = sorted({layout.position("LayerNorm", axis) for axis in named})
    if places[-1] != layout.axes - 1:
        raise UnsupportedError(f"LayerNorm over axes {named}", hint="name the axis of channels as well")
    sides = (kernel.cov1, kernel.shape1, kernel.mask1), (kernel.cov2, kernel.shape2, kernel.mask2)
    scale1, *others = (
        _scales(kernel, cov, present(mask, shape, layout), tuple(places[:-1]), eps)
        for cov, shape, mask in sides
        if cov is not None and shape is not None
    )
    scale2 = others[0] if others else scale1
    pairs = {"nngp": (scale1, scale2), "ntk": (scale1, scale2), "cov1": (scale1, scale1), "cov2": (scale2, scale2)}
    changed = {}
    for name, (first, second) in pairs.items():
        if (matrix := getattr(kernel, name)) is not None:
            examples = 1 if name in ("cov1", "cov2") and kernel.diagonal_batch else 2
            changed[name] = matrix * _paired(first, second, examples, kernel.diagonal_spatial)
    return kernel.replace(**changed)


def _scales(kernel: Kernel, cov: Any, there: Any, places: tuple[int, ...], eps: Any) -> Any:
    """1 / sqrt(V + eps) of every example and position, (n, *spatial), or 1 long along what V is a mean over."""
    own = cov if kernel.diagonal_batch else jnp.einsum("nn...->n...", cov)
    own = own if kernel.diagonal_spatial else own_positions(own, 1)
    there = there.astype(own.dtype)
    mean = _quotient((own * there).sum(places, keepdims=True), there.sum(places, keepdims=True))
    return 1 / jnp.sqrt(mean + eps)


def _paired(first: Any, second: Any, examples: int, own_positions: bool) -> Any:
    """Products for pairs of examples, of which the first axes are `examples`, and of positions, as in covariances."""
    spatial = first.ndim - 1
    if examples == 2:
        first, second = first[:, None], second[None, :]
    if own_positions:
        return first * second
    return jnp.expand_dims(first, tuple(range(examples + 1, examples + 2 * spatial, 2))) * jnp.expand_dims(
        second, tuple(range(examples, examples + 2 * spatial, 2))
    )


def _quotient(total: Any, count: Any) -> Any:
    return total / jnp.maximum(count, 1)
