"""What all channels of a value have in common, where weights are shared between channels.

A matrix along positions (`dense(axis=0)`) is the same for every channel. Its bias, and what it makes of a mean that
channels have, are then the same random numbers in all channels, and do not average out over channels: the covariance of
such a value is not deterministic. What is left without that part is, so layer normalisation, which subtracts the mean
over channels, goes on from there; so does another matrix along the same positions, which averages over them.

Beside the covariance K of one channel with itself, graphs then carry M, that of two different channels, and likewise
the NTK between two channels. Rules are those of K and T, applied to M; what a layer draws for every channel anew does
not occur in M.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ntc.errors import UnsupportedError
from ntc.ir.schema import frozen
from ntc.ir.types import TensorType


@frozen
class Common:
    """That there is such a part.

    Attributes:
      axis: the spatial axis along which it is independent; None if nothing says so.
      added: whether it is added to what belongs to one channel alone; else a nonlinearity has mixed both.
    """

    axis: int | None = None
    added: bool = True


class Operand(NamedTuple):
    """What a layer may know of a value that it reads.

    Attributes:
      type: shape and law.
      common: of a value whose channels have a random part in common.
      nonlinear: whether it is a nonlinearity of a Gaussian value, whose mean over channels is an integral.
    """

    type: TensorType
    common: Common | None = None
    nonlinear: bool = False


def refuse(layer: str, xs: Sequence[Operand]) -> None:
    """Raises UnsupportedError if channels of an operand have a random part in common, which the layer cannot read."""
    if any(x.common is not None for x in xs):
        raise UnsupportedError(
            f"{layer}: all channels of its input have a random part in common, from a dense layer along positions (its "
            "bias, or the mean of the nonlinearity before it), so that their covariance is not deterministic",
            hint="put layer_norm before it, which takes that part off; or let that dense have bias = false, after "
            "layer_norm or an odd nonlinearity",
        )


def without_rule(layer: str, why: str, instead: str) -> UnsupportedError:
    """The error of a kernel that is asked for where a layer has finite networks alone."""
    return UnsupportedError(
        f"{layer} has no closed form: {why}",
        hint="`ntc kernel --monte-carlo 500` estimates the kernels from random finite networks, with standard errors, "
        f"as `ntc.monte_carlo_kernel_fn` does in Python; {instead} has a rule",
    )
