"""ATen operators as functions of JAX: what is read of PyTorch. Axes stay in its order; layouts are found later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.errors import UnsupportedError


def _pair(x: Any, axes: int) -> tuple[int, ...]:
    values = (x,) if isinstance(x, int) else tuple(x)
    return values * axes if len(values) == 1 else values


def _convolution(
    x: Any, w: Any, b: Any, stride: Any, padding: Any, dilation: Any, transposed: bool, out: Any, groups: int
) -> Any:
    axes = x.ndim - 2
    letters = "HWD"[:axes]
    y = lax.conv_general_dilated(
        x,
        jnp.flip(jnp.swapaxes(w, 0, 1), tuple(range(2, x.ndim))) if transposed else w,
        (1,) * axes if transposed else _pair(stride, axes),
        [(p, p) for p in _pair(padding, axes)],
        lhs_dilation=_pair(stride, axes) if transposed else None,
        rhs_dilation=_pair(dilation, axes),
        feature_group_count=groups,
        dimension_numbers=(f"NC{letters}", f"OI{letters}", f"NC{letters}"),
    )
    return y if b is None else y + b.reshape(-1, *(1,) * axes)


def _linear(x: Any, w: Any, b: Any = None) -> Any:
    y = lax.dot_general(x, w, (((x.ndim - 1,), (1,)), ((), ())))
    return y if b is None else y + b


def _addmm(b: Any, x: Any, w: Any, beta: float = 1, alpha: float = 1) -> Any:
    y = x @ w
    return (y if alpha == 1 else alpha * y) + (b if beta == 1 else beta * b)


def _channels_second(array: Any, rank: int) -> Any:
    return array.reshape(1, -1, *(1,) * (rank - 2))


def _kept_batch_norm(x: Any, w: Any, b: Any, mean: Any, variance: Any, momentum: float, eps: float) -> tuple[Any]:
    y = (x - _channels_second(mean, x.ndim)) * _channels_second(lax.rsqrt(variance + eps), x.ndim)
    return (_scaled(y, w, b, lambda z: _channels_second(z, x.ndim)),)


def _batch_norm(
    x: Any,
    w: Any,
    b: Any,
    mean: Any = None,
    variance: Any = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Any, ...]:
    if not training and mean is not None:
        return _kept_batch_norm(x, w, b, mean, variance, momentum, eps)
    axes = tuple(i for i in range(x.ndim) if i != 1)
    return (
        _scaled(_normalized(x, axes, eps), w, b, lambda z: _channels_second(z, x.ndim)),
        mean,
        variance,
        mean,
        variance,
    )


def _normalized(x: Any, axes: Sequence[int], eps: float) -> Any:
    centred = x - x.mean(tuple(axes), keepdims=True)
    return centred * lax.rsqrt((centred**2).mean(tuple(axes), keepdims=True) + eps)


def _scaled(y: Any, w: Any, b: Any, shaped: Callable[[Any], Any]) -> Any:
    y = y if w is None else y * shaped(w)
    return y if b is None else y + shaped(b)


def _layer_norm(x: Any, shape: Sequence[int], w: Any = None, b: Any = None, eps: float = 1e-5) -> tuple[Any]:
    axes = range(x.ndim - len(shape), x.ndim)
    return (_scaled(_normalized(x, axes, eps), w, b, lambda z: z),)


def _group_norm(x: Any, w: Any, b: Any, n: int, c: int, positions: int, groups: int, eps: float) -> tuple[Any]:
    apart = x.reshape(n, groups, -1) if groups > 1 else x
    y = _normalized(apart, range(2 if groups > 1 else 1, apart.ndim), eps).reshape(x.shape)
    return (_scaled(y, w, b, lambda z: _channels_second(z, x.ndim)),)


def _softmax(x: Any, axis: int, half: bool = False) -> Any:
    return jax.nn.softmax(x, axis)


def _attention(
    q: Any, k: Any, v: Any, mask: Any = None, dropout: float = 0.0, causal: bool = False, scale: Any = None, **_: Any
) -> Any:
    scores = jnp.einsum("...qd,...kd->...qk", q, k) * (1 / np.sqrt(q.shape[-1]) if scale is None else scale)
    if causal:
        scores = jnp.where(jnp.tril(jnp.ones(scores.shape[-2:], bool)), scores, -jnp.inf)
    scores = scores if mask is None else scores + mask
    return jnp.einsum("...qk,...kd->...qd", jax.nn.softmax(scores, -1), v)


def _window(x: Any, size: Any, stride: Any, padding: Any, dilation: Any = 1) -> tuple[Any, ...]:
    axes = len(_pair(size, 2)) if not isinstance(size, int) else x.ndim - 2
    lead = (1,) * (x.ndim - axes)
    sizes, strides = _pair(size, axes), _pair(stride or size, axes)
    pads = [(0, 0)] * len(lead) + [(p, p) for p in _pair(padding, axes)]
    return (*lead, *sizes), (*lead, *strides), pads, (*lead, *_pair(dilation, axes))


def _max_pool(
    x: Any, size: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil: bool = False
) -> tuple[Any]:
    window, strides, pads, dilations = _window(x, size, stride, padding, dilation)
    return (lax.reduce_window(x, -jnp.inf, lax.max, window, strides, pads, None, dilations),)


def _avg_pool(
    x: Any, size: Any, stride: Any = (), padding: Any = 0, ceil: bool = False, padded: bool = True, divisor: Any = None
) -> Any:
    window, strides, pads, _ = _window(x, size, stride, padding)
    total = lax.reduce_window(x, 0.0, lax.add, window, strides, pads)
    if padded or not any(map(any, pads)):
        return total / (divisor or prod(window))
    return total / lax.reduce_window(jnp.ones_like(x), 0.0, lax.add, window, strides, pads)


def _adaptive_avg_pool(x: Any, sizes: Any) -> Any:
    window = tuple(n // size for n, size in zip(x.shape[-len(sizes) :], sizes, strict=True))
    return x.mean(tuple(range(-len(sizes), 0)), keepdims=True) if set(sizes) == {1} else _avg_pool(x, window)


def _mean(x: Any, axes: Any = None, keepdims: bool = False, **_: Any) -> Any:
    return x.mean(None if not axes else tuple(axes), keepdims=keepdims)


def _sum(x: Any, axes: Any = None, keepdims: bool = False, **_: Any) -> Any:
    return x.sum(None if not axes else tuple(axes), keepdims=keepdims)


def _var(x: Any, axes: Any = None, correction: float = 1, keepdims: bool = False) -> Any:
    return x.var(None if not axes else tuple(axes), ddof=correction, keepdims=keepdims)


def _add(x: Any, y: Any, alpha: float = 1) -> Any:
    return x + (y if alpha == 1 else alpha * y)


def _sub(x: Any, y: Any, alpha: float = 1) -> Any:
    return x - (y if alpha == 1 else alpha * y)


def _expand(x: Any, sizes: Sequence[int], **_: Any) -> Any:
    lead = len(sizes) - x.ndim
    shape = [x.shape[i - lead] if size == -1 else size for i, size in enumerate(sizes)]
    return jnp.broadcast_to(x, shape)


def _slice(x: Any, axis: int = 0, start: Any = None, stop: Any = None, step: int = 1) -> Any:
    index = range(x.shape[axis])[start:stop:step]
    if len(index) == x.shape[axis]:
        return x
    return lax.slice_in_dim(x, index[0], index[-1] + 1, step, axis)


def _as_strided(x: Any, sizes: Sequence[int], strides: Sequence[int], offset: Any = None) -> Any:
    """Of an array that lies in order: another shape."""
    wanted = [prod(sizes[i + 1 :]) for i in range(len(sizes))]
    plain = all(a == b for a, b, n in zip(strides, wanted, sizes, strict=True) if n > 1)
    if not plain or offset or prod(sizes) != x.size:
        raise UnsupportedError("from_torch: a view of memory that is no reshaping of an array is not read")
    return x.reshape(sizes)


def _select(x: Any, axis: int, index: int) -> Any:
    return lax.index_in_dim(x, index, axis, keepdims=False)


def _split(x: Any, size: Any, axis: int = 0) -> list[Any]:
    sizes = [size] * (x.shape[axis] // size) if isinstance(size, int) else size
    ends = np.cumsum([0, *sizes])
    return [lax.slice_in_dim(x, int(a), int(b), 1, axis) for a, b in pairwise(ends)]


def _pad(x: Any, pads: Sequence[int], value: float = 0.0) -> Any:
    pairs = list(zip(pads[::2], pads[1::2], strict=True))[::-1]
    every = [(0, 0)] * (x.ndim - len(pairs)) + pairs
    return lax.pad(x, jnp.asarray(value, x.dtype), [(low, high, 0) for low, high in every])


def _elu(x: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Any:
    return scale * jnp.where(x > 0, x, alpha * jnp.expm1(input_scale * x))


def _softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    return jax.nn.softplus(beta * x) / beta if beta != 1 else jax.nn.softplus(x)


def _gelu(x: Any, approximate: str = "none") -> Any:
    return jax.nn.gelu(x, approximate=approximate == "tanh")


def _clamp(x: Any, low: Any = None, high: Any = None) -> Any:
    x = x if low is None else jnp.maximum(x, low)
    return x if high is None else jnp.minimum(x, high)


def _same(x: Any, *_: Any, **__: Any) -> Any:
    return x


ATEN: Mapping[str, Callable[..., Any]] = {
    "convolution": _convolution,
    "linear": _linear,
    "addmm": _addmm,
    "mm": jnp.matmul,
    "bmm": jnp.matmul,
    "matmul": jnp.matmul,
    "baddbmm": lambda b, x, y, beta=1, alpha=1: beta * b + alpha * (x @ y),
    "scaled_dot_product_attention": _attention,
    "_native_batch_norm_legit_no_training": _kept_batch_norm,
    "_native_batch_norm_legit": _batch_norm,
    "_native_batch_norm_legit_functional": _batch_norm,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "_softmax": _softmax,
    "_log_softmax": lambda x, axis, half=False: jax.nn.log_softmax(x, axis),
    "max_pool2d_with_indices": _max_pool,
    "avg_pool1d": _avg_pool,
    "avg_pool2d": _avg_pool,
    "avg_pool3d": _avg_pool,
    "_adaptive_avg_pool2d": _adaptive_avg_pool,
    "_adaptive_avg_pool3d": _adaptive_avg_pool,
    "mean": _mean,
    "sum": _sum,
    "var": _var,
    "amax": lambda x, axes=(), keepdims=False: x.max(tuple(axes) or None, keepdims=keepdims),
    "relu": jax.nn.relu,
    "gelu": _gelu,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "silu": jax.nn.silu,
    "softplus": _softplus,
    "elu": _elu,
    "leaky_relu": lambda x, slope=0.01: jnp.where(x > 0, x, slope * x),
    "hardtanh": lambda x, low=-1.0, high=1.0: jnp.clip(x, low, high),
    "hardswish": lambda x: x * jnp.clip(x + 3, 0, 6) / 6,
    "hardsigmoid": lambda x: jnp.clip(x + 3, 0, 6) / 6,
    "clamp": _clamp,
    "erf": jax.lax.erf,
    "exp": jnp.exp,
    "expm1": jnp.expm1,
    "log": jnp.log,
    "log1p": jnp.log1p,
    "sqrt": jnp.sqrt,
    "rsqrt": lax.rsqrt,
    "reciprocal": lambda x: 1 / x,
    "abs": jnp.abs,
    "sign": jnp.sign,
    "neg": jnp.negative,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "pow": lambda x, y: x**y,
    "add": _add,
    "sub": _sub,
    "rsub": lambda x, y, alpha=1: _sub(y, x, alpha),
    "mul": lambda x, y: x * y,
    "div": lambda x, y, **_: x / y,
    "maximum": jnp.maximum,
    "minimum": jnp.minimum,
    "where": jnp.where,
    "gt": lambda x, y: x > y,
    "ge": lambda x, y: x >= y,
    "lt": lambda x, y: x < y,
    "le": lambda x, y: x <= y,
    "view": lambda x, sizes: x.reshape(sizes),
    "_unsafe_view": lambda x, sizes: x.reshape(sizes),
    "as_strided": _as_strided,
    "reshape": lambda x, sizes: x.reshape(sizes),
    "permute": lambda x, axes: jnp.transpose(x, [a % x.ndim for a in axes]),
    "transpose": jnp.swapaxes,
    "t": lambda x: x.T,
    "expand": _expand,
    "unsqueeze": jnp.expand_dims,
    "squeeze": lambda x, axis=None: jnp.squeeze(x, axis if axis is None or isinstance(axis, int) else tuple(axis)),
    "cat": lambda xs, axis=0: jnp.concatenate(xs, axis),
    "slice": _slice,
    "select": _select,
    "split": _split,
    "split_with_sizes": _split,
    "constant_pad_nd": _pad,
    "clone": _same,
    "_to_copy": _same,
    "alias": _same,
    "lift_fresh_copy": _same,
    "contiguous": _same,
    "getitem": lambda xs, i: xs[i],
    "full": lambda sizes, value, **_: jnp.full(sizes, value),
    "full_like": lambda x, value, **_: jnp.full_like(x, value),
    "zeros_like": lambda x, **_: jnp.zeros_like(x),
    "ones_like": lambda x, **_: jnp.ones_like(x),
    "scalar_tensor": lambda value, **_: jnp.asarray(value),
}
"""By the name of the operator, whatever its overload."""
