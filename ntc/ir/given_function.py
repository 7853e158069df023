"""Functions that ops hold, which no file can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class GivenFunction:
    """A function that is not data: graphs hold it, text names it, and no file can.

    Attributes:
      name: what messages and the text of a graph call it.
      call: of arrays that broadcast.
      source: what its caller gave, of which `call` may be made: functions of one name and source are equal.
    """

    name: str
    call: Callable[..., Any] = field(repr=False)
    source: Any = field(repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GivenFunction) and self.name == other.name and self.source is other.source

    def __hash__(self) -> int:
        return hash((self.name, id(self.source)))

    def __str__(self) -> str:
        return f"<{self.name}>"
