"""Networks that somebody already has: Flax, Equinox, PyTorch, any JAX function, imported as networks of `ntc`."""

from ntc.importing.estimated import Estimated
from ntc.importing.functions import from_jax
from ntc.importing.modules import from_torch
from ntc.importing.result import Imported

__all__ = ["Estimated", "Imported", "from_jax", "from_torch"]
