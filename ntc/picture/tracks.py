"""Where the values of a graph stand in a picture with a row for each: in tracks beside the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """One row of the picture.

    Attributes:
      track: of the value of the row, which begins here.
      through: tracks of values that later rows read, and that pass by.
      read: tracks of the values that this row reads.
      goes_on: whether later rows read the value of the row.
    """

    track: int
    through: tuple[int, ...]
    read: tuple[int, ...]
    goes_on: bool


def places(operands: Sequence[Sequence[int]]) -> list[Place]:
    """A place for every row, of which row i reads the rows operands[i], all of them earlier.

    A value has one track from its row to its last reader, which no other value has in between. A row takes over the
    track of the first value that it is the last to read.
    """
    last = {x: i for i, read in enumerate(operands) for x in read}
    tracks: dict[int, int] = {}  # of the values that are still to be read
    found = []
    for i, read in enumerate(operands):
        from_tracks = tuple(dict.fromkeys(tracks[x] for x in read))
        ending = [tracks.pop(x) for x in dict.fromkeys(read) if last[x] == i]
        through = tuple(sorted(tracks.values()))
        track = ending[0] if ending else _lowest_free(through)
        found.append(Place(track, through, from_tracks, i in last))
        if i in last:
            tracks[i] = track
    return found


def _lowest_free(taken: Sequence[int]) -> int:
    return next(n for n in range(len(taken) + 1) if n not in taken)
