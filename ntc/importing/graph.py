"""The graph of a traced function: operations on arrays, each with the module and the line that it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Role = Literal["input", "parameter", "constant", "operation"]


@dataclass(frozen=True)
class Place:
    """Where an operation was written: the module that did it, a file and a line; each may be unknown."""

    module: str = ""
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.file else ""
        return " at ".join(x for x in (self.module, where) if x) or "the function"


@dataclass(eq=False)
class Node:
    """A value of the traced function.

    Attributes:
      name: of the primitive that computed it, or of the function that was called.
      operands: what it was computed from.
      role: whether it is the input, a parameter, a constant, or computed.
      shape: of its array.
      place: where it was written.
      step: the equation that computes it, with which of its results it is.
      array: its value, where that does not depend on the input.
      path: of a parameter, where it is in the tree of parameters.
      uses: how many operations read it, and outputs of the function.
    """

    name: str
    operands: tuple[Node, ...]
    role: Role
    shape: tuple[int, ...]
    place: Place = Place()
    step: Any = None
    array: Any = None
    path: str = ""
    uses: int = 0
    parameters: frozenset[str] = field(default_factory=frozenset)

    @property
    def known(self) -> bool:
        """Whether the value does not depend on the input."""
        return self.array is not None

    @property
    def values(self) -> Array:
        """The value of a known node, as an array of NumPy."""
        return np.asarray(self.array)

    @property
    def options(self) -> Mapping[str, Any]:
        """The parameters of the primitive."""
        return {} if self.step is None else self.step[0].params

    @property
    def number(self) -> float | None:
        """The number that a known node is everywhere; None if it is not one."""
        if not self.known or self.parameters:
            return None
        values = self.values
        first = values.reshape(-1)[0] if values.size else None
        return float(first) if first is not None and np.all(values == first) else None


@dataclass(frozen=True, eq=False)
class Traced:
    """A function as a graph: nodes in an order in which operands come first."""

    input: Node
    nodes: tuple[Node, ...]
    output: Node


def above(node: Node, ends: Sequence[Node]) -> Iterator[Node]:
    """The nodes from which `node` is computed and itself, operands first, without what is in or below `ends`."""
    seen: set[int] = {id(end) for end in ends}
    tasks: list[tuple[Node, bool]] = [(node, False)]
    while tasks:
        current, done = tasks.pop()
        if done:
            yield current
        elif id(current) not in seen:
            seen.add(id(current))
            tasks.append((current, True))
            tasks += [(operand, False) for operand in reversed(current.operands)]
