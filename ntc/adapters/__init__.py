"""The kernels in other people's tools: each file is an adapter, and needs its tool.

    ntc.adapters.tinygp.NetworkKernel      ntc.adapters.gpytorch.NetworkKernel      ntc.adapters.torch.torch_fn
    ntc.adapters.gpjax.NetworkKernel       ntc.adapters.sklearn.NetworkKernel

They are imported when they are first used. Where the tool is not installed that is an InputError that names it.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

from ntc.errors import InputError

ADAPTERS = ("gpjax", "gpytorch", "sklearn", "tinygp", "torch")

__all__ = ["ADAPTERS", "gpjax", "gpytorch", "sklearn", "tinygp", "torch", "torch_fn"]


def __getattr__(name: str) -> Any:
    if name == "torch_fn":
        return import_module("ntc.adapters.torch").torch_fn
    if name in ADAPTERS:
        return import_module(f"ntc.adapters.{name}")
    raise AttributeError(f"module 'ntc.adapters' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def tool(module: str, package: str) -> ModuleType:
    """A module of a tool that an adapter needs. Raises InputError if it is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise InputError(
            f"this adapter needs {package}, which is not installed", hint=f"pip install {package}"
        ) from None
