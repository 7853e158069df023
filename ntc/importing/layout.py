"""How the array of a value lies to the tensor of a network: examples, spatial axes, channels.

Every axis of the array holds atoms, pieces of axes of the tensor: a flattened image is one axis of three atoms, a patch
is a part of a spatial axis. Axes of size one hold none, and neither do those along which a value is constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from ntc.ir.types import Spatial

TensorAxis = Literal["examples", "channels"] | int
"""Of a tensor: its examples, a spatial axis by number, its channels."""


@dataclass(frozen=True)
class Atom:
    """`size` indices of an axis of the tensor, `stride` apart."""

    axis: TensorAxis
    size: int
    stride: int = 1


Atoms = tuple[Atom, ...]
Layout = tuple[Atoms, ...]
"""Per axis of the array, outermost first."""


def whole(axis: TensorAxis, size: int) -> Atoms:
    """An axis of the tensor as it is."""
    return (Atom(axis, size),) if size > 1 else ()


def standard(examples: int, spatial: Spatial, channels: int) -> Layout:
    """That of (examples, *spatial, channels)."""
    middle = (whole(i, size) for i, size in enumerate(spatial))
    return whole("examples", examples), *middle, whole("channels", channels)


def flat(layout: Layout) -> Atoms:
    """All atoms in the order of the array."""
    return tuple(atom for axis in layout for atom in axis)


def joined(atoms: Atoms) -> Atoms:
    """Neighbours that are one piece made one."""
    found: list[Atom] = []
    for atom in atoms:
        last = found[-1] if found else None
        if last and last.axis == atom.axis and last.stride == atom.stride * atom.size:
            found[-1] = Atom(atom.axis, last.size * atom.size, atom.stride)
        else:
            found.append(atom)
    return tuple(found)


def reshaped(layout: Layout, old: Sequence[int], new: Sequence[int]) -> Layout | None:
    """That of a reshaped array; None where an axis would hold a part that is no piece."""
    pieces: list[Atom | int] = []  # numbers are sizes of axes along which the value is constant
    for atoms, size in zip(layout, old, strict=True):
        pieces += atoms or ([size] if size > 1 else [])
    found = []
    for size in new:
        taken, left = [], size
        while left > 1:
            if not pieces:
                return None
            piece = pieces.pop(0)
            count = piece if isinstance(piece, int) else piece.size
            if left % count:
                if count % left:
                    return None
                pieces.insert(
                    0, count // left if isinstance(piece, int) else Atom(piece.axis, count // left, piece.stride)
                )
                piece = left if isinstance(piece, int) else Atom(piece.axis, left, piece.stride * (count // left))
                count = left
            left //= count
            taken.append(piece)
        if any(isinstance(piece, int) for piece in taken) and len(taken) > 1:
            return None
        found.append(joined(tuple(piece for piece in taken if isinstance(piece, Atom))))
    return tuple(found) if not pieces else None


def combined(layouts: Sequence[Layout]) -> Layout | None:
    """That of entrywise arithmetic of arrays of one number of axes; None if they lie differently."""
    found = []
    for axes in zip(*layouts, strict=True):
        kinds = {atoms for atoms in axes if atoms}
        if len(kinds) > 1:
            return None
        found.append(kinds.pop() if kinds else ())
    return tuple(found)


def is_full(layout: Layout, examples: int, spatial: Spatial, channels: int) -> bool:
    """Whether every entry of the tensor is in the array."""
    wanted = examples * prod(spatial) * channels
    return prod(atom.size for atom in flat(layout)) == wanted


def order(atoms: Atoms) -> tuple[int, ...]:
    """The order in which atoms of the tensor come: spatial axes, then channels, larger strides first."""

    def key(i: int) -> tuple[int, int, int]:
        atom = atoms[i]
        rank = {"examples": -1, "channels": 100}.get(atom.axis, atom.axis) if isinstance(atom.axis, str) else atom.axis
        return int(rank), -atom.stride, i

    return tuple(sorted(range(len(atoms)), key=key))
