"""Where the values of a fused stage lie in fast memory between sweeps, and which of them share a place."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from ntc.ir.graph import Graph, Node, kernel_op
from ntc.ir.types import Spatial
from ntc.plan.margins import Margins
from ntc.plan.rolling import Run
from ntc.plan.sweeps import Part, Repeated, Sweep, sweeps_in, values_read

Strides = tuple[int, ...]
"""Of the filter that reads a value, one per axis; ones where it is read at the same positions."""

Key = tuple[str, Strides]


@dataclass(frozen=True)
class Plane:
    """Fast memory of one value: its positions, with zeros around them, apart by their residues modulo strides.

    Attributes:
      spatial: sizes of its axes.
      margins: zeros before and after the positions of every axis.
      strides: of the filter that reads it.
    """

    spatial: Spatial
    margins: Margins
    strides: Strides

    @property
    def origin(self) -> tuple[int, ...]:
        """Where position zero of every axis is: a multiple of its stride."""
        return tuple(-(-low // s) * s for (low, _), s in zip(self.margins, self.strides, strict=True))

    @property
    def parts(self) -> Spatial:
        """Sizes of what is apart: as many positions as there are of each residue, the last ones filled up."""
        return tuple(-(-n // s) for n, s in zip(self.spatial, self.strides, strict=True))

    @property
    def extents(self) -> tuple[int, ...]:
        """Sizes with margins, multiples of strides."""
        axes = zip(self.origin, self.spatial, self.margins, self.strides, strict=True)
        return tuple(-(-(first + size + high) // s) * s for first, size, (_, high), s in axes)


@dataclass(frozen=True)
class Place:
    """The place of a value: a pool of planes of one shape, and which of them; of a value that is handed from block to
    block, which one in even and which in odd blocks."""

    pool: int
    slots: tuple[int, ...]


@dataclass(frozen=True)
class Memory:
    """Fast memory of a fused stage.

    Attributes:
      pools: planes of one shape, and how many of them there are.
      places: of values, by name and strides of the reader. Within repeated blocks, what a block reads of the one
        before it goes by the names of the first block.
      copied: by number of a run among the parts, what is copied to become what its first block reads: name, and key.
      loaded: values of other stages that filters read.
    """

    pools: tuple[tuple[Plane, int], ...]
    places: Mapping[Key, Place]
    copied: Mapping[int, tuple[tuple[str, Key], ...]]
    loaded: tuple[Key, ...]

    @property
    def positions(self) -> int:
        """Of all planes together."""
        return sum(prod(plane.extents) * count for plane, count in self.pools)


@dataclass(frozen=True)
class _Read:
    """A value that a node reads.

    Attributes:
      name: of the value.
      step: of the node.
      strides, margins: of the filter that the node is, and what it reads outside the image.
      still: whether the node reads the same positions as those it computes.
      within: whether the value is of the same sweep besides, so that it need not be in memory.
    """

    name: str
    step: int
    strides: Strides
    margins: Margins
    still: bool
    within: bool = False


@dataclass
class _Life:
    """A value, or what is handed from block to block: from which step to which memory is held for it."""

    first: int
    last: int
    doubled: bool = False
    margins: dict[Strides, Margins] = field(default_factory=dict)

    def add(self, read: _Read, until: int) -> None:
        self.last = max(self.last, until)
        known = self.margins.get(read.strides, read.margins)
        pairs = zip(known, read.margins, strict=True)
        self.margins[read.strides] = tuple((max(a, c), max(b, d)) for (a, b), (c, d) in pairs)


@dataclass(frozen=True)
class _Handed:
    """A value that is handed from block to block: its names, and the steps before and after the blocks."""

    number: int
    before: str | None
    first: str
    own: str
    last: str
    begin: int
    end: int
    count: int


@dataclass
class _Lives:
    """The lives of all values that are in memory between sweeps.

    Steps are the sweeps in order; of a run, there is one before and one after them.
    """

    graph: Graph
    outside: Collection[str]
    reads: list[_Read] = field(default_factory=list)
    defined: dict[str, int] = field(default_factory=dict)
    handed: list[_Handed] = field(default_factory=list)
    loops: list[tuple[int, int]] = field(default_factory=list)
    owner: dict[str, str] = field(default_factory=dict)
    lives: dict[str, _Life] = field(default_factory=dict)
    copied: dict[int, list[tuple[str, str]]] = field(default_factory=dict)

    def find(self, parts: Sequence[Part]) -> None:
        """Fills in lives, owners, and what is copied before a run."""
        step = 1
        for number, part in enumerate(parts):
            sweeps = sweeps_in(part)
            step += isinstance(part, Repeated)
            for place, sweep in enumerate(sweeps):
                self._sweep(sweep, step + place)
            step += len(sweeps)
            if isinstance(part, Repeated):
                self._run(number, part.run, step - len(sweeps) - 1, step)
                step += 1
        for handed in self.handed:
            self._hand(handed)
        for read in self.reads:
            self._hold(read)

    def _sweep(self, sweep: Sweep, step: int) -> None:
        for node in sweep.nodes:
            self.defined[node.name] = step
            self.reads += [self._read(node, name, step, name in sweep.names) for name in values_read(node)]

    def _read(self, node: Node, name: str, step: int, together: bool) -> _Read:
        spatial, op = self.graph.covariance_of(name).spatial, kernel_op(node)
        axes = [axis for axis in (op.slides(spatial) or ()) if axis is not None] if op.filters else []
        if not axes:
            return self._still(name, step, together)
        pads = tuple((max(0, x.pads[0]), max(0, x.pads[1])) for x in axes)
        return _Read(name, step, tuple(x.stride for x in axes), pads, still=False)

    def _still(self, name: str, step: int, within: bool) -> _Read:
        rank = len(self.graph.covariance_of(name).spatial)
        return _Read(name, step, (1,) * rank, ((0, 0),) * rank, True, within)

    def _run(self, number: int, run: Run, begin: int, end: int) -> None:
        self.loops.append((begin, end))
        for p in run.carried:
            names = run.blocks[0][p].name, run.block[p].name, run.blocks[-1][p].name
            self.handed.append(_Handed(number, run.before[p], *names, begin, end, len(run.blocks)))

    def _hand(self, handed: _Handed) -> None:
        """One plane is enough where all of the block before is read before it is written over."""
        written = self.defined[handed.own]
        reads = [x for x in self.reads if x.name == handed.first]
        overlaps = any(x.step > written or (x.step == written and not x.still) for x in reads)
        self.owner |= dict.fromkeys((handed.own, handed.last), handed.first)
        life = self.lives[handed.first] = _Life(handed.begin, handed.end, overlaps)
        before = handed.before
        if before is None:
            return
        if self._is_last_read_by(before, handed):
            self.owner[before] = handed.first
            life.first = self.defined[before]
        else:
            self.copied.setdefault(handed.number, []).append((before, handed.first))
            self.reads.append(self._still(before, handed.begin, False))

    def _is_last_read_by(self, name: str, handed: _Handed) -> bool:
        """Whether the value can be computed where the first block reads it."""
        later = any(x.name == name and x.step > handed.begin for x in self.reads)
        shared = any(x.before == name and x is not handed for x in self.handed)
        return name in self.defined and name not in self.owner and not later and not shared

    def _hold(self, read: _Read) -> None:
        """Makes the value of a read last."""
        name = self.owner.get(read.name, read.name)
        if read.within or (name in self.outside and read.still):
            return
        born = 0 if name in self.outside else self.defined.get(name, 0)
        life = self.lives.setdefault(name, _Life(born, born))
        ends = [end for begin, end in self.loops if life.first <= begin < read.step < end]
        life.add(read, max([read.step, *ends]))


def memory_of(graph: Graph, parts: Sequence[Part], outside: Collection[str]) -> Memory:
    """Planes for the parts of a stage, which reads values of other stages `outside`."""
    found = _Lives(graph, outside)
    found.find(parts)
    taken: dict[Plane, list[int]] = {}
    slots: dict[Key, tuple[Plane, tuple[int, ...]]] = {}
    for name, life in sorted(found.lives.items(), key=lambda item: item[1].first):
        for strides, margins in life.margins.items():
            plane = Plane(graph.covariance_of(name).spatial, margins, strides)
            busy = taken.setdefault(plane, [])
            slots[name, strides] = plane, _taken(busy, life)
    pools = list(taken)
    owned = {key: Place(pools.index(plane), numbers) for key, (plane, numbers) in slots.items()}
    places = {**owned, **_by_other_names(found, owned)}
    copied = {
        number: tuple((before, (first, s)) for before, first in pairs for (name, s) in owned if name == first)
        for number, pairs in found.copied.items()
    }
    loaded = tuple(key for key in owned if key[0] in outside)
    return Memory(tuple((plane, len(taken[plane])) for plane in pools), places, copied, loaded)


def _taken(busy: list[int], life: _Life) -> tuple[int, ...]:
    """The first planes of a pool that are free; `busy` says until which step each is in use."""
    numbers = [i for i, last in enumerate(busy) if last < life.first][: 1 + life.doubled]
    while len(numbers) < 1 + life.doubled:
        numbers.append(len(busy))
        busy.append(0)
    for number in numbers:
        busy[number] = life.last
    return tuple(numbers)


def _by_other_names(found: _Lives, owned: Mapping[Key, Place]) -> dict[Key, Place]:
    """The places of what is handed on, by the names that it has in and after the blocks, and before them."""
    places: dict[Key, Place] = {}
    for handed in found.handed:
        for (name, strides), place in owned.items():
            if name == handed.first:
                turned = place.slots[::-1]
                places[handed.own, strides] = Place(place.pool, turned)
                places[handed.last, strides] = Place(place.pool, (place.slots[handed.count % len(place.slots)],))
                if handed.before is not None and found.owner.get(handed.before) == handed.first:
                    places[handed.before, strides] = Place(place.pool, place.slots[:1])
    return places
