"""Types of the values of both graphs."""

from __future__ import annotations

from enum import StrEnum
from math import prod
from typing import Literal

from ntc.ir.offsets import Offsets
from ntc.ir.schema import frozen

DType = Literal["f32", "f64"]
Spatial = tuple[int, ...]
Kernel = Literal["nngp", "ntk"]
Between = Literal["cross", "self", "diagonal"]
"""Which pairs of examples: every one of x1 with every one of x2; every one of x with every one of x (a
symmetric matrix); every one of x with itself alone."""

Form = Literal["covariance", "distance"]
"""What an entry is. `distance`: where p' = p it is D = (v1 + v2) / 2 - K, half of E[(u - v)^2], elsewhere -K. K of two
inputs that are nearly equal has lost the digits by which they differ; D has them."""

Target = Literal["cpu", "cuda", "tpu"]
MAX_SPATIAL_AXES = 3
"""A dense covariance then has rank 8: two batch axes and two axes per spatial axis."""


class Distribution(StrEnum):
    """What is known of the joint law of one channel of a value over the random weights.

    GAUSSIAN: channels are independent, identically distributed, Gaussian, of mean zero; a nonlinearity
      may follow. CENTERED: mean zero. GENERAL: nothing. FINITE: nothing, and a layer on the way has no rule, so that
      the value is one of finite networks alone.
    """

    GAUSSIAN = "gaussian"
    CENTERED = "centered"
    GENERAL = "tensor"
    FINITE = "finite"

    @property
    def centered(self) -> bool:
        return self in (Distribution.GAUSSIAN, Distribution.CENTERED)


@frozen
class TensorType:
    """A value of the network: (batch N, *spatial, channels); channels is the width at finite size."""

    spatial: Spatial
    channels: int
    distribution: Distribution

    def __str__(self) -> str:
        return f"{self.distribution}[{','.join(map(str, ('N', *self.spatial, self.channels)))}]"


@frozen
class ArrayType:
    """An input of the compiled program: an array (batch, *spatial, channels)."""

    dtype: DType
    batch: str
    spatial: Spatial
    channels: int

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, (self.batch, *self.spatial, self.channels)))}]"


@frozen
class CovarianceType:
    """A covariance function between the positions of two values.

    Attributes:
      dtype: of every entry.
      batch: two names, (N, M), for the covariance between the examples of two inputs; one name, (N,),
        for each example of one input with itself (a marginal).
      spatial: sizes of the spatial axes.
      offsets: per spatial axis, the offsets p' - p whose entries exist.
      moduli: per spatial axis, the modulus of the skewed layout: entry (p, p') is stored at position p and at
        the residue of p' - p. At least the size; a pass chooses it so that filters keep residues apart.
      form: what the entries are; of a marginal, covariances.
    """

    dtype: DType
    batch: tuple[str, ...]
    spatial: Spatial
    offsets: tuple[Offsets, ...]
    moduli: tuple[int, ...]
    form: Form = "covariance"

    @classmethod
    def dense(cls, dtype: DType, batch: tuple[str, ...], spatial: Spatial) -> CovarianceType:
        """The type in which every pair of positions is tracked."""
        return cls(dtype, batch, spatial, tuple(Offsets.full(size) for size in spatial), spatial)

    @property
    def itemsize(self) -> int:
        """Bytes of an entry."""
        return 4 if self.dtype == "f32" else 8

    @property
    def lanes(self) -> int:
        """Number of residues of offsets that are stored, over all axes together."""
        return prod(map(Offsets.count, self.offsets, self.moduli))

    @property
    def row_lanes(self) -> int:
        """Number of lanes that differ along the last axis alone: the length of a row of lanes."""
        return self.offsets[-1].count(self.moduli[-1]) if self.spatial else 1

    @property
    def entries(self) -> int:
        """Number of entries stored for each pair of examples."""
        return prod(self.spatial) * self.lanes

    def with_offsets(self, offsets: tuple[Offsets, ...]) -> CovarianceType:
        """The same value, tracked at other offsets."""
        return CovarianceType(self.dtype, self.batch, self.spatial, offsets, self.moduli, self.form)

    def with_moduli(self, moduli: tuple[int, ...]) -> CovarianceType:
        """The same value in another skewed layout."""
        return CovarianceType(self.dtype, self.batch, self.spatial, self.offsets, moduli, self.form)

    def with_form(self, form: Form) -> CovarianceType:
        """The same value in another form."""
        return CovarianceType(self.dtype, self.batch, self.spatial, self.offsets, self.moduli, form)

    def __str__(self) -> str:
        kind = "var" if len(self.batch) == 1 else "dist" if self.form == "distance" else "cov"
        parts = [",".join(self.batch)]
        if self.spatial:
            parts.append(",".join(map(str, self.spatial)))
            axes = zip(self.offsets, self.spatial, self.moduli, strict=True)
            parts.append(",".join(o.text(size, modulus) for o, size, modulus in axes))
        return f"{self.dtype} {kind}[{' | '.join(parts)}]"


Type = TensorType | ArrayType | CovarianceType
