"""Graphs of ATen operators, as `torch.export` makes them, run by JAX, and so traced like any function."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntc.errors import InputError
from ntc.importing.aten import ATEN
from ntc.importing.graph import Place
from ntc.importing.places import LIBRARIES

_SCOPE = "torch_node_"
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


class TorchFunction:
    """f(params, x) of an exported module; `params` are arrays by the names of parameters, buffers are constants."""

    def __init__(self, exported: Any) -> None:
        self._nodes = list(exported.graph.nodes)
        signature = exported.graph_signature
        self._parameters: Mapping[str, str] = dict(signature.inputs_to_parameters)
        buffers = {**dict(exported.named_buffers()), **exported.constants}
        named = {**signature.inputs_to_buffers, **signature.inputs_to_lifted_tensor_constants}
        self._outputs = set(signature.user_outputs)  # others are statistics that a module in training mode keeps
        self._constants = {name: array_of(buffers[target]) for name, target in named.items()}
        self.places = [_place(node) for node in self._nodes]

    def __call__(self, params: Mapping[str, Any], x: Any) -> Any:
        known: dict[Any, Any] = {}

        def value(argument: Any) -> Any:
            if isinstance(argument, list | tuple):
                return [value(item) for item in argument]
            return known.get(argument, argument)

        for index, node in enumerate(self._nodes):
            if node.op == "placeholder":
                known[node] = self._placeholder(node.name, params, x)
            elif node.op == "output":
                results = [value(y) for y in node.args[0] if getattr(y, "name", None) in self._outputs]
                return results[0] if len(results) == 1 else results
            else:
                with jax.named_scope(f"{_SCOPE}{index}"):
                    arguments = [value(y) if _hashable(y) else y for y in node.args]
                    keywords = {k: value(y) if _hashable(y) else y for k, y in node.kwargs.items()}
                    known[node] = _computed(node, arguments, keywords)
        raise InputError("the exported graph returns nothing")

    def _placeholder(self, name: str, params: Mapping[str, Any], x: Any) -> Any:
        if name in self._parameters:
            return params[self._parameters[name]]
        return self._constants.get(name, x)

    def place_of(self, equation: Any, scope: str, around: Place) -> Place:
        """The module of torch, and the line, of what an operator was translated to."""
        found = re.findall(rf"{_SCOPE}(\d+)", scope)
        return self.places[int(found[-1])] if found else around


def array_of(tensor: Any) -> Any:
    """A tensor of torch as an array, in float64 if it is of real numbers."""
    array = np.asarray(tensor.detach().cpu().numpy())
    return array.astype(np.float64) if np.issubdtype(array.dtype, np.floating) else array


def _hashable(argument: Any) -> bool:
    return not isinstance(argument, dict)


def _computed(node: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    name = operator_name(node.target)
    function: Callable[..., Any] | None = ATEN.get(name)
    if function is not None:
        return function(*arguments, **keywords)
    arrays = [x for x in arguments if isinstance(x, jax.Array)]
    dtype = arrays[0].dtype if arrays else jnp.float64
    shape = jax.ShapeDtypeStruct(tuple(node.meta["val"].shape), dtype)  # type: ignore[no-untyped-call]
    return jax.pure_callback(_never, shape, *arrays)


def _never(*arrays: Any) -> Any:
    raise NotImplementedError("an operator that is not translated is not run")


def operator_name(target: Any) -> str:
    """`convolution` of torch.ops.aten.convolution.default, `getitem` of the one of Python."""
    return str(getattr(target, "__name__", target)).split(".")[0]


def _place(node: Any) -> Place:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path, kind = stack[-1] if stack else ("", "")
    kind = kind if isinstance(kind, str) else kind.__name__
    module = f"{path} ({kind.split('.')[-1]})" if path else kind.split(".")[-1]
    if node.op == "call_function" and operator_name(node.target) not in ATEN:
        module = f"{module}: aten.{operator_name(node.target)}"
    frames = [x for x in _FRAME.findall(node.meta.get("stack_trace") or "") if not x[0].startswith(LIBRARIES)]
    file, line = (Path(frames[-1][0]).name, int(frames[-1][1])) if frames else ("", 0)
    return Place(module, file, line)
