"""What is known of the results of a part before its kernels are computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ntc.ir.build import TensorGraphBuilder
from ntc.ir.sliding import Strided
from ntc.ir.types import Distribution
from ntc.stax.covariances import Kernel
from ntc.stax.layout import Layout
from ntc.stax.part import Value


@dataclass(frozen=True)
class Fact:
    """What is known of one result.

    Attributes:
      label: what the graph calls it.
      sizes: (*spatial, channels).
      layout: where its axes are for users.
      gaussian, data: `is_gaussian` and `is_input` of a Kernel.
      visible: the positions of the input whose masks its own are; None if none is masked.
    """

    label: str
    sizes: tuple[int, ...]
    layout: Layout
    gaussian: bool
    data: bool
    visible: tuple[Strided, ...] | None

    def masked(self, kernel: Kernel, first: Any, second: Any) -> Kernel:
        """The Kernel with masks, from which positions (n, *spatial) of the inputs are there; second is None for x1."""
        if self.visible is None:
            return kernel
        mask1, mask2 = (None if seen is None else self._mask(seen) for seen in (first, second))
        return kernel.replace(mask1=mask1, mask2=mask2)

    def _mask(self, present: Any) -> Any:
        """True where a position of the result is missing, with one channel, in the order of users."""
        slices = [slice(x.first, x.first + (x.count - 1) * x.stride + 1, x.stride) for x in self.visible or ()]
        return self.layout.stored(~present[(slice(None), *slices)][..., None])

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


def facts(builder: TensorGraphBuilder, result: Value, labels: Any) -> Any:
    """A Fact of every result, nested as the results and their labels are."""
    if isinstance(result, tuple):
        return tuple(facts(builder, *each) for each in zip(result, labels, strict=True))
    type_ = builder.tensor_of(result.name)
    gaussian = type_.distribution is Distribution.GAUSSIAN
    sizes = (*type_.spatial, type_.channels)
    data, visible = builder.has_data_channels(result.name), builder.visible(result.name)
    return Fact(labels, sizes, result.layout, gaussian, data, visible)
