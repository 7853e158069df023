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
    from ntc import adapters, errors, estimators, finite, jobs, nn, predict, stax
    from ntc.artifact import load, save
    from ntc.backends.jax.formulas.jaxpr_to_formula import formula_of
    from ntc.backends.jax.inputs import adjacency
    from ntc.backends.jax.program import Program
    from ntc.backends.jax.result import Kernels
    from ntc.compiler import build, lower
    from ntc.errors import NtcError
    from ntc.estimators import NNGPClassifier, NNGPRegressor, NTKClassifier, NTKRegressor
    from ntc.finite import (
        NtkImplementation,
        empirical_kernel_fn,
        empirical_nngp_fn,
        empirical_ntk_fn,
        empirical_ntk_vp_fn,
        linearize,
        monte_carlo_kernel_fn,
        taylor_expand,
    )
    from ntc.frontend.elaborate import load_graph, read_graph
    from ntc.importing import from_jax, from_torch
    from ntc.stax.batching import batch
    from ntc.stax.covariances import Kernel

__version__ = "0.1.0"

_MODULES = {
    "adapters": "ntc.adapters",
    "errors": "ntc.errors",
    "estimators": "ntc.estimators",
    "finite": "ntc.finite",
    "jobs": "ntc.jobs",
    "nn": "ntc.nn",
    "predict": "ntc.predict",
    "stax": "ntc.stax",
}
_PLACES = {
    "Kernel": "ntc.stax.covariances",
    "Kernels": "ntc.backends.jax.result",
    "NNGPClassifier": "ntc.estimators",
    "NNGPRegressor": "ntc.estimators",
    "NTKClassifier": "ntc.estimators",
    "NTKRegressor": "ntc.estimators",
    "NtcError": "ntc.errors",
    "NtkImplementation": "ntc.finite",
    "Program": "ntc.backends.jax.program",
    "adjacency": "ntc.backends.jax.inputs",
    "batch": "ntc.stax.batching",
    "build": "ntc.compiler",
    "empirical_kernel_fn": "ntc.finite",
    "empirical_nngp_fn": "ntc.finite",
    "empirical_ntk_fn": "ntc.finite",
    "empirical_ntk_vp_fn": "ntc.finite",
    "from_jax": "ntc.importing",
    "from_torch": "ntc.importing",
    "formula_of": "ntc.backends.jax.formulas.jaxpr_to_formula",
    "linearize": "ntc.finite",
    "load": "ntc.artifact",
    "load_graph": "ntc.frontend.elaborate",
    "lower": "ntc.compiler",
    "monte_carlo_kernel_fn": "ntc.finite",
    "read_graph": "ntc.frontend.elaborate",
    "save": "ntc.artifact",
    "taylor_expand": "ntc.finite",
}

__all__ = [
    "Kernel",
    "Kernels",
    "NNGPClassifier",
    "NNGPRegressor",
    "NTKClassifier",
    "NTKRegressor",
    "NtcError",
    "NtkImplementation",
    "Program",
    "adapters",
    "adjacency",
    "batch",
    "build",
    "empirical_kernel_fn",
    "empirical_nngp_fn",
    "empirical_ntk_fn",
    "empirical_ntk_vp_fn",
    "errors",
    "estimators",
    "finite",
    "formula_of",
    "from_jax",
    "from_torch",
    "jobs",
    "linearize",
    "load",
    "load_graph",
    "lower",
    "monte_carlo_kernel_fn",
    "nn",
    "predict",
    "read_graph",
    "save",
    "stax",
    "taylor_expand",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value: Any = import_module(_MODULES[name])
    elif name in _PLACES:
        value = getattr(import_module(_PLACES[name]), name)
    else:
        raise AttributeError(f"module 'ntc' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
