"""The part of an empirical NTK that belongs to some of the parameters: a sum over parameters is a sum over layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.tree_util import keystr

from ntc.errors import InputError, ParameterError
from ntc.finite.arguments import VmapAxes
from ntc.finite.axes import Axes
from ntc.finite.empirical import empirical_ntk_fn
from ntc.finite.implementation import NtkImplementation
from ntc.finite.ntk import Function, Ntk


def empirical_ntk_subset_fn(
    f: Function,
    selected: Callable[[str], bool],
    trace_axes: Axes = (-1,),
    diagonal_axes: Axes = (),
    vmap_axes: Any = None,
    implementation: NtkImplementation | int = NtkImplementation.JACOBIAN_CONTRACTION,
) -> Function:
    """The NTK of training some of the parameters, the others held fixed.

    Args:
      selected: whether a parameter is trained, by its path in the tree of parameters: "dense1/w", "0/1".
      f, trace_axes, diagonal_axes, vmap_axes, implementation: as for `empirical_ntk_fn`.

    Returns:
      ntk_fn(x1, x2, params, **keywords). It raises InputError if no parameter is selected.
    """

    def ntk_fn(x1: Any, x2: Any, params: Any, **keywords: Any) -> Any:
        named, structure = jax.tree.flatten_with_path(params)
        leaves = [leaf for _, leaf in named]
        chosen = {i: leaf for i, (path, leaf) in enumerate(named) if selected(_name(path))}
        if not chosen:
            names = ", ".join(_name(path) for path, _ in named)
            raise InputError("no parameter is selected", hint=f"the parameters are {names}")

        def of_chosen(chosen: Any, x: Any, **keywords: Any) -> Any:
            every = [chosen.get(i, leaf) for i, leaf in enumerate(leaves)]
            return f(jax.tree.unflatten(structure, every), x, **keywords)

        function = empirical_ntk_fn(of_chosen, trace_axes, diagonal_axes, vmap_axes, implementation)
        return function(x1, x2, chosen, **keywords)

    return ntk_fn


def empirical_ntk_by_layer_fn(
    f: Function,
    trace_axes: Axes = (-1,),
    diagonal_axes: Axes = (),
    vmap_axes: Any = None,
    implementation: NtkImplementation | int = NtkImplementation.STRUCTURED_DERIVATIVES,
) -> Function:
    """The NTK layer by layer, at the cost of the whole: ntk_fn(x1, x2, params, **keywords) gives a dict.

    Keys are the paths of subtrees of the parameters whose members are arrays ("dense1", "0"; an array at the root has
    its own). Values are trees as f returns them, which add up to `empirical_ntk_fn`. Arguments are those of
    `empirical_ntk_fn`; ParameterError for an implementation that does not keep parameters apart.
    """
    how = NtkImplementation(implementation)
    if how not in (NtkImplementation.JACOBIAN_CONTRACTION, NtkImplementation.STRUCTURED_DERIVATIVES):
        raise ParameterError(f"{how.name} does not keep parameters apart", hint="STRUCTURED_DERIVATIVES")
    ntk = Ntk(f, VmapAxes.of(vmap_axes), trace_axes, diagonal_axes, how)

    def ntk_fn(x1: Any, x2: Any, params: Any, **keywords: Any) -> dict[str, Any]:
        names = [_name(path[:-1] or path) for path, _ in jax.tree.leaves_with_path(params)]
        layers: list[dict[str, Any]] = []
        for parts in ntk.parts(x1, x2, params, keywords):
            layers.append({})
            for name, part in zip(names, parts, strict=True):
                layers[-1][name] = layers[-1][name] + part if name in layers[-1] else part
        structure = ntk.structure(x1, params, keywords)
        return {name: jax.tree.unflatten(structure, [of[name] for of in layers]) for name in dict.fromkeys(names)}

    return ntk_fn


def _name(path: Any) -> str:
    return str(keystr(path, simple=True, separator="/"))
