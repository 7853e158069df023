"""Writing a tensor graph node by node, with types and independence checked as it grows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_

from ntc.errors import (
    DependenceError,
    LimitError,
    Location,
    NotGaussianError,
    NtcError,
    ParameterError,
    ShapeError,
    UnsupportedError,
)
from ntc.ir.common import Common, Operand
from ntc.ir.graph import MAX_OPS, RESULT, Graph, Input, Node, Output, tensor_op
from ntc.ir.hyper import Hyper, hypers_of, joined
from ntc.ir.op import TensorOp
from ntc.ir.ops.activation import Elementwise
from ntc.ir.ops.aggregate import Aggregate
from ntc.ir.ops.given import Given
from ntc.ir.ops.join import Sum
from ntc.ir.ops.mask import Mask
from ntc.ir.ops.max_pool import MaxPool
from ntc.ir.ops.shape import Identity
from ntc.ir.sliding import Strided
from ntc.ir.types import MAX_SPATIAL_AXES, Distribution, Spatial, TensorType

Positions = tuple[Strided, ...]
"""Per spatial axis."""

Seen = tuple[Hashable, Positions]
"""Which positions of a mask, per spatial axis: that of an input, by name, or what a layer made of a mask."""


def _several_inputs(location: Location | None) -> UnsupportedError:
    return UnsupportedError("patterns are for networks of one input; this one has several", location)


class TensorGraphBuilder:
    """Appends tensor ops to a graph that begins with an input of shape (N, *spatial, channels), or with several."""

    def __init__(self, spatial: Spatial, channels: int, location: Location | None = None, name: str = "x") -> None:
        self._inputs: dict[str, Input] = {}
        self._types: dict[str, TensorType] = {}
        self._sources: dict[str, int] = {}  # bit 0 is the inputs, bit i the i-th layer with weights
        self._weighted = [name]
        self._visible: dict[str, Seen] = {}
        self._origins: dict[str, str] = {}  # the value that a chain of identities passes on
        self._nonlinear: set[str] = set()  # values of nonlinearities
        self._largest: set[str] = set()  # values of max pooling, of which networks go on without a rule
        self._alike: set[str] = set()  # values whose channels are independent and of one law
        self._common: dict[str, Common] = {}  # values whose channels have a random part in common
        self._learnt: dict[str, float] = {}  # values whose NTK has a part that belongs to a channel: `Pair.learnt`
        self._nodes: list[Node] = []
        self._locations: dict[str, Location | None] = {}
        self._counter: Counter[str] = Counter()
        self._outputs: dict[str, str] = {}
        self._hypers: dict[str, Hyper] = {}
        self.add_input(spatial, channels, location, name)

    @property
    def input(self) -> str:
        """Name of the first input."""
        return next(iter(self._inputs))

    def tensor_of(self, value: str) -> TensorType:
        """Shape and distribution of a value of the graph so far."""
        return self._types[value]

    def visible(self, value: str) -> Seen | None:
        """Where the mask of a value is; None if it has none."""
        return self._visible.get(value)

    def has_data_channels(self, value: str) -> bool:
        """Whether an input of the network reaches the value with no random layer in between."""
        return bool(self._sources[value] & 1)

    def add_input(self, spatial: Spatial, channels: int, location: Location | None, name: str) -> str:
        """The input of this name, which is added unless there is one.

        Raises ShapeError, LimitError, UnsupportedError.
        """
        type_ = TensorType(spatial, channels, Distribution.GENERAL)
        if len(spatial) > MAX_SPATIAL_AXES:
            raise LimitError(
                f"input has {len(spatial)} spatial axes; at most {MAX_SPATIAL_AXES} are supported", location
            )
        if name in self._inputs:
            if type_ != self._types[name]:
                hint = 'give different inputs different names: input(784, name = "left")'
                raise ShapeError(f"input {name} has two shapes: {type_} and {self._types[name]}", location, hint)
            return name
        if name in self._types:
            raise ShapeError(f"{name} is the name of another value", location, hint="call the input otherwise")
        if self._inputs and any(isinstance(node.op, Aggregate) for node in self._nodes):
            raise _several_inputs(location)
        self._inputs[name] = Input(name, type_)
        self._types[name], self._locations[name] = type_, location
        self._sources[name], self._origins[name] = 1, name
        return name

    def name_output(self, label: str, value: str, location: Location | None = None) -> None:
        """The graph also returns `value`, under a name. Raises ParameterError."""
        if label == RESULT or label in self._outputs:
            raise ParameterError(f"output: `{label}` is the name of another output", location)
        self._outputs[label] = value

    def append(
        self, op: TensorOp, operands: Sequence[str], location: Location | None = None, name: str | None = None
    ) -> str:
        """Adds `op` on the named operands and returns the name of its value.

        Raises ShapeError, NotGaussianError, DependenceError, UnsupportedError or LimitError, at `location`.
        """
        try:
            self._check_count(op, operands)
            self._hypers = joined(self._hypers, hypers_of(op))
            distinct = self._distinct(op, operands)
            type_ = self._result(op, distinct)
            common = None
            if type_.distribution is not Distribution.FINITE:  # else rules do not matter, as there are none
                self._check_independence(op, distinct)
                self._check_width(op, operands)
                self._check_mean(op, operands)
                common = op.common_after(*(self._operand(x) for x in distinct))
            self._check_mask(op, operands)
            self._check_pattern(op, operands)
            visible = self._visible_after(op, operands)
        except NtcError as error:
            error.location = error.location or location
            error.notes += tuple(map(self._describe, dict.fromkeys(operands)))
            if isinstance(error, NotGaussianError) and any(isinstance(self._op(x), Sum) for x in operands):
                error.hint = "put it into the branches of the sum, which is then Gaussian: sum(relu |> conv(8, 3), ...)"
            raise
        name = name or self._unique(op)
        self._nodes.append(Node(name, op, tuple(operands), type_, location))
        self._types[name] = type_
        self._learnt[name] = op.learnt_after(self._learnt.get(operands[0], 0.0), self._types[operands[0]].distribution)
        if type_.distribution is Distribution.GAUSSIAN or (
            op.keeps_channels_alike and self._alike.issuperset(operands)
        ):
            self._alike.add(name)
        if isinstance(op, Elementwise):
            self._nonlinear.add(name)
        if isinstance(op, MaxPool):
            self._largest.add(name)
        self._locations[name] = location
        self._origins[name] = self._origins[operands[0]] if isinstance(op, Identity) else name
        if visible is not None:
            self._visible[name] = visible
        if common is not None:
            self._common[name] = common
        self._sources[name] = self._source_bits(op, name, operands)
        return name

    def _op(self, name: str) -> TensorOp | None:
        """What computes a value; None for an input."""
        return next((tensor_op(node) for node in self._nodes if node.name == name), None)

    def finish(self, name: str, output: str) -> Graph:
        """The graph called `name` that returns `output`, after those that have names."""
        outputs = {**self._outputs, RESULT: output}
        return Graph(
            "tensor",
            name,
            tuple(self._inputs.values()),
            tuple(self._nodes),
            tuple(Output(label, value) for label, value in outputs.items()),
        )

    def _unique(self, op: TensorOp) -> str:
        """A name for a value of the op."""
        while True:
            self._counter[op.name] += 1
            name = f"{op.name}{self._counter[op.name]}"
            if name not in self._types:
                return name

    def _check_count(self, op: TensorOp, operands: Sequence[str]) -> None:
        if len(self._nodes) >= MAX_OPS:
            raise LimitError(f"the network has more than {MAX_OPS} ops", hint="use fewer repetitions")
        if not operands or (op.arity is not None and len(operands) != op.arity):
            raise ShapeError(f"{op.name} takes {op.arity or 'one or more'} inputs, got {len(operands)}")

    def _distinct(self, op: TensorOp, operands: Sequence[str]) -> Sequence[str]:
        """The operands, without repetitions of one value if the op knows what to do with them."""
        return list({self._origins[x]: x for x in operands}.values()) if op.adds_operands else operands

    def _result(self, op: TensorOp, operands: Sequence[str]) -> TensorType:
        types = [self._types[x] for x in operands]
        if any(x.distribution is Distribution.FINITE for x in types):
            return TensorType(*op.shape(*types), Distribution.FINITE)
        if isinstance(op, Elementwise) and self._learnt.get(operands[0]) and op.by_slope is not None:
            types = [replace(types[0], distribution=Distribution.GAUSSIAN)]
        try:
            type_ = op.result(*types)
        except NotGaussianError:
            if not self._largest.issuperset(self._origins[x] for x in operands):
                raise
            return TensorType(*op.shape(*types), Distribution.FINITE)
        if op.needs_channels_alike and not self._alike.issuperset(operands):
            return replace(type_, distribution=Distribution.CENTERED)
        return type_

    def _source_bits(self, op: TensorOp, name: str, operands: Sequence[str]) -> int:
        """A Gaussian output depends on what is below it by its covariance alone, which is deterministic."""
        below = reduce(or_, (self._sources[x] for x in operands))
        if not op.has_weights:
            return below
        self._weighted.append(name)
        gaussian = self._types[name].distribution is Distribution.GAUSSIAN or isinstance(op, Given)
        return 1 << (len(self._weighted) - 1) | (0 if gaussian else below)

    def _check_independence(self, op: TensorOp, operands: Sequence[str]) -> None:
        """Random layers below another random layer do not count: given the (deterministic) limit of the
        covariances there, the outputs of different random layers are independent."""
        if not op.independent_operands:
            return
        seen = 0
        for j, b in enumerate(operands):
            if seen & self._sources[b]:
                i = next(i for i, a in enumerate(operands) if self._sources[a] & self._sources[b])
                shared = self._sources[operands[i]] & self._sources[b]
                source = self._weighted[shared.bit_length() - 1]
                raise DependenceError(
                    f"{op.name}: branches {i + 1} and {j + 1} are not independent: both are functions of "
                    f"%{source} with no dense or conv in between",
                    hint="end one of the two branches with dense or conv",
                )
            seen |= self._sources[b]

    def _visible_after(self, op: TensorOp, operands: Sequence[str]) -> Seen | None:
        """Where the mask of the result is; None if nothing is masked."""
        if isinstance(op, Mask):
            return operands[0], Strided.every(self._types[operands[0]].spatial)
        if isinstance(op, Given):
            return (Given.name, Strided.every(op.spatial)) if op.masked else None
        found = {self._seen_after(op, x) if x in self._visible else None for x in operands}
        if isinstance(op, Sum) and None in found:
            return None  # something is at every position
        if len(found) > 1:
            raise UnsupportedError(
                f"{op.name}: its branches mask different positions",
                hint="mask all of them, as one input, and give windows the same strides and paddings",
            )
        return found.pop() if found else None

    def _seen_after(self, op: TensorOp, operand: str) -> Seen | None:
        type_, (mask, seen) = self._types[operand], self._visible[operand]
        if op.reads(type_.spatial) is not None:
            return (op, mask, seen), Strided.every(op.shape(type_)[0])
        positions = op.visible(type_)
        return None if positions is None else (mask, tuple(map(Strided.of, positions, seen)))

    def _check_mask(self, op: TensorOp, operands: Sequence[str]) -> None:
        """A mask belongs to an input: everything that reads the input reads it through one mask."""
        inputs = [x for x in operands if x in self._inputs]
        if isinstance(op, Mask) and not inputs:
            raise UnsupportedError("mask: what it marks is in the input", hint="make it the first layer")
        below = [node.op for x in inputs for node in self._nodes if x in node.operands]
        if any(op != other for other in below if Mask in (type(op), type(other))):
            raise UnsupportedError(
                f"{op.name} reads the input, which another branch masks differently",
                hint="put one mask before the branches",
            )

    def _check_pattern(self, op: TensorOp, operands: Sequence[str]) -> None:
        """All layers that aggregate read one pattern, which is between positions of the input."""
        if not isinstance(op, Aggregate):
            return
        if len(self._inputs) > 1:
            raise _several_inputs(None)
        spatial = self._types[self.input].spatial
        if self._types[operands[0]].spatial != spatial:
            raise ShapeError(
                "aggregate: the pattern is between positions of the input, and a layer before has moved them",
                hint="pool and stride after the last aggregate",
            )
        others = {node.op.kernel_op(spatial) for node in self._nodes if isinstance(node.op, Aggregate)}
        if others - {op.kernel_op(spatial)}:
            raise UnsupportedError("aggregate: all of a network aggregate along the same axes", parameter="axes")

    def _check_width(self, op: TensorOp, operands: Sequence[str]) -> None:
        """The channels of the network's input are those of the data: no sum over them has a limit."""
        if op.needs_width and any(self._sources[x] & 1 for x in operands):
            raise UnsupportedError(
                f"{op.name}: its input has the channels of the network's input, not infinitely many: %{self.input} "
                f"reaches it with no random layer in between",
                hint=f"put dense or conv before {op.name}",
            )

    def _check_mean(self, op: TensorOp, operands: Sequence[str]) -> None:
        """The mean of a nonlinearity of a Gaussian value is an integral; means of other values are not tracked."""
        known = (self._types[x].distribution.centered or self.has_data_channels(x) for x in operands)
        if not op.needs_mean or all(known):
            return
        if not self._nonlinear.issuperset(self._origins[x] for x in operands):
            raise UnsupportedError(
                f"{op.name}: its input may have a mean other than zero over channels, which is tracked only directly "
                "after a nonlinearity",
                hint="put it after dense or conv, or directly after the nonlinearity",
            )

    def _operand(self, name: str) -> Operand:
        return Operand(self._types[name], self._common.get(name), self._origins[name] in self._nonlinear)

    def _describe(self, name: str) -> str:
        where = self._locations[name]
        return f"input %{name}: {self._types[name]}" + (f" defined at {where}" if where else "")
