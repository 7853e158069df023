"""The syntax of a model file as data. Chains of one operator are flat, so that only real nesting nests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ntc.errors import Location


@dataclass(frozen=True)
class Expression:
    """Something with a value. `depth` is the nesting of expressions in it."""

    at: Location
    depth: int = field(init=False, default=1)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", 1 + max((child.depth for child in self.children()), default=0))

    def children(self) -> Iterator[Expression]:
        """The expressions directly inside."""
        return iter(())


@dataclass(frozen=True)
class Number(Expression):
    """A literal."""

    value: int | float


@dataclass(frozen=True)
class Text(Expression):
    """A name that the model gives to something, in quotes."""

    value: str


@dataclass(frozen=True)
class Argument:
    """What is given to a call; named or by position."""

    name: str | None
    value: Expression
    at: Location


@dataclass(frozen=True)
class Name(Expression):
    """A name alone. Of a function, it calls it without arguments."""

    name: str


@dataclass(frozen=True)
class Call(Expression):
    """A name with arguments."""

    name: str
    arguments: tuple[Argument, ...]

    def children(self) -> Iterator[Expression]:
        return (argument.value for argument in self.arguments)


@dataclass(frozen=True)
class Tuple(Expression):
    """Values side by side."""

    items: tuple[Expression, ...]

    def children(self) -> Iterator[Expression]:
        return iter(self.items)


@dataclass(frozen=True)
class Pipe(Expression):
    """a |> b |> c"""

    parts: tuple[Expression, ...]

    def children(self) -> Iterator[Expression]:
        return iter(self.parts)


@dataclass(frozen=True)
class Conditional(Expression):
    """if condition then yes else no"""

    condition: Expression
    yes: Expression
    no: Expression

    def children(self) -> Iterator[Expression]:
        return iter((self.condition, self.yes, self.no))


@dataclass(frozen=True)
class Operation:
    """An operator and what stands to its right."""

    operator: str
    operand: Expression
    at: Location


@dataclass(frozen=True)
class Chain(Expression):
    """first op operand op operand ..., of operators of one precedence, applied from the left."""

    first: Expression
    rest: tuple[Operation, ...]

    def children(self) -> Iterator[Expression]:
        yield self.first
        for operation in self.rest:
            yield operation.operand


@dataclass(frozen=True)
class Unary(Expression):
    """-x or not x"""

    operator: str
    operand: Expression

    def children(self) -> Iterator[Expression]:
        yield self.operand


@dataclass(frozen=True)
class Parameter:
    """A parameter of a definition, with its default if it has one."""

    name: str
    default: Expression | None
    at: Location


@dataclass(frozen=True)
class Definition:
    """let or model. `parameters` is None for a definition without parentheses."""

    kind: str
    name: str
    parameters: tuple[Parameter, ...] | None
    body: Expression
    at: Location
