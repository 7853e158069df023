"""Writing a tensor graph node by node, with types and independence checked as it grows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import reduce
from operator import or_

from ntc.errors import DependenceError, LimitError, Location, NtcError, ShapeError, UnsupportedError
from ntc.ir.graph import MAX_OPS, Graph, Input, Node, Output
from ntc.ir.op import TensorOp
from ntc.ir.types import MAX_SPATIAL_AXES, Distribution, Spatial, TensorType


class TensorGraphBuilder:
    """Appends tensor ops to a graph that begins with one input of shape (N, *spatial, channels)."""

    def __init__(self, spatial: Spatial, channels: int, location: Location | None = None, name: str = "x") -> None:
        if len(spatial) > MAX_SPATIAL_AXES:
            raise LimitError(
                f"input has {len(spatial)} spatial axes; at most {MAX_SPATIAL_AXES} are supported", location
            )
        self._location = location
        type_ = TensorType(spatial, channels, Distribution.GENERAL)
        self._input = Input(name, type_)
        self._types: dict[str, TensorType] = {name: type_}
        self._sources = {name: 1}  # bit 0 is the input, bit i the i-th layer with weights
        self._weighted = [name]
        self._nodes: list[Node] = []
        self._locations: dict[str, Location | None] = {name: location}
        self._counter: Counter[str] = Counter()

    @property
    def input(self) -> str:
        """Name of the input value."""
        return self._input.name

    def append(
        self, op: TensorOp, operands: Sequence[str], location: Location | None = None, name: str | None = None
    ) -> str:
        """Adds `op` on the named operands and returns the name of its value.

        Raises ShapeError, NotGaussianError, DependenceError, UnsupportedError or LimitError, at `location`.
        """
        try:
            self._check_count(op, operands)
            type_ = op.result(*(self._types[x] for x in operands))
            self._check_independence(op, operands)
            self._check_width(op, operands)
        except NtcError as error:
            error.location = error.location or location
            error.notes += tuple(map(self._describe, dict.fromkeys(operands)))
            raise
        self._counter[op.name] += 1
        name = name or f"{op.name}{self._counter[op.name]}"
        self._nodes.append(Node(name, op, tuple(operands), type_, location))
        self._types[name] = type_
        self._locations[name] = location
        self._sources[name] = self._source_bits(op, name, operands)
        return name

    def finish(self, name: str, output: str) -> Graph:
        """The graph called `name` that returns `output`."""
        return Graph("tensor", name, (self._input,), tuple(self._nodes), (Output("y", output),))

    def _check_count(self, op: TensorOp, operands: Sequence[str]) -> None:
        if len(self._nodes) >= MAX_OPS:
            raise LimitError(f"the network has more than {MAX_OPS} ops", hint="use fewer repetitions")
        if not operands or (op.arity is not None and len(operands) != op.arity):
            raise ShapeError(f"{op.name} takes {op.arity or 'one or more'} inputs, got {len(operands)}")

    def _source_bits(self, op: TensorOp, name: str, operands: Sequence[str]) -> int:
        if not op.has_weights:
            return reduce(or_, (self._sources[x] for x in operands))
        self._weighted.append(name)
        return 1 << (len(self._weighted) - 1)

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

    def _check_width(self, op: TensorOp, operands: Sequence[str]) -> None:
        """The channels of the network's input are those of the data: no sum over them has a limit."""
        if op.needs_width and any(self._sources[x] & 1 for x in operands):
            raise UnsupportedError(
                f"{op.name}: its input has the channels of the network's input, not infinitely many: %{self.input} "
                f"reaches it with no random layer in between",
                hint=f"put dense or conv before {op.name}",
            )

    def _describe(self, name: str) -> str:
        where = self._locations[name]
        return f"input %{name}: {self._types[name]}" + (f" defined at {where}" if where else "")
