"""Networks that somebody already has: Flax, Equinox, PyTorch, any JAX function, imported as networks of `ntc`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ntc.importing.estimated import Estimated
    from ntc.importing.functions import from_jax
    from ntc.importing.modules import from_torch
    from ntc.importing.result import Imported

_PLACES = {
    "Estimated": "ntc.importing.estimated",
    "Imported": "ntc.importing.result",
    "from_jax": "ntc.importing.functions",
    "from_torch": "ntc.importing.modules",
}

__all__ = ["Estimated", "Imported", "from_jax", "from_torch"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'ntc.importing' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
