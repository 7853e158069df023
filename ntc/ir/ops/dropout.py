"""Dropout."""

from __future__ import annotations

from typing import ClassVar, Literal

from ntc.ir.hyper import TunableShare
from ntc.ir.kernel import DiagScale
from ntc.ir.op import Emit, Pair, TensorOp, Value
from ntc.ir.schema import frozen
from ntc.ir.sliding import Strided
from ntc.ir.types import Distribution, Spatial, TensorType


@frozen
class Dropout(TensorOp):
    """y = m x / keep entry by entry, m = 1 with probability `keep` and else 0 (mode=train); y = x (mode=test).

    m is drawn anew for every example, position and channel, so it only correlates with itself:
    K'[n, p; n, p] = K[n, p; n, p] / keep, and K' = K at any other pair of example and position;  T' likewise.
    In k(x, x) example n meets itself; in k(x1, x2) no example does, even if it occurs in both.
    The mean over masks is one over channels, of which there must be infinitely many: x follows a random layer.
    Source: Schoenholz et al. 2017 (arXiv:1611.01232), the recursion with dropout.

    Parameters: keep (the probability that an entry stays, above zero), mode.
    """

    name: ClassVar[str] = "dropout"
    fills_masked: ClassVar[bool] = False
    keep: TunableShare
    mode: Literal["train", "test"] = "train"

    @property
    def needs_width(self) -> bool:
        return self.mode == "train"

    @property
    def draws(self) -> bool:
        return self.mode == "train"

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        return x.spatial, x.channels

    def distribution(self, *xs: TensorType) -> Distribution:
        (x,) = xs
        if x.distribution is Distribution.GAUSSIAN and self.mode == "train" and self.keep != 1:
            return Distribution.CENTERED  # a mixture of a Gaussian and zero
        return x.distribution

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        return Strided.every(x.spatial)

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        return self._scaled(emit, xs[0].k)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        return self._scaled(emit, xs[0].t)

    def _scaled(self, emit: Emit, k: Value) -> Value:
        return emit(DiagScale(self.keep), k) if self.mode == "train" else k
