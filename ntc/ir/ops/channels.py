"""Convolutions whose output channels read a part of the input channels each."""

from __future__ import annotations

from typing import ClassVar

from ntc.errors import ShapeError
from ntc.ir.hyper import Tunable
from ntc.ir.ops.conv import Convolution
from ntc.ir.schema import Count, Extent, Padding, Parameterization, Positive, frozen
from ntc.ir.types import Distribution, TensorType


@frozen
class GroupedConv(Convolution):
    """Convolution of every one of `groups` equal groups of channels alone.

    ntk:       y_c[p] = w_std / sqrt(m |k|) sum over taps a, channels i of the group of c of W[a, i] x_i[s p + a]
                        + b_std b_c,  for groups of m channels
               K' = w_std^2 A(K) + b_std^2,  T' = K' + w_std^2 A(T),  A as in conv
    standard:  T' = m |k| A(K) + [bias] + w_std^2 A(T)

    The output is Gaussian if the channels of the input are independent and of one law, each group having infinitely
    many. For others, such as the channels of the data, K' and T' are means over groups of different covariances, and a
    nonlinearity must not follow. Source: Krizhevsky et al. 2012, section 3.5 (the layer); Novak et al. 2019
    (arXiv:1810.05148), eq. 7, for each group.

    Parameters: channels of the output and groups, which divides the channels of input and output; the others as conv.
    """

    name: ClassVar[str] = "grouped_conv"
    channels: Count
    groups: Count
    kernel: Extent
    stride: Extent = 1
    padding: Padding = "same"
    dilation: Extent = 1
    w_std: Tunable = 1.0
    b_std: Tunable = 0.0
    parameterization: Parameterization = "ntk"
    bias: bool = True
    width_ratio: Positive = 1.0
    learning_rate: Tunable = 1.0

    @property
    def needs_channels_alike(self) -> bool:
        return self.groups > 1

    def parts(self, channels: int) -> int:
        return self.groups

    def outputs(self, x: TensorType) -> int:
        for what, count in (("input", x.channels), ("output", self.channels)):
            if count % self.groups:
                raise ShapeError(
                    f"grouped_conv: {self.groups} groups do not divide the {count} channels of its {what}",
                    parameter="groups",
                )
        return self.channels


@frozen
class DepthwiseConv(Convolution):
    """Convolution of every channel alone, with `multiplier` filters for each.

    ntk:       y_{c,j}[p] = w_std / sqrt(|k|) sum over taps a of W_j[a, c] x_c[s p + a] + b_std b
               K' = w_std^2 A(K) + b_std^2,  T' = K' + w_std^2 A(T),  A as in conv
    standard:  T' = |k| A(K) + [bias] + w_std^2 A(T)

    K' and T' are means over channels. A channel is a product of random weights and one random channel, not a sum over
    many: it is not Gaussian at any width, and dense or conv must come before the next nonlinearity (a depthwise
    separable convolution: relu |> depthwise_conv(3) |> dense(64) |> relu).
    Source: Chollet 2017 (arXiv:1610.02357), section 2 (the layer); K' is E[y y'] over W and x.

    Parameters: kernel; multiplier (output channels per input channel); the others as conv.
    """

    name: ClassVar[str] = "depthwise_conv"
    kernel: Extent
    multiplier: Count = 1
    stride: Extent = 1
    padding: Padding = "same"
    dilation: Extent = 1
    w_std: Tunable = 1.0
    b_std: Tunable = 0.0
    parameterization: Parameterization = "ntk"
    bias: bool = True
    width_ratio: Positive = 1.0
    learning_rate: Tunable = 1.0

    def distribution(self, *xs: TensorType) -> Distribution:
        return Distribution.CENTERED

    @property
    def keeps_channels_alike(self) -> bool:
        return self.multiplier == 1

    def parts(self, channels: int) -> int:
        return channels

    def outputs(self, x: TensorType) -> int:
        return x.channels * self.multiplier
