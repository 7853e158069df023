"""Layers of which finite networks exist, and no formula of their kernels."""

from __future__ import annotations

from math import sqrt
from typing import ClassVar, Literal

from ntc.errors import UnsupportedError
from ntc.ir.common import Common, Operand, without_rule
from ntc.ir.kernel import Affine
from ntc.ir.op import Emit, Pair, TensorOp, Value
from ntc.ir.schema import Positive, Scale, frozen
from ntc.ir.sliding import Strided
from ntc.ir.types import Distribution, Spatial, TensorType


class FiniteOnly(TensorOp):
    """A layer without a rule. Its finite networks are those of any other; a kernel is refused where it is written."""

    why: ClassVar[str]
    instead: ClassVar[str]

    @property
    def closed_form(self) -> bool:
        return False

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        return x.spatial, x.channels

    def distribution(self, *xs: TensorType) -> Distribution:
        return xs[0].distribution if self.closed_form else Distribution.FINITE

    def without_rule(self, *xs: TensorType) -> UnsupportedError:
        return without_rule(self.name, self.why, self.instead)

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        raise self.without_rule(*(x.type for x in xs))

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        raise self.without_rule(*(x.type for x in xs))


@frozen
class Softmax(FiniteOnly):
    """y_c = exp(x_c) / sum over channels c' of exp(x_c'), at every position.

    Finite networks alone: what a network puts out is regressed, and a softmax mixes few outputs, not infinitely many.
    `ntc.estimators.NTKClassifier` and `ntc predict` make probabilities of the posterior of the logits; within attention
    it is the `mechanism`. Source: definition.
    """

    name: ClassVar[str] = "softmax"
    why: ClassVar[str] = "it mixes few outputs, which are no sum over infinitely many"
    instead: ClassVar[str] = "the network without it, whose posterior `ntc predict` makes probabilities of,"


@frozen
class LogSoftmax(FiniteOnly):
    """y_c = x_c - log(sum over channels c' of exp(x_c')), at every position.

    Finite networks alone, as softmax. Source: definition.
    """

    name: ClassVar[str] = "log_softmax"
    why: ClassVar[str] = Softmax.why
    instead: ClassVar[str] = Softmax.instead


@frozen
class BatchNorm(FiniteOnly):
    """y_c = (x_c - m_c) / sqrt(v_c + eps) in every channel c.

    train:  m_c and v_c are mean and variance over all examples of the batch and all positions. Finite networks alone: a
            kernel between two examples depends on all others of the batch.
    test:   m_c = 0 and v_c = `variance`, as they are kept: K' = K / (variance + eps),  T' = T / (variance + eps).

    Learnt scales and shifts are layers of their own: `layer_scale()` and `bias(0, parameterization=standard)`.
    Source: Ioffe & Szegedy 2015 (arXiv:1502.03167), algorithm 1; for test the bilinearity of the covariance.

    Parameters: mode; variance, of test; eps.
    """

    name: ClassVar[str] = "batch_norm"
    why: ClassVar[str] = "with mode = train, a kernel between two examples depends on all others of the batch"
    instead: ClassVar[str] = "layer_norm, or mode = test,"
    mode: Literal["train", "test"] = "train"
    variance: Positive = 1.0
    eps: Scale = 1e-5

    @property
    def closed_form(self) -> bool:
        return self.mode == "test"

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        return Strided.every(x.spatial) if self.closed_form else super().visible(x)

    def common_after(self, *xs: Operand) -> Common | None:
        return xs[0].common if self.closed_form else super().common_after(*xs)

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        return emit(self._scale, xs[0].k) if self.closed_form else super().nngp(emit, *xs)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        return emit(self._scale, xs[0].t) if self.closed_form else super().ntk(emit, y, *xs)

    @property
    def _scale(self) -> Affine:
        return Affine(1 / sqrt(self.variance + self.eps))
