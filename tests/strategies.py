"""Hypothesis strategies: parameters of every op, random networks, random inputs.

Parameters are derived from the fields of the op classes, so a new op is drawn without an edit here. What
does not fit together raises the NtcError a user would see; the generators drop that op and go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import prod
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from pydantic.fields import FieldInfo

from ntc.errors import NtcError
from ntc.ir import ops
from ntc.ir.build import TensorGraphBuilder
from ntc.ir.construct import required
from ntc.ir.graph import Graph
from ntc.ir.op import Array, TensorOp
from ntc.ir.ops import TENSOR_OPS, AffineLayer, Elementwise
from ntc.ir.types import Spatial

WEIGHTLESS_LINEAR: tuple[type[TensorOp], ...] = (
    ops.AvgPool,
    ops.SumPool,
    ops.GlobalAvgPool,
    ops.GlobalSumPool,
    ops.Flatten,
    ops.Index,
    ops.Identity,
)
LAYERS: tuple[type[TensorOp], ...] = tuple(op for op in TENSOR_OPS.values() if issubclass(op, AffineLayer))
ACTIVATIONS: tuple[type[TensorOp], ...] = tuple(op for op in TENSOR_OPS.values() if issubclass(op, Elementwise))
ONE_DEEP = (
    ops.Sign,
    ops.Sinusoid,
    ops.Rbf,
    ops.Gabor,
    ops.Gaussian,
    ops.Exp,
    ops.ExpNormalized,
    ops.PolynomialFamily,
    ops.RectifiedMonomial,
)
"""Nonlinearities that amplify relative errors (by exponentials and powers of variances, or a jump), so that deep
networks of them agree to no tolerance or overflow. `test_activations` has them in networks of one such layer."""
DEEP: tuple[type[TensorOp], ...] = tuple(op for op in ACTIVATIONS if not issubclass(op, ONE_DEEP))
JOINS: tuple[type[TensorOp], ...] = tuple(op for op in TENSOR_OPS.values() if op.arity is None)


def trials(count: int) -> settings:
    """Settings for a test that is worth `count` examples in the default profile: in others, in proportion."""
    return settings(max_examples=max(1, count * settings().max_examples // 40))


_decimals = st.integers(-20, 20).map(lambda n: n / 10)
_floats = st.floats(-1e100, 1e100, allow_nan=False)


def parameter_values(annotation: Any, axes: int, largest: int = 3, extreme: bool = False) -> SearchStrategy[Any]:
    """Values that the annotation of a field allows; sizes up to `largest`, tuples of `axes` numbers.

    Floats are short decimals up to 2, or with `extreme` anything the field allows.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        if get_origin(args[0]) is tuple:
            return parameter_values(args[0], axes, largest, extreme)
        low, high = bounds(args[1:])
        if args[0] is int:
            return st.integers(int(max(low, -largest)), int(min(high, largest)))
        numbers = st.one_of(_decimals, _floats) if extreme else _decimals
        return numbers.map(abs if low >= 0 else (lambda x: -abs(x)) if high <= 0 else float)
    if origin is Literal:
        return st.sampled_from(args)
    if origin in (Union, UnionType):
        return st.one_of([parameter_values(arg, axes, largest, extreme) for arg in args])
    if origin is tuple:
        return st.tuples(*[parameter_values(args[0], axes, largest, extreme)] * axes)
    plain: dict[Any, SearchStrategy[Any]] = {bool: st.booleans(), NoneType: st.none()}
    return plain[annotation]


def bounds(metadata: Sequence[Any]) -> tuple[float, float]:
    """Least and greatest value that the constraints of a field allow."""
    low, high = -np.inf, np.inf
    for item in metadata:
        for constraint in item.metadata if isinstance(item, FieldInfo) else [item]:
            low = getattr(constraint, "ge", low)
            high = getattr(constraint, "le", high)
    return low, high


def parameter_types(op: Any) -> Mapping[str, Any]:
    """The parameters of an op and their annotations."""
    hints = get_type_hints(op, include_extras=True)
    return {field.name: hints[field.name] for field in fields(op)}


@st.composite
def ops_of(draw: DrawFn, op: type[Any], axes: int, extreme: bool = False) -> Any:
    """An op of one class, for an operand of so many spatial axes; some parameters are left out."""
    given = {}
    for field in fields(op):
        if required(field) or draw(st.integers(0, 3)):
            given[field.name] = draw(parameter_values(parameter_types(op)[field.name], axes, extreme=extreme))
    return op(**given)


@st.composite
def input_shapes(draw: DrawFn, most_positions: int = 24, least_channels: int = 1) -> tuple[Spatial, int]:
    """Spatial sizes, 0 to 3 of them, and channels."""
    axes = draw(st.sampled_from([0, 1, 2, 1, 2, 3]))
    spatial: list[int] = []
    for _ in range(axes):
        spatial.append(draw(st.integers(1, min(6, max(1, most_positions // prod(spatial))))))
    return tuple(spatial), draw(st.integers(least_channels, 3))


class _Growing:
    """A graph that grows by what Hypothesis draws. Ops that do not fit are dropped."""

    def __init__(self, draw: DrawFn, spatial: Spatial, channels: int, extreme: bool = False) -> None:
        self.draw, self.extreme = draw, extreme
        self.builder = TensorGraphBuilder(spatial, channels)
        self.spatial = {self.builder.input: spatial}

    def add(self, op: TensorOp, *operands: str) -> str | None:
        """The value of the op, or None if it does not fit."""
        try:
            name = self.builder.append(op, operands)
        except NtcError:
            return None
        self.spatial[name] = self.builder.finish("g", name).tensor_of(name).spatial
        return name

    def step(self, x: str, classes: Sequence[type[TensorOp]]) -> str:
        """A value computed from x by one op of the classes; x itself if it does not fit."""
        op = self.draw(ops_of(self.draw(st.sampled_from(classes)), len(self.spatial[x]), self.extreme))
        return self.add(op, x) or x

    def activation(self, x: str) -> str:
        """An activation after x, with a layer in between if x is not Gaussian; any if nothing is computed."""
        classes = ACTIVATIONS if self.extreme else DEEP
        op = self.draw(ops_of(self.draw(st.sampled_from(classes)), 0, self.extreme))
        y = self.add(op, x)
        return y or self.add(op, self.step(x, LAYERS)) or x

    def fan(self, x: str, nonlinear: bool = True, joins: Sequence[type[TensorOp]] = JOINS) -> str:
        """Branches from x and their join. Half of the time one branch is x itself."""
        count = self.draw(st.integers(1, 3))
        features = self.draw(st.integers(1, 3))
        branches = [self._branch(x, features, nonlinear) for _ in range(count)]
        if self.draw(st.booleans()):
            branches[-1] = x
        return self.add(self.draw(st.sampled_from(joins))(), *branches) or x

    def _branch(self, x: str, features: int, nonlinear: bool) -> str:
        if nonlinear and self.draw(st.booleans()):
            x = self.activation(x)
        op = self.draw(ops_of(self.draw(st.sampled_from(LAYERS)), len(self.spatial[x]), self.extreme))
        size = "features" if isinstance(op, ops.Dense) else "channels"
        y = self.add(type(op)(**{**vars_of(op), size: features}), x) or x
        return self.activation(y) if nonlinear and self.draw(st.booleans()) else y


def vars_of(op: TensorOp) -> dict[str, Any]:
    """The parameters of an op by name."""
    return {field.name: getattr(op, field.name) for field in fields(op)}  # type: ignore[arg-type]


@st.composite
def tensor_graphs(
    draw: DrawFn, most_steps: int = 6, most_positions: int = 24, extreme: bool = False, least_channels: int = 1
) -> Graph:
    """A random network of every kind of op."""
    growing = _Growing(draw, *draw(input_shapes(most_positions, least_channels)), extreme)
    x = growing.builder.input
    for _ in range(draw(st.integers(1, most_steps))):
        match draw(st.sampled_from(["layer", "activation", "fan", "linear", "activation"])):
            case "layer":
                x = growing.step(x, LAYERS)
            case "activation":
                x = growing.activation(x)
            case "fan":
                x = growing.fan(x)
            case _:
                x = growing.step(x, WEIGHTLESS_LINEAR)
    return growing.builder.finish("random", x)


@st.composite
def repetitive_graphs(draw: DrawFn) -> Graph:
    """A network that repeats one block, which keeps the shape, between other layers."""
    growing = _Growing(draw, *draw(input_shapes(24, 3)))
    x = growing.builder.input
    rank, residual = len(growing.spatial[x]), draw(st.booleans())
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    padding = draw(st.sampled_from(["same", "circular"]))
    activation = draw(ops_of(draw(st.sampled_from(DEEP)), 0, False))
    layer = ops.Conv(3, kernel, padding=padding) if rank else ops.Dense(3)
    x = growing.add(layer, x) or x
    for _ in range(draw(st.integers(4, 6))):
        y = growing.add(layer, growing.add(activation, x) or x) or x
        x = growing.add(ops.Sum(), x, y) or y if residual else y
    for _ in range(draw(st.integers(0, 2))):
        x = growing.step(x, WEIGHTLESS_LINEAR)
    return growing.builder.finish("repetitive", x)


@st.composite
def affine_graphs(draw: DrawFn, most_positions: int = 16) -> Graph:
    """A random network whose output is an affine function of its weights: one layer of them on every path."""
    growing = _Growing(draw, *draw(input_shapes(most_positions)))
    x = growing.builder.input
    for _ in range(draw(st.integers(0, 2))):
        x = growing.step(x, (*WEIGHTLESS_LINEAR[:2], ops.Identity))
    x = growing.fan(x, nonlinear=False, joins=(ops.Sum, ops.Concat)) if draw(st.booleans()) else growing.step(x, LAYERS)
    for _ in range(draw(st.integers(0, 2))):
        x = growing.step(x, WEIGHTLESS_LINEAR)
    return growing.builder.finish("affine", x)


@st.composite
def one_op_graphs(draw: DrawFn, classes: Sequence[type[TensorOp]]) -> Graph:
    """The input and one op of the classes on it."""
    growing = _Growing(draw, *draw(input_shapes(24)))
    return growing.builder.finish("one", growing.step(growing.builder.input, classes))


def input_shape(graph: Graph) -> tuple[int, ...]:
    """Shape of one example."""
    type_ = graph.tensor_of(graph.inputs[0].name)
    return *type_.spatial, type_.channels


@st.composite
def examples(draw: DrawFn, graph: Graph, count: int, special: bool = True) -> Array:
    """`count` inputs. With `special` some are zero, zero in places, equal, parallel or antiparallel."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x: npt.NDArray[np.float64] = random.normal(size=(count, *input_shape(graph)))
    if not special:
        return x
    for i in range(1, count):
        match draw(st.sampled_from(["own", "own", "own", "zero", "pixel", "equal", "parallel", "antiparallel"])):
            case "zero":
                x[i] = 0.0
            case "pixel":
                x[i].reshape(-1, x.shape[-1])[0] = 0.0
            case "equal":
                x[i] = x[i - 1]
            case "parallel":
                x[i] = 0.25 * x[i - 1]
            case "antiparallel":
                x[i] = -3.0 * x[i - 1]
    return x
