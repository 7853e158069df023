"""Layers that join branches: sum, product, concat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import ClassVar

from ntc.errors import ShapeError, UnsupportedError
from ntc.ir.common import Common, Operand
from ntc.ir.kernel import Add, Mul
from ntc.ir.op import Emit, Pair, TensorOp, Value
from ntc.ir.schema import frozen
from ntc.ir.sliding import Strided
from ntc.ir.types import Distribution, Spatial, TensorType


class Join(TensorOp):
    """One value from several branches of the same spatial shape."""

    arity: ClassVar[int | None] = None
    fills_masked: ClassVar[bool] = False

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        if len({x.spatial for x in xs}) > 1 or len({self.width(x) for x in xs}) > 1:
            shapes = ", ".join(map(str, xs))
            raise ShapeError(f"{self.name}: its branches differ in shape: {shapes}")
        return xs[0].spatial, xs[0].channels

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        return Strided.every(x.spatial)

    def width(self, x: TensorType) -> int:
        """Channels that have to agree between branches."""
        return x.channels


class Uncorrelated(Join):
    """A join that is linear in each branch, whose rules need E[x_i x_j] = 0 for every two branches."""

    independent_operands: ClassVar[bool] = True

    def distribution(self, *xs: TensorType) -> Distribution:
        if all(x.distribution is Distribution.GAUSSIAN for x in xs):
            return Distribution.GAUSSIAN
        uncentered = sum(not x.distribution.centered for x in xs)
        if uncentered > 1:
            raise UnsupportedError(
                f"{self.name}: {uncentered} of its branches have a mean other than zero; their product is not tracked",
                hint="end all branches but one with dense or conv",
            )
        return Distribution.GENERAL if uncentered else Distribution.CENTERED


@frozen
class Sum(Uncorrelated):
    """y = x_1 + ... + x_r, branches uncorrelated, or one value.

    K' = c_1^2 K_1 + ... + c_r^2 K_r,  T' = c_1^2 T_1 + ... + c_r^2 T_r,  for a value that c_i of the branches are.
    The cross terms E[x_i x_j] vanish if the branches end in different dense or conv layers, or if they share
    no random weights and at most one of them has a mean other than zero; anything else is refused.
    Source: Novak et al. 2020 (arXiv:1912.02803), Table 1 (residual networks).
    """

    name: ClassVar[str] = "sum"
    adds_operands: ClassVar[bool] = True

    def common_after(self, *xs: Operand) -> Common | None:
        found = [x.common for x in xs if x.common is not None]
        return Common() if found and all(x.added for x in found) else super().common_after(*xs)

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        return self._sum(emit, xs, lambda x: x.k)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        return self._sum(emit, xs, lambda x: x.t)

    def _sum(self, emit: Emit, xs: tuple[Pair, ...], part: Callable[[Pair], Value]) -> Value:
        counts = Counter(x.k for x in xs)
        values = {x.k: part(x) for x in xs}
        weights = () if set(counts.values()) == {1} else tuple(float(count**2) for count in counts.values())
        return emit(Add(weights), *values.values())


@frozen
class Product(Join):
    """y = x_1 * ... * x_r, entry by entry, branches independent.

    K' = K_1 * ... * K_r,  T' = sum over i of T_i * product over j != i of K_j.
    Branches that share random weights are refused.
    Source: E[xy x'y'] = E[x x'] E[y y'] and the product rule; Novak et al. 2020 (arXiv:1912.02803), Table 1.
    """

    name: ClassVar[str] = "product"
    independent_operands: ClassVar[bool] = True

    def distribution(self, *xs: TensorType) -> Distribution:
        if len(xs) == 1:
            return xs[0].distribution
        centered = any(x.distribution.centered for x in xs)
        return Distribution.CENTERED if centered else Distribution.GENERAL

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        return emit(Mul(), *(x.k for x in xs))

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        terms = []
        for i, x in enumerate(xs):
            others = (other.k for j, other in enumerate(xs) if j != i)
            terms.append(emit(Mul(), x.t, *others, name="term"))
        return emit(Add(), *terms)


@frozen
class Concat(Join):
    """y = the channels of x_1, ..., x_r side by side.

    K' = sum over i of n_i K_i / sum of n_i, for branches of n_i channels;  T' likewise.
    Branches may share weights: no product of two branches occurs.
    Source: definition of the kernel as a mean over channels; Novak et al. 2020 (arXiv:1912.02803), Table 1.
    """

    name: ClassVar[str] = "concat"

    @property
    def keeps_channels_alike(self) -> bool:
        return False

    def width(self, x: TensorType) -> int:
        return 0

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        spatial, _ = super().shape(*xs)
        return spatial, sum(x.channels for x in xs)

    def distribution(self, *xs: TensorType) -> Distribution:
        if len(xs) == 1:
            return xs[0].distribution
        centered = all(x.distribution.centered for x in xs)
        return Distribution.CENTERED if centered else Distribution.GENERAL

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        return emit(self._mean(xs), *(x.k for x in xs))

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        return emit(self._mean(xs), *(x.t for x in xs))

    def _mean(self, xs: tuple[Pair, ...]) -> Add:
        total = sum(x.type.channels for x in xs)
        return Add(tuple(x.type.channels / total for x in xs))
