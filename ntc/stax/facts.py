"""What is known of the results of a part before its kernels are computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ntc.backends.jax.finite.masking import reached
from ntc.ir.build import Seen, TensorGraphBuilder
from ntc.ir.types import Distribution
from ntc.stax.covariances import Kernel
from ntc.stax.layout import Layout
from ntc.stax.part import Value

Present = Mapping[str, Any]
"""Which positions (n, *spatial) of every input are there, by its name."""


@dataclass(frozen=True)
class Fact:
    """What is known of one result.

    Attributes:
      label: what the graph calls it.
      sizes: (*spatial, channels).
      layout: where its axes are for users.
      gaussian, data: `is_gaussian` and `is_input` of a Kernel.
      visible: where its mask is; None if it has none.
    """

    label: str
    sizes: tuple[int, ...]
    layout: Layout
    gaussian: bool
    data: bool
    visible: Seen | None

    def masked(self, kernel: Kernel, first: Present, second: Present | None) -> Kernel:
        """The Kernel with masks, from which positions (n, *spatial) of the inputs are there, by the names of inputs;
        second is None for x1."""
        if self.visible is None:
            return kernel
        mask1, mask2 = (None if x is None else self._mask(self.visible, x) for x in (first, second))
        return kernel.replace(mask1=mask1, mask2=mask2)

    def _mask(self, visible: Seen, present: Present) -> Any:
        """True where a position of the result is missing, with one channel, in the order of users."""
        return self.layout.stored(~_there(visible, present)[..., None])

    def kernel(self, nngp: Any, ntk: Any, cov1: Any, cov2: Any) -> Kernel:
        """The Kernel with these matrices; without cov2, x2 is x1."""
        shape1, shape2 = (self.layout.stored((n, *self.sizes)) for n in nngp.shape[:2])
        return Kernel(
            nngp,
            ntk,
            cov1,
            cov2,
            x1_is_x2=cov2 is None,
            is_gaussian=self.gaussian,
            is_input=self.data,
            shape1=shape1,
            shape2=shape2,
            batch_axis=self.layout.batch,
            channel_axis=self.layout.channel,
        )


def _there(visible: Seen, present: Present) -> Any:
    """Which positions of a value are there, from those of the input."""
    below, positions = visible
    if isinstance(below, tuple):  # the mask of what an op makes of a masked value
        op, *inner = below
        there = reached(op, _there((inner[0], inner[1]), present))
    else:
        there = present[str(below)]
    slices = [slice(x.first, x.first + (x.count - 1) * x.stride + 1, x.stride) for x in positions]
    return there[(slice(None), *slices)]


def facts(builder: TensorGraphBuilder, result: Value, labels: Any) -> Any:
    """A Fact of every result, nested as the results and their labels are."""
    if isinstance(result, tuple):
        return tuple(facts(builder, *each) for each in zip(result, labels, strict=True))
    type_ = builder.tensor_of(result.name)
    gaussian = type_.distribution is Distribution.GAUSSIAN
    sizes = (*type_.spatial, type_.channels)
    data, visible = builder.has_data_channels(result.name), builder.visible(result.name)
    return Fact(labels, sizes, result.layout, gaussian, data, visible)
