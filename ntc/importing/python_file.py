"""Networks from Python code, named as `model.py:build_model` or `package.module:build_model`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ntc.errors import InputError, UnsupportedError
from ntc.frontend.layers import Network
from ntc.importing.estimated import Estimated
from ntc.importing.functions import from_jax
from ntc.importing.named import named
from ntc.importing.result import Imported
from ntc.ir.graph import Graph

WANTED = (
    "it should return an ntc network, what ntc.from_jax or ntc.from_torch gives, (f, params, x) for from_jax, or "
    "(module, x) for from_torch"
)


def graph_of(text: str, parameters: Mapping[str, str] | None = None) -> Graph:
    """The network of `model.py:build_model`. The code is run.

    Args:
      text: a file of Python, or an importable module, then a colon and the name of a function or of a network.
      parameters: arguments of the function, each as text of Python: numbers, strings, tuples; else the text itself.

    Raises:
      InputError: there is no such file, module or name; the code fails; or it gives something else than a network.
      NoLimitError: what it gives has no infinite-width limit.
    """
    found = imported(text, parameters)
    return found.graph if isinstance(found, Imported) else found


def imported(text: str, parameters: Mapping[str, str] | None = None) -> Graph | Imported:
    """The network of `model.py:build_model`, with its table where it was imported. As `graph_of`."""
    match = named(text)
    if match is None:
        raise InputError(f"{text} is not of the form model.py:build_model")
    module = _module(match["place"])
    if not hasattr(module, match["name"]):
        known = [name for name, value in vars(module).items() if not name.startswith("_") and _own(value, module)]
        raise InputError(f"{match['place']} has no `{match['name']}`", hint=f"it has {', '.join(known) or 'nothing'}")
    return _network(text, match["name"], _called(text, getattr(module, match["name"]), parameters or {}))


def _own(value: Any, module: ModuleType) -> bool:
    return getattr(value, "__module__", None) == module.__name__


def _module(place: str) -> ModuleType:
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        path = Path(place)
        if not path.is_file():
            raise InputError(f"there is no file {place}")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        folder = str(path.resolve().parent)
        if folder not in sys.path:
            sys.path.insert(0, folder)  # for what the file imports from beside it
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error


def _called(text: str, value: Any, parameters: Mapping[str, str]) -> Any:
    """What a function returns; anything else as it is."""
    if isinstance(value, Network | Graph | Imported | Estimated | tuple) or not callable(value):
        if parameters:
            raise InputError(f"{text} takes no parameters: it is not a function")
        return value
    try:
        arguments = {name: _literal(given) for name, given in parameters.items()}
        inspect.signature(value).bind(**arguments)
    except TypeError as error:
        raise InputError(f"{text}: {error}", hint="give its parameters with -p name=value, or defaults") from None
    try:
        return value(**arguments)
    except (InputError, UnsupportedError):
        raise
    except Exception as error:
        raise InputError(f"{text} fails: {type(error).__name__}: {error}") from error


def _literal(text: str) -> Any:
    import ast

    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _network(text: str, name: str, value: Any) -> Graph | Imported:
    if isinstance(value, Network):
        return value.graph(name)
    if isinstance(value, Graph | Imported):
        return value
    if isinstance(value, Estimated):
        raise UnsupportedError(
            f"{text}: the network has no infinite-width limit, and no graph", hint="compute its kernels in Python"
        )
    if isinstance(value, tuple) and len(value) == 3 and callable(value[0]):
        return _checked(from_jax(*value, name=name))
    if isinstance(value, tuple) and len(value) == 2 and callable(value[0]):
        from ntc.importing.modules import from_torch

        return _checked(from_torch(*value, name=name))
    raise InputError(f"{text} gives {type(value).__name__}", hint=WANTED)


def _checked(found: Imported | Estimated) -> Imported:
    assert isinstance(found, Imported)
    return found
