"""What dense and convolutional layers share: weights w and b with scales and a parameterisation."""

from __future__ import annotations

from abc import abstractmethod
from math import sqrt
from typing import Any, Literal

from ntc.errors import ParameterError
from ntc.ir.hyper import Hyper, parts
from ntc.ir.kernel import Add, Affine
from ntc.ir.op import Emit, Pair, TensorOp, Value, Weight
from ntc.ir.schema import Parameterization
from ntc.ir.types import Distribution, TensorType


class AffineLayer(TensorOp):
    """A new random linear function of the input, plus a bias.

    With n inputs to every sum, L the linear map of the layer on covariances with a scale of one, and eta the learning
    rate of the layer relative to that of the network (0 freezes it):

    ntk:       K' = w_std^2 L(K) + b_std^2,  T' = eta K' + w_std^2 L(T)
    standard:  K' as above,  T' = eta (n / r L(K) + [bias]) + w_std^2 L(T)

    r is `width_ratio`, by how much wider the layer below is than the network it stands for: weights have variance
    w_std^2 r / n and are divided by sqrt(r). Source: Novak et al. 2020 (arXiv:1912.02803), Table 1; Sohl-Dickstein et
    al. 2020 (arXiv:2001.07301), section 2. The learning rate multiplies the gradients of the layer's own parameters,
    which sum to the first term.
    """

    w_std: float | Hyper
    b_std: float | Hyper
    parameterization: Parameterization
    bias: bool
    width_ratio: float
    learning_rate: float | Hyper

    def __post_init__(self) -> None:
        if self.width_ratio != 1 and self.parameterization == "ntk":
            raise ParameterError(
                f"{self.name}: width_ratio = {self.width_ratio} has a meaning in the standard parameterization only",
                hint="add parameterization = standard",
                parameter="width_ratio",
            )

    @property
    def has_weights(self) -> bool:
        return True

    @property
    def bias_std(self) -> float | Hyper:
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

    @abstractmethod
    def linear(self, emit: Emit, x: TensorType, k: Value, w_std: float, b_std: float, name: str | None = None) -> Value:
        """Emits w_std^2 L(k) + b_std^2."""

    def _covariance(
        self, emit: Emit, x: Pair, k: Value, w_std: float | Hyper, b_std: float | Hyper, name: str | None = None
    ) -> Value:
        """Emits w_std^2 L(k) + b_std^2; where one of them is a hyperparameter, apart from what the layer sums."""
        if isinstance(w_std, Hyper) or isinstance(b_std, Hyper):
            return self.scaled(emit, self.linear(emit, x.type, k, 1.0, 0.0, "unit"), Affine(w_std, b_std), name)  # type: ignore[arg-type]
        return self.linear(emit, x.type, k, w_std, b_std, name)

    def scaled(self, emit: Emit, unit: Value, scale: Affine, name: str | None) -> Value:
        """Emits w_std^2 L(k) + b_std^2 from L(k)."""
        return emit(scale, unit, name=name)

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        (x,) = xs
        return self._covariance(emit, x, x.k, self.w_std, self.bias_std)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        (x,) = xs
        below = self._covariance(emit, x, x.t, self.w_std, 0.0, "below")
        if self.learning_rate == 0:
            return below
        here = y
        if self.parameterization == "standard":
            scale = sqrt(self.fan_in(x.type) / self.width_ratio)
            here = self.linear(emit, x.type, x.k, scale, float(self.bias), "here")
        rates: Any = () if self.learning_rate == 1 else (self.learning_rate, 1.0)
        return emit(Add(rates), here, below)

    def bias_shape(self, x: TensorType) -> tuple[int, ...]:
        """Shape of b: one number per output channel."""
        return self.weight_shape(x)[-1:]

    def weights(self, x: TensorType) -> dict[str, Weight]:
        shape = self.weight_shape(x)
        (w_std, w_hyper), (b_std, b_hyper) = parts(self.w_std), parts(self.b_std)
        scale, ratio = w_std / sqrt(self.fan_in(x)), sqrt(self.width_ratio)
        std, multiplier = (1.0, scale) if self.parameterization == "ntk" else (scale * ratio, 1 / ratio)
        when: Literal["init", "apply"] = "init" if self.parameterization == "standard" else "apply"
        weights = {"w": Weight(shape, std, multiplier, self.learning_rate, w_hyper, when)}
        if self.bias:
            std, multiplier = (1.0, b_std) if self.parameterization == "ntk" else (b_std, 1.0)
            weights["b"] = Weight(self.bias_shape(x), std, multiplier, self.learning_rate, b_hyper, when)
        return weights
