"""What a program returns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import jax


@partial(jax.tree_util.register_dataclass, data_fields=("nngp", "ntk", "outputs"), meta_fields=())
@dataclass(frozen=True)
class Kernels:
    """Kernel matrices; None where a program was built without that kernel. `nngp, ntk = kernels` unpacks them.

    Attributes:
      nngp, ntk: of the result of the network.
      outputs: those of the values in between to which the network gives names.
    """

    nngp: jax.Array | None
    ntk: jax.Array | None
    outputs: dict[str, Kernels] = field(default_factory=dict)

    def __iter__(self) -> Iterator[jax.Array | None]:
        return iter((self.nngp, self.ntk))
