"""A value of which covariances are known, and nothing else."""

from __future__ import annotations

from typing import ClassVar

from ntc.ir.kernel import Given as GivenCovariance
from ntc.ir.op import Emit, Pair, TensorOp, Value
from ntc.ir.schema import Count, frozen
from ntc.ir.types import Distribution, Spatial, TensorType


@frozen
class Given(TensorOp):
    """A value whose kernels the caller gives when the graph is run; its operand says only how many examples there are.

    K' and T' are given, and so is K' of each example with itself. It is not a layer of the language: it has no finite
    network. Several in one graph are independent of each other. Source: definition.

    Parameters: number, which of the given ones; spatial, channels, its shape; gaussian, whether it is Gaussian; data,
    whether its channels are those of data, of which no sum has a limit; masked, whether
    which pairs of positions are there is given as well.
    """

    name: ClassVar[str] = "given"
    number: int = 0
    spatial: Spatial = ()
    channels: Count = 1
    gaussian: bool = False
    data: bool = False
    masked: bool = False

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        return self.spatial, self.channels

    def distribution(self, *xs: TensorType) -> Distribution:
        return Distribution.GAUSSIAN if self.gaussian else Distribution.GENERAL

    @property
    def has_weights(self) -> bool:
        return not self.data

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        return emit(GivenCovariance("nngp", self.number, self.spatial), *xs[0].arrays)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        return emit(GivenCovariance("ntk", self.number, self.spatial), *xs[0].arrays)

    def unmasked(self, emit: Emit, *xs: Pair) -> Value:
        """Emits which pairs of positions are there, as 1 and 0."""
        return emit(GivenCovariance("mask", self.number, self.spatial), *xs[0].arrays)
