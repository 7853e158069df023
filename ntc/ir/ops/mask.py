"""Inputs of different length."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ntc.ir.kernel import Gram, Unmasked
from ntc.ir.op import Emit, Pair, TensorOp, Value
from ntc.ir.schema import Masked, frozen
from ntc.ir.sliding import Strided
from ntc.ir.types import Distribution, Spatial, TensorType


@frozen
class Mask(TensorOp):
    """Entries of the input that equal `value` are missing: they count as zeros, and a position all of whose channels
    are missing is masked. It stays zero through all layers that follow, and global_avg_pool does not count it.

    K'[p, p'] = m[p] m[p'] K[p, p'],  T' = 0,  for m = 0 at masked positions and 1 elsewhere; the same after every layer
    that moves no positions. After a window of stride s, an output position is masked if the middle of its window is.
    Source: definition; the conventions are those of Novak et al. 2020 (arXiv:1912.02803), section 2.1 (masking).

    Parameters: value, a number, `nan` or `inf`.
    """

    name: ClassVar[str] = "mask"
    value: Masked = "nan"

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        return x.spatial, x.channels

    def distribution(self, *xs: TensorType) -> Distribution:
        return xs[0].distribution

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        return Strided.every(x.spatial)

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        return emit(replace(_gram(*xs), masked=self.value), *xs[0].arrays)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        return xs[0].t

    def unmasked(self, emit: Emit, *xs: Pair) -> Value:
        """Emits which pairs of positions are not masked, as 1 and 0."""
        gram = _gram(*xs)
        return emit(Unmasked(gram.crop, self.value, gram.channels, gram.shape, gram.start), *xs[0].arrays)


def _gram(x: Pair) -> Gram:
    """How the input is read."""
    assert isinstance(x.gram, Gram)  # the builder has seen to it
    return x.gram
