"""What of a function has no infinite-width limit here: collected, not raised at the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ntc.errors import NoLimitError
from ntc.importing.graph import Place


@dataclass(frozen=True)
class Problem:
    """One place: what is there, why it has no limit, and what would do."""

    place: Place
    what: str
    why: str
    instead: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}: {self.why}; instead: {self.instead}"


class NotRecognisedError(Exception):
    """Leaves a rule with the problem that it found."""

    def __init__(self, what: str, why: str, instead: str, lost: bool = False) -> None:
        super().__init__(what)
        self.what, self.why, self.instead = what, why, instead
        self.lost = lost  # whether nothing can stand in for the value

    def at(self, place: Place) -> Problem:
        """The problem at a place."""
        return Problem(place, self.what, self.why, self.instead)


class LostError(Exception):
    """Leaves a rule that reads a value of which nothing is known, as a problem before it has been noted."""


def error_of(problems: Sequence[Problem]) -> NoLimitError:
    """One error that lists all."""
    places = tuple(dict.fromkeys(map(str, problems)))
    has = "one place has" if len(places) == 1 else f"{len(places)} places have"
    return NoLimitError(
        f"the function has no network of infinite width: {has} no limit, or none that is known",
        places,
        hint='change these, or estimate the kernel from random networks: on_missing="monte_carlo"',
    )
