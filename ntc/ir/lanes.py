"""Where the entries of a covariance lie: the skewed layout.

Entry (p, p') of a spatial axis lies at position p, in the lane of the residue of p' - p modulo M. A filter whose
two taps move together then moves along positions within one lane, as if lanes were examples: lanes never mix.
`CovarianceType.moduli` has M per axis, and a pass chooses it; the lanes of several axes form a product, the last
axis fastest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from ntc.ir.sliding import Sliding
from ntc.ir.types import CovarianceType

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Axis:
    """The layout of one spatial axis: `size` positions, and residues modulo `modulus`."""

    size: int
    modulus: int
    residues: tuple[int, ...]

    @property
    def positions(self) -> Indices:
        """p of every entry, (size, 1)."""
        return np.arange(self.size)[:, None]

    @property
    def partners(self) -> Indices:
        """p' of every entry, (size, residues). Entries with p' >= size are dead: stored and never read."""
        partners: Indices = (self.positions + np.array(self.residues)) % self.modulus
        return partners

    @property
    def diagonal(self) -> bool:
        """Whether only p' = p is stored."""
        return self.residues == (0,)

    @property
    def has_dead_entries(self) -> bool:
        """Whether some p' lie outside the image."""
        return bool((self.partners >= self.size).any())

    def lanes(self, residues: Indices) -> Indices:
        """Lanes of residues; -1 for those that are not stored."""
        table = np.full(self.modulus, -1)
        table[list(self.residues)] = np.arange(len(self.residues))
        return table[residues % self.modulus]


@cache
def axes_of(type_: CovarianceType) -> tuple[Axis, ...]:
    """The layout of every spatial axis."""
    parts = zip(type_.spatial, type_.moduli, type_.offsets, strict=True)
    return tuple(Axis(size, modulus, offsets.residues(modulus)) for size, modulus, offsets in parts)


def residue_table(type_: CovarianceType) -> Indices:
    """The residue of every lane along every axis, (axes, lanes)."""
    grid = np.meshgrid(*(axis.residues for axis in axes_of(type_)), indexing="ij")
    return np.array(grid, np.intp).reshape(len(type_.spatial), type_.lanes)


@cache
def keeps_lanes(source: Axis, target: Axis, geometry: Sliding | None = None) -> bool:
    """Whether every entry of a lane of `target` reads only entries of the same lane of `source`.

    It reads entry (p, p') itself, or through a filter (s p + a, s p' + a) for all taps a.
    """
    if len(source.residues) != len(target.residues):
        return False
    if geometry is None and source == target:
        return True
    taps = [target.positions[:, 0]]
    if geometry is not None:
        taps = [geometry.read_positions(tap) for tap in range(geometry.window)]
    return all(_keeps_lanes(source, target, read) for read in taps)


def _keeps_lanes(source: Axis, target: Axis, read: Indices) -> bool:
    first, second = read[:, None], read[np.minimum(target.partners, target.size - 1)]
    wanted = (target.partners < target.size) & _inside(first, source) & _inside(second, source)
    lanes = source.lanes(second - first)
    return bool(((lanes == np.arange(len(target.residues))) | ~wanted).all())


def _inside(positions: Indices, axis: Axis) -> npt.NDArray[np.bool_]:
    return (positions >= 0) & (positions < axis.size)
