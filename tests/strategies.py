"""Hypothesis strategies: parameters of every op, random networks, random inputs.

Parameters are derived from the fields of the op classes, so a new op is drawn without an edit here. What
does not fit together raises the NtcError a user would see; the generators drop that op and go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from math import ceil, floor, prod
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from pydantic.fields import FieldInfo

from ntc.errors import NtcError, ParameterError
from ntc.ir import ops
from ntc.ir.build import TensorGraphBuilder
from ntc.ir.construct import construct, required
from ntc.ir.expression import FUNCTIONS, Expression, X, apply, show
from ntc.ir.graph import Graph
from ntc.ir.hyper import Hyper
from ntc.ir.op import Array, TensorOp
from ntc.ir.ops import TENSOR_OPS, AffineLayer, Elementwise
from ntc.ir.types import Distribution, Spatial, TensorType

WEIGHTLESS_LINEAR: tuple[type[TensorOp], ...] = (
    ops.AvgPool,
    ops.SumPool,
    ops.GlobalAvgPool,
    ops.GlobalSumPool,
    ops.Flatten,
    ops.Index,
    ops.Identity,
    ops.Slice,
    ops.Pad,
    ops.Resize,
    ops.Matrix,
    ops.Transpose,
    ops.Scale,
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
    ops.Kinked,
    ops.RectifiedPower,
    ops.Analytic,
    ops.Hinges,
    ops.ExponentialLinear,
    ops.CustomActivation,
)
"""Nonlinearities that amplify relative errors (by exponentials and powers of variances, or a jump), so that deep
networks of them agree to no tolerance or overflow; series, which are NaN at the variances that deep networks reach; and
those whose reference is slow. `test_activations` has them in networks of one such layer."""
DEEP: tuple[type[TensorOp], ...] = tuple(op for op in ACTIVATIONS if not issubclass(op, ONE_DEEP))
JOINS: tuple[type[TensorOp], ...] = tuple(op for op in TENSOR_OPS.values() if op.arity is None)
FINITE: tuple[type[TensorOp], ...] = (ops.MaxPool, ops.Softmax, ops.LogSoftmax)
"""Without a rule, whatever their parameters."""
OTHERS: tuple[type[TensorOp], ...] = tuple(
    op
    for op in TENSOR_OPS.values()
    if op not in (*WEIGHTLESS_LINEAR, *LAYERS, *ACTIVATIONS, *JOINS, ops.Mask, ops.Aggregate, *FINITE)
)
"""Without those that go with the input: a mask begins some networks, and patterns are not drawn."""


MOST_POSITIONS = 32
"""A covariance of a network that is drawn at random has at most the square of this for two examples."""


def trials(count: int) -> settings:
    """Settings for a test that is worth `count` examples in the default profile: in others, in proportion."""
    return settings(max_examples=max(1, count * settings().max_examples // 40))


def parameter_values(annotation: Any, axes: int, largest: int = 3, extreme: bool = False) -> SearchStrategy[Any]:
    """Values that the annotation of a field allows; sizes up to `largest`, tuples of `axes` numbers.

    Floats are short decimals up to 2, or with `extreme` anything the field allows.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        if get_origin(args[0]) is tuple:
            return parameter_values(args[0], axes, largest, extreme)
        if args[0] is str:
            return formulas(extreme)
        low, high = bounds(args[1:])
        if args[0] is int:
            return st.integers(int(max(low, -largest)), int(min(high, largest)))
        decimals = st.integers(ceil(10 * max(low, -2)), floor(10 * min(high, 2))).map(lambda n: n / 10)
        return st.one_of(decimals, st.floats(max(low, -1e100), min(high, 1e100))) if extreme else decimals
    if origin is Literal:
        return st.sampled_from(args)
    if origin in (Union, UnionType):
        constants = [arg for arg in args if get_args(arg)[:1] != (Hyper,)]
        return st.one_of([parameter_values(arg, axes, largest, extreme) for arg in constants])
    if origin is tuple:
        return st.tuples(*[parameter_values(args[0], axes, largest, extreme)] * axes)
    plain: dict[Any, SearchStrategy[Any]] = {bool: st.booleans(), NoneType: st.none()}
    return plain[annotation]


def formulas(extreme: bool = False) -> SearchStrategy[str]:
    """Canonical arithmetic of x, of smooth parts that grow no faster than x; with `extreme` of any."""
    leaves = st.sampled_from([X, X, *(Expression("number", value=v) for v in (0.5, -1.25, 2.0))])
    names = sorted(FUNCTIONS) if extreme else ["tanh", "sigmoid", "softplus", "erf", "sin", "cos"]

    def larger(inside: SearchStrategy[Expression]) -> SearchStrategy[Expression]:
        unary = st.builds(apply, st.sampled_from([*(n for n in names if FUNCTIONS[n] == 1), "negative"]), inside)
        signs = ["+", "-", *(("*", "/", "min", "max") if extreme else ())]
        return st.one_of(unary, st.builds(apply, st.sampled_from(signs), inside, inside))

    return st.recursive(leaves, _tolerant(larger), max_leaves=4).map(show)


def _tolerant(
    larger: Callable[[SearchStrategy[Expression]], SearchStrategy[Expression]],
) -> Callable[[SearchStrategy[Expression]], SearchStrategy[Expression]]:
    """Without constants, which may be division by zero or the logarithm of a negative number."""
    return lambda inside: larger(inside.filter(lambda e: not e.constant) | st.just(X))


def bounds(metadata: Sequence[Any]) -> tuple[float, float]:
    """Least and greatest value that the constraints of a field allow."""
    low, high = -np.inf, np.inf
    for item in metadata:
        for constraint in item.metadata if isinstance(item, FieldInfo) else [item]:
            low = getattr(constraint, "ge", low)
            high = getattr(constraint, "le", high)
    return low, high


@cache
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
    if op is ops.Dense and draw(st.integers(0, 3)):
        given.pop("axis", None)  # over channels, as most are
    try:
        return construct(op, (), given)
    except ParameterError as error:  # it does not go with the others
        del given[error.parameter]
        return construct(op, (), given)


@st.composite
def matrices(draw: DrawFn, spatial: Spatial) -> ops.Matrix:
    """A matrix along an axis of these sizes, from one to three outputs."""
    axis = draw(st.integers(0, max(0, len(spatial) - 1)))
    decimals = st.integers(-20, 20).map(lambda n: n / 10)
    row = st.tuples(*[decimals] * (spatial[axis] if spatial else 1))
    return ops.Matrix(tuple(draw(st.lists(row, min_size=1, max_size=3))), axis)


def transpositions(spatial: Spatial) -> SearchStrategy[ops.Transpose]:
    """Any order of these axes, or the default."""
    orders = st.permutations(range(len(spatial))).map(tuple)
    return st.one_of(st.none(), orders).map(ops.Transpose)


@st.composite
def input_shapes(draw: DrawFn, most_positions: int = 24, least_channels: int = 1) -> tuple[Spatial, int]:
    """Spatial sizes, 0 to 3 of them, and channels."""
    axes = draw(st.sampled_from([0, 1, 2, 1, 2, 3]))
    spatial: list[int] = []
    for _ in range(axes):
        spatial.append(draw(st.integers(1, min(6, max(1, most_positions // prod(spatial))))))
    return tuple(spatial), draw(st.integers(least_channels, 3))


class _Growing:
    """A graph that grows by what Hypothesis draws. Ops that do not fit are dropped, and with `sighted` filters that
    read nothing at some position: there any two examples are equal."""

    def __init__(
        self, draw: DrawFn, spatial: Spatial, channels: int, extreme: bool = False, sighted: bool = False
    ) -> None:
        self.draw, self.extreme, self.sighted = draw, extreme, sighted
        self.builder = TensorGraphBuilder(spatial, channels)
        self.spatial = {self.builder.input: spatial}
        self.types = {self.builder.input: TensorType(spatial, channels, Distribution.GENERAL)}

    def add(self, op: TensorOp, *operands: str) -> str | None:
        """The value of the op, or None if it does not fit, has no rules, or has too many positions to be dense."""
        if not op.closed_form:
            return None
        try:
            if self.sighted and isinstance(op, ops.Conv) and is_blind(op, self.spatial[operands[0]]):
                return None
            if prod(op.shape(*(self.types[x] for x in operands))[0]) > MOST_POSITIONS:
                return None
            name = self.builder.append(op, operands)
        except NtcError:
            return None
        self.types[name] = self.builder.tensor_of(name)
        self.spatial[name] = self.types[name].spatial
        return name

    def grow(self, kind: str, x: str, classes: Sequence[type[TensorOp]]) -> str:
        """A value computed from x by a step of one of the `families`, with ops of the classes."""
        match kind:
            case "activation":
                return self.activation(x, classes)
            case "fan":
                return self.fan(x, joins=classes)
            case "other":
                return self.other(x, classes)
            case _:
                return self.step(x, classes)

    def other(self, x: str, classes: Sequence[type[TensorOp]] = OTHERS) -> str:
        """A value computed from x by a layer of no family; attention once, as each raises variances to a power."""
        once = [ops.SelfAttention] if any(name.startswith(ops.SelfAttention.name) for name in self.spatial) else []
        return self.step(x, [op for op in classes if op not in once])

    def step(self, x: str, classes: Sequence[type[TensorOp]]) -> str:
        """A value computed from x by one op of the classes; x itself if it does not fit."""
        cls = self.draw(st.sampled_from(classes))
        own = {ops.Matrix: matrices, ops.Transpose: transpositions}
        spatial = self.spatial[x]
        op = self.draw(own[cls](spatial) if cls in own else ops_of(cls, len(spatial), self.extreme))
        return self.add(op, x) or x

    def activation(self, x: str, classes: Sequence[type[TensorOp]] = ()) -> str:
        """An activation after x, with a layer in between if x is not Gaussian; any if nothing is computed."""
        classes = classes or families(self.extreme)["activation"]
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
        size = {"features": features, "channels": features}
        y = self.add(type(op)(**{name: size.get(name, value) for name, value in vars_of(op).items()}), x) or x
        return self.activation(y) if nonlinear and self.draw(st.booleans()) else y


def is_blind(op: ops.Conv, spatial: Spatial) -> bool:
    """Whether all taps of the filter lie outside the image at some position."""
    inside = [[axis.sources(tap)[1] for tap in range(axis.window)] for axis in op.geometry(spatial)]
    return any(not np.any(taps, axis=0).all() for taps in inside)


def vars_of(op: TensorOp) -> dict[str, Any]:
    """The parameters of an op by name."""
    return {field.name: getattr(op, field.name) for field in fields(op)}  # type: ignore[arg-type]


@st.composite
def tensor_graphs(
    draw: DrawFn,
    most_steps: int = 6,
    most_positions: int = 24,
    extreme: bool = False,
    least_channels: int = 1,
    without: Sequence[type[TensorOp]] = (),
    least_steps: int = 1,
) -> Graph:
    """A random network of every kind of op but some. With several channels, examples in general position stay so."""
    shape = draw(input_shapes(most_positions, least_channels))
    growing = _Growing(draw, *shape, extreme, sighted=least_channels > 1)
    x = growing.builder.input
    if draw(st.sampled_from([False, False, True])):
        x = growing.add(draw(ops_of(ops.Mask, 0)), x) or x
    for _ in range(draw(st.integers(least_steps, most_steps))):
        kind = draw(st.sampled_from(["layer", "activation", "fan", "linear", "activation", "other"]))
        x = growing.grow(kind, x, [op for op in families(extreme)[kind] if op not in without])
    return growing.builder.finish("random", x)


def families(extreme: bool = False) -> dict[str, Sequence[type[TensorOp]]]:
    """What `tensor_graphs` draws from at a step, by the name of the step; `fan` ends in one of its ops."""
    return {
        "layer": LAYERS,
        "activation": ACTIVATIONS if extreme else DEEP,
        "fan": JOINS,
        "linear": WEIGHTLESS_LINEAR,
        "other": OTHERS,
    }


@st.composite
def graphs_of_step(draw: DrawFn, kind: str, op: type[TensorOp], extreme: bool = False) -> Graph:
    """The step of `tensor_graphs` of this kind, with this op alone to draw, on a layer with weights on the input."""
    growing = _Growing(draw, *draw(input_shapes()), extreme)
    x = growing.step(growing.builder.input, LAYERS)
    return growing.builder.finish("step", growing.grow(kind, x, [op]))


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
    x = (
        growing.fan(x, nonlinear=False, joins=(ops.Sum, ops.Concat, ops.ConcatSpatial))
        if draw(st.booleans())
        else growing.step(x, LAYERS)
    )
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
    if special:
        _make_special(draw, x)
    if graph.nodes and isinstance(graph.nodes[0].op, ops.Mask):
        value = float(graph.nodes[0].op.value)
        x[random.random(x.shape[:-1]) < 0.3] = value
        x[random.random(x.shape) < 0.1] = value
    return x


def _make_special(draw: DrawFn, x: Array) -> None:
    """Makes some of the inputs zero, zero in places, equal, parallel or antiparallel."""
    count = len(x)
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
