"""Parameters that are no random linear function of the input: layer scale, biases and embeddings, class tokens."""

from __future__ import annotations

from typing import Any, ClassVar

from ntc.errors import ShapeError
from ntc.ir.common import Common, Operand
from ntc.ir.hyper import Hyper, Tunable, TunableReal, parts
from ntc.ir.kernel import Add, Affine, Constant, EmbedPositions, OnDiagonal, Window
from ntc.ir.op import Emit, Pair, TensorOp, Value, Weight, covariance
from ntc.ir.schema import MAX_EXTENT, AxisNumber, Parameterization, frozen
from ntc.ir.sliding import Strided
from ntc.ir.types import Distribution, Spatial, TensorType


@frozen
class LayerScale(TensorOp):
    """y_c = g_c x_c in every channel c, where g_c is learnt and begins as `init`.

    K' = init^2 K,  T' = init^2 T + eta K, as the derivative of y_c by g_c is x_c, and K is the mean over channels of
    x_c x_c'. That second part of the NTK belongs to a channel, by x_c x_c', and averages out in the next dense or conv.
    A nonlinearity phi whose slope depends on x_c too may come directly behind, or behind a bias that begins as zero,
    where it has a rule: there T' = (T - eta K / init^2) E[phi' phi'] + eta / init^2 E[psi psi], psi(x) = x phi'(x), as
    the derivative of phi(g x) by g is psi(g x) / g. `learning_rate=0` makes it `scale`. This is the learnt scale of a
    normalisation. Source: Touvron et al. 2021 (arXiv:2103.17239), eq. 2 (the layer); the chain rule.

    Parameters: init; learning_rate eta of the layer's parameters.
    """

    name: ClassVar[str] = "layer_scale"
    fills_masked: ClassVar[bool] = False
    init: TunableReal = 1.0
    learning_rate: Tunable = 1.0

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        return x.spatial, x.channels

    def distribution(self, *xs: TensorType) -> Distribution:
        (x,) = xs
        if x.distribution is Distribution.GAUSSIAN and self.learning_rate != 0:
            return Distribution.CENTERED
        return x.distribution

    def learnt_after(self, below: float, law: Distribution) -> float:
        if law is not Distribution.GAUSSIAN or isinstance(self.init, Hyper) or isinstance(self.learning_rate, Hyper):
            return 0.0
        return self.learning_rate / self.init**2 if self.init else 0.0

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        return Strided.every(x.spatial)

    def weights(self, x: TensorType) -> dict[str, Weight]:
        mean, hyper = parts(self.init)
        return {"g": Weight((x.channels,), 0.0, 1.0, self.learning_rate, hyper, "init", mean)}

    def common_after(self, *xs: Operand) -> Common | None:
        return xs[0].common

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        return emit(Affine(self.init), xs[0].k)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        (x,) = xs
        below = emit(Affine(self.init), x.t, name="below")
        return below if self.learning_rate == 0 else emit(Add((1.0, self.learning_rate)), below, x.k)

    def common_ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        """Of two channels: each has a parameter of its own."""
        (x,) = xs
        assert x.common is not None
        return emit(Affine(self.init), x.common.t)


@frozen
class Bias(TensorOp):
    """y = x + b, with b the same at all positions, or (per_position) an embedding of every position.

    ntk:       y = x + b_std b,  b ~ N(0, 1):  K' = K + b_std^2 R,  T' = T + eta b_std^2 R
    standard:  y = x + b,  b ~ N(0, b_std^2):  K' as above,  T' = T + eta R

    with R = 1, or R = [p = p'] per position. b_std = 0 in the standard parameterization are
    biases that begin as zero. Source: Novak et al. 2020 (arXiv:1912.02803), Table 1; Dosovitskiy et al. 2021
    (arXiv:2010.11929), eq. 1 (embeddings).

    Parameters: b_std (standard deviation); per_position; parameterization; learning_rate eta of the layer's parameters.
    """

    name: ClassVar[str] = "bias"
    b_std: Tunable = 1.0
    per_position: bool = False
    parameterization: Parameterization = "ntk"
    learning_rate: Tunable = 1.0

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        return x.spatial, x.channels

    def distribution(self, *xs: TensorType) -> Distribution:
        return xs[0].distribution

    def learnt_after(self, below: float, law: Distribution) -> float:
        return below if self.b_std == 0 else 0.0

    def visible(self, x: TensorType) -> tuple[Strided, ...] | None:
        return Strided.every(x.spatial)

    def weights(self, x: TensorType) -> dict[str, Weight]:
        shape = (*x.spatial, x.channels) if self.per_position else (x.channels,)
        return {"b": _drawn(shape, self.b_std, self.parameterization, self.learning_rate)}

    def common_after(self, *xs: Operand) -> Common | None:
        return xs[0].common

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        return self._plus(emit, xs[0].k, self.b_std)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        (x,) = xs
        if self.learning_rate == 0:
            return x.t
        zero = emit(Affine(0.0), x.t, name="zero")
        here = self._plus(emit, zero, self.b_std if self.parameterization == "ntk" else 1.0, "here")
        return emit(Add((1.0, self.learning_rate)), x.t, here)

    def _plus(self, emit: Emit, k: Value, b_std: Any, name: str | None = None) -> Value:
        """Emits k + b_std^2 R."""
        if not self.per_position or not covariance(k.type).spatial:
            return emit(Affine(1.0, b_std), k, name=name)
        return emit(EmbedPositions(1.0, 1.0, b_std), k, name=name)

    def common_nngp(self, emit: Emit, *xs: Pair) -> Value:
        """Of two channels: each has biases of its own."""
        assert xs[0].common is not None
        return xs[0].common.k

    def common_ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        assert xs[0].common is not None
        return xs[0].common.t


@frozen
class ClassToken(TensorOp):
    """One more position along an axis, before or after the others, whose values are learnt: the same for all examples.

    ntk:       y[new] = std e,  e ~ N(0, 1):  K'[new, new] = std^2,  T'[new, new] = eta std^2
    standard:  y[new] = e,  e ~ N(0, std^2):  K' as above,  T'[new, new] = eta

    K' and T' are K and T between the other positions, and zero between these and the new one. Along further axes, every
    new position has values of its own. Source: Dosovitskiy et al. 2021 (arXiv:2010.11929), eq. 1 (the layer).

    Parameters: std (standard deviation); axis, from 0; last, behind the others; parameterization; learning_rate eta.
    """

    name: ClassVar[str] = "class_token"
    std: Tunable = 1.0
    axis: AxisNumber = 0
    last: bool = False
    parameterization: Parameterization = "ntk"
    learning_rate: Tunable = 1.0

    def shape(self, *xs: TensorType) -> tuple[Spatial, int]:
        (x,) = xs
        if self.axis >= len(x.spatial):
            raise ShapeError(
                f"class_token: its input has {len(x.spatial)} spatial axes, none with number {self.axis}",
                hint="the first spatial axis is 0",
                parameter="axis",
            )
        size = x.spatial[self.axis] + 1
        if size > MAX_EXTENT:
            raise ShapeError(f"class_token: more than {MAX_EXTENT} positions")
        return self._sized(x.spatial, size), x.channels

    def distribution(self, *xs: TensorType) -> Distribution:
        return xs[0].distribution

    def weights(self, x: TensorType) -> dict[str, Weight]:
        shape = (*self._sized(x.spatial, 1), x.channels)
        return {"e": _drawn(shape, self.std, self.parameterization, self.learning_rate)}

    def nngp(self, emit: Emit, *xs: Pair) -> Value:
        return self._with_token(emit, xs[0].k, self.std)

    def ntk(self, emit: Emit, y: Value, *xs: Pair) -> Value:
        (x,) = xs
        if self.learning_rate == 0:
            return emit(self._block(x.type.spatial, token=False), x.t)
        return self._with_token(emit, x.t, self.std if self.parameterization == "ntk" else 1.0, self.learning_rate)

    def _sized(self, spatial: Spatial, size: int) -> Spatial:
        """The sizes with another along the axis."""
        return (*spatial[: self.axis], size, *spatial[self.axis + 1 :])

    def _block(self, spatial: Spatial, token: bool) -> Window:
        """The token, or what was there before, within zeros where the other is."""
        zeros = spatial[self.axis] if token else 1
        pads = [0] * (2 * len(spatial))
        pads[2 * self.axis + (token != self.last)] = zeros
        return Window((1,) * len(spatial), pads=tuple(pads))

    def _with_token(self, emit: Emit, k: Value, std: Any, rate: Any = 1.0) -> Value:
        type_ = covariance(k.type)
        one = emit(Constant(1.0, type_.dtype, type_.batch, self._sized(type_.spatial, 1)), name="one")
        token = emit(Affine(std), emit(OnDiagonal(), one, name="own"), name="token")
        token = token if rate == 1 else emit(Add((rate,)), token, name="rate")
        blocks = emit(self._block(type_.spatial, False), k, name="block"), emit(self._block(type_.spatial, True), token)
        return emit(Add(), *blocks)


def _drawn(shape: tuple[int, ...], std: Any, parameterization: Parameterization, rate: Any) -> Weight:
    """Parameters of which each is a bias of this standard deviation."""
    scale, hyper = parts(std)
    if parameterization == "ntk":
        return Weight(shape, 1.0, scale, rate, hyper, "apply")
    return Weight(shape, scale, 1.0, rate, hyper, "init")
