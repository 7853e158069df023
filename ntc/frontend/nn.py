"""The builder: the language's layers under the same names, with the same parameters, in Python.

    from ntc import nn

    network = nn.input(32, 32, 3) >> nn.conv(64, (3, 3)) >> nn.relu() >> nn.global_avg_pool() >> nn.dense(10)

Every function returns a layer; `>>` composes. A parameter outside its domain raises ParameterError, a shape
that does not fit raises ShapeError when the graph is built.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

from ntc.errors import ParameterError
from ntc.frontend.layers import Apply, Branch, Layer, Named, Network, Repeat, Serial, Source, join
from ntc.ir import ops
from ntc.ir.construct import construct
from ntc.ir.hyper import Hyper
from ntc.ir.op import TensorOp

P = ParamSpec("P")


def _layer(op: Callable[P, TensorOp]) -> Callable[P, Layer]:
    """The function that makes a layer of one op, with the op's parameters and documentation."""

    @functools.wraps(op, updated=())
    def make(*args: P.args, **kwargs: P.kwargs) -> Layer:
        return Apply(construct(_op_class(op), args, kwargs))

    make.__name__ = make.__qualname__ = _op_class(op).name
    return make


def _op_class(op: Callable[P, TensorOp]) -> type[TensorOp]:
    assert isinstance(op, type)
    assert issubclass(op, TensorOp)
    return op


dense = _layer(ops.Dense)
conv = _layer(ops.Conv)
relu = _layer(ops.Relu)
leaky_relu = _layer(ops.LeakyRelu)
ab_relu = _layer(ops.AbRelu)
abs = _layer(ops.Abs)
erf = _layer(ops.Erf)
sign = _layer(ops.Sign)
sigmoid_like = _layer(ops.SigmoidLike)
gelu = _layer(ops.Gelu)
sin = _layer(ops.Sin)
cos = _layer(ops.Cos)
rbf = _layer(ops.Rbf)
gabor = _layer(ops.Gabor)
gaussian = _layer(ops.Gaussian)
exp = _layer(ops.Exp)
exp_normalized = _layer(ops.ExpNormalized)
hermite = _layer(ops.Hermite)
monomial = _layer(ops.Monomial)
polynomial = _layer(ops.Polynomial)
rectified_monomial = _layer(ops.RectifiedMonomial)
squared_relu = _layer(ops.SquaredRelu)
tanh = _layer(ops.Tanh)
sigmoid = _layer(ops.Sigmoid)
swish = _layer(ops.Swish)
softplus = _layer(ops.Softplus)
mish = _layer(ops.Mish)
gelu_tanh = _layer(ops.GeluTanh)
relu6 = _layer(ops.Relu6)
hard_tanh = _layer(ops.HardTanh)
hard_swish = _layer(ops.HardSwish)
elu = _layer(ops.Elu)
selu = _layer(ops.Selu)
celu = _layer(ops.Celu)
activation = _layer(ops.CustomActivation)
identity = _layer(ops.Identity)
mask = _layer(ops.Mask)
avg_pool = _layer(ops.AvgPool)
sum_pool = _layer(ops.SumPool)
global_avg_pool = _layer(ops.GlobalAvgPool)
global_sum_pool = _layer(ops.GlobalSumPool)
aggregate = _layer(ops.Aggregate)
flatten = _layer(ops.Flatten)
index = _layer(ops.Index)
conv_transpose = _layer(ops.ConvTranspose)
conv_local = _layer(ops.ConvLocal)
grouped_conv = _layer(ops.GroupedConv)
depthwise_conv = _layer(ops.DepthwiseConv)
slice = _layer(ops.Slice)
pad = _layer(ops.Pad)
resize = _layer(ops.Resize)
matrix = _layer(ops.Matrix)
mix = _layer(ops.Mix)
transpose = _layer(ops.Transpose)
scale = _layer(ops.Scale)
dropout = _layer(ops.Dropout)
layer_norm = _layer(ops.LayerNorm)
layer_scale = _layer(ops.LayerScale)
bias = _layer(ops.Bias)
class_token = _layer(ops.ClassToken)
max_pool = _layer(ops.MaxPool)
softmax = _layer(ops.Softmax)
log_softmax = _layer(ops.LogSoftmax)
batch_norm = _layer(ops.BatchNorm)
self_attention = _layer(ops.SelfAttention)


def input(*shape: int, name: str = "x") -> Network:
    """An input of a network: sizes of 0 to 3 spatial axes, then the number of channels.

    Networks of several inputs are joined by `sum`, `product`, `concat`; inputs of one name are one input.
    """
    if not shape:
        raise ParameterError("input needs the number of channels", hint="input(32, 32, 3), or input(784)")
    return Network(Source(shape[:-1], shape[-1], name))


def hyper(value: float, name: str = "") -> Any:
    """A number that is an argument of the compiled program: `program(x, hyper={"w_std": 1.3})`. An `ir.hyper.Hyper`.

    It may stand for any real parameter of a layer: `dense(10, w_std=hyper(1.5))`, `rbf(hyper(0.5))`; not for whole
    numbers, nor for `width_ratio`. Without a name it is called after the parameter that it is given to. All of one name
    are one hyperparameter, and must have one value. Raises ParameterError for names that are none, and the layer for
    values that its parameter cannot have.
    """
    return Hyper(value, name)


def output(name: str) -> Layer:
    """Passes its value on, which the program then returns under this name as well: `kernels.outputs[name]`."""
    return Named(name)


def sum(*branches: Branch) -> Branch:
    """Sum of the branches: layers, each applied to the same value, or whole networks. See `ntc.ir.ops.Sum`."""
    return join(ops.Sum(), branches)


def product(*branches: Branch) -> Branch:
    """Product, entry by entry, of the branches: layers or whole networks. See `ntc.ir.ops.Product`."""
    return join(ops.Product(), branches)


def concat(*branches: Branch) -> Branch:
    """Channels of the branches, layers or whole networks, side by side. See `ntc.ir.ops.Concat`."""
    return join(ops.Concat(), branches)


def concat_spatial(*branches: Branch, axis: int = 0) -> Branch:
    """Positions of the branches side by side along a spatial axis. See `ntc.ir.ops.ConcatSpatial`."""
    return join(construct(ops.ConcatSpatial, (axis,), {}), branches)


def repeat(count: int, layer: Layer) -> Layer:
    """`count` copies of the layer one after another, each with random weights of its own."""
    return Repeat(count, layer)


def serial(*layers: Layer) -> Layer:
    """The layers one after another; the same as joining them by `>>`."""
    return Serial(layers)
