"""What layers need to be tracked, for scripts that combine such requirements; the compiler finds it without them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Bool(IntEnum):
    """No, maybe, or yes; `&` is the lesser of two."""

    NO = 0
    MAYBE = 1
    YES = 2

    def __and__(self, other: int) -> Bool:
        return Bool(min(int(self), int(other)))

    __rand__ = __and__


@dataclass(frozen=True)
class Diagonal:
    """Whether entries off the diagonal of a covariance may be left out.

    Attributes:
      input: before a layer: yes, no, or maybe, if those that are left out are zero.
      output: at some place from the layer on: yes, no, or maybe, if no later layer reads them.
    """

    input: Bool = Bool.YES
    output: Bool = Bool.NO

    def __rshift__(self, other: Diagonal) -> Diagonal:
        """That of this layer and then another. It is associative."""
        if self.output is Bool.YES:  # nothing is read from here on
            return self
        return Diagonal(self._before(other), other.output)

    def _before(self, other: Diagonal) -> Bool:
        """Before this layer, of which the output is the input of another."""
        if self.output is Bool.NO:
            return self.input if other.input is Bool.YES else Bool.NO
        return self.input & other.input if other.input is Bool.NO else self.input

    def __lshift__(self, other: Diagonal) -> Diagonal:
        """That of another layer and then this one."""
        return other >> self

    def __and__(self, other: Diagonal) -> Diagonal:
        """That of both layers on one input."""
        return Diagonal(self.input & other.input, self.output & other.output)

    def __bool__(self) -> bool:
        """Whether the diagonal is enough."""
        return self.input is Bool.YES and self.output is not Bool.NO
