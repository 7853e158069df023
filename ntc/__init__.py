"""ntc, the Neural Tangent Compiler: from an architecture to a program for its NNGP and NTK kernels.

    import ntc
    from ntc import nn

    network = nn.input(32, 32, 3) >> nn.conv(64, (3, 3)) >> nn.relu() >> nn.global_avg_pool() >> nn.dense(10)
    kernels = ntc.build(network)(x1, x2)          # kernels.nngp, kernels.ntk

Everything here is imported when it is first used, so that `import ntc` is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ntc.backends.jax.program import Kernels, Program
    from ntc.build import build, lower
    from ntc.errors import NtcError
    from ntc.frontend import nn
    from ntc.frontend.elaborate import load_graph, read_graph

__version__ = "0.1.0"

_PLACES = {
    "Kernels": "ntc.backends.jax.program",
    "NtcError": "ntc.errors",
    "Program": "ntc.backends.jax.program",
    "build": "ntc.build",
    "load_graph": "ntc.frontend.elaborate",
    "lower": "ntc.build",
    "nn": "ntc.frontend.nn",
    "read_graph": "ntc.frontend.elaborate",
}

__all__ = ["Kernels", "NtcError", "Program", "build", "load_graph", "lower", "nn", "read_graph"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'ntc' has no attribute {name!r}")
    module = import_module(_PLACES[name])
    value = module if module.__name__.rsplit(".", 1)[-1] == name and name == "nn" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
