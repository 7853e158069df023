"""What is known of the results of a part before its kernels are computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ntc.ir.build import TensorGraphBuilder
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
    """

    label: str
    sizes: tuple[int, ...]
    layout: Layout
    gaussian: bool
    data: bool

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
    return Fact(labels, sizes, result.layout, gaussian, builder.has_data_channels(result.name))
