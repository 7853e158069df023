"""Pages of the Python interface, which mkdocstrings fills: one for each public module, by what it exports."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from ntc.ir.ops import TENSOR_OPS

MODULES = {
    "ntc": "Programs: building, loading, saving; finite networks of any function.",
    "ntc.nn": "The builder of networks. Layers that have a page of their own are named only.",
    "ntc.predict": "Inference, training dynamics, evidence, scores.",
    "ntc.estimators": "Estimators for scikit-learn.",
    "ntc.plot": "Pictures.",
    "ntc.jobs": "Kernels block by block.",
    "ntc.finite": "Kernels of finite networks.",
    "ntc.stax": "The layers of Neural Tangents.",
}


def pages() -> Iterator[tuple[str, str]]:
    """Places in the site and what is there."""
    described: set[str] = set()
    for name, about in MODULES.items():
        yield f"api/{name}.md", page(name, about, described)


def page(name: str, about: str, described: set[str]) -> str:
    """The page of a module: every name that it exports and that no page before has described."""
    module = import_module(name)
    parts, layers = [f"# {name}", about], []
    for exported in sorted(getattr(module, "__all__", None) or _defined(module)):
        if name == "ntc.nn" and exported in TENSOR_OPS:
            layers.append(f"[`{exported}`](../layers/{exported}.md)")
            continue
        thing = getattr(module, exported)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)) or not thing.__module__.startswith("ntc"):
            continue
        place = f"{thing.__module__}.{thing.__qualname__}"
        parts.append(f"[`{exported}`][{place}]" if place in described else f"::: {place}")
        described.add(place)
    if layers:
        parts.insert(2, "Layers: " + ", ".join(layers))
    return "\n\n".join(parts)


def _defined(module: Any) -> list[str]:
    """Public names of what a module defines itself."""
    things = {name: thing for name, thing in vars(module).items() if not name.startswith("_")}
    return [name for name, thing in things.items() if getattr(thing, "__module__", None) == module.__name__]
