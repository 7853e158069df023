"""What dense and convolutional layers share: weights w and b with scales and a parameterisation."""

from __future__ import annotations

from abc import abstractmethod
from math import sqrt

from ntc.ir.op import TensorOp, Weight
from ntc.ir.schema import Parameterization
from ntc.ir.types import Distribution, TensorType


class AffineLayer(TensorOp):
    """A new random linear function of the input, plus a bias."""

    w_std: float
    b_std: float
    parameterization: Parameterization
    bias: bool

    @property
    def has_weights(self) -> bool:
        return True

    @property
    def bias_std(self) -> float:
        """Standard deviation of the bias; 0 without one."""
        return self.b_std if self.bias else 0.0

    def distribution(self, *xs: TensorType) -> Distribution:
        return Distribution.GAUSSIAN

    @abstractmethod
    def fan_in(self, x: TensorType) -> int:
        """Number of inputs that one output channel at one position sums."""

    @abstractmethod
    def weight_shape(self, x: TensorType) -> tuple[int, ...]:
        """Shape of w, output channels last."""

    def bias_shape(self, x: TensorType) -> tuple[int, ...]:
        """Shape of b: one number per output channel."""
        return self.weight_shape(x)[-1:]

    def weights(self, x: TensorType) -> dict[str, Weight]:
        shape = self.weight_shape(x)
        scale = self.w_std / sqrt(self.fan_in(x))
        ntk = self.parameterization == "ntk"
        weights = {"w": Weight(shape, std=1.0 if ntk else scale, multiplier=scale if ntk else 1.0)}
        if self.bias:
            std, multiplier = (1.0, self.b_std) if ntk else (self.b_std, 1.0)
            weights["b"] = Weight(self.bias_shape(x), std, multiplier)
        return weights
