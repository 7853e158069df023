"""What belongs to x1 and what to x2: keyword arguments, and axes over which examples are independent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from ntc.errors import InputError


@dataclass(frozen=True)
class VmapAxes:
    """Axes of independent examples, as `jax.vmap` takes them: of x, of the outputs, and of keyword arguments."""

    x: Any
    out: Any
    keywords: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Any) -> VmapAxes | None:
        """From the argument `vmap_axes`: None, a triple, or one value for x and the outputs."""
        if given is None:
            return None
        if isinstance(given, tuple) and len(given) == 3 and isinstance(given[2], Mapping):
            return None if given[0] is None else cls(*given)
        return cls(given, given)


def second_of(x1: Any, x2: Any) -> Any:
    """x2 with those of x1 where it has no inputs; None if it has none."""
    if not jax.tree.leaves(x2):
        return None
    if not isinstance(x2, tuple | list) or not isinstance(x1, tuple | list) or len(x1) != len(x2):
        return x2
    return tuple(
        one if not jax.tree.leaves(other) else second_of(one, other) for one, other in zip(x1, x2, strict=True)
    )


def split_keywords(keywords: Mapping[str, Any], same: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keyword arguments for x1 and for x2.

    A tuple of two is one value for each; an argument `rng` that is one key is split in two, unless x2 is x1. All
    others are given to both.
    """
    first, second = dict(keywords), dict(keywords)
    for name, value in keywords.items():
        if isinstance(value, tuple) and len(value) == 2:
            first[name], second[name] = value
        elif name == "rng" and value is not None and not same:
            first[name], second[name] = jax.random.split(value)
    return first, first if same else second


def per_example(f: Callable[..., Any], axes: VmapAxes | None, keywords: Mapping[str, Any]) -> Callable[..., Any]:
    """f(params, x, mapped keywords) of one example, without its axis; of all of x without `axes`."""
    if axes is None:
        return lambda params, x, mapped: f(params, x, **keywords, **mapped)

    def single(params: Any, x: Any, mapped: Mapping[str, Any]) -> Any:
        x = _along(jnp.expand_dims, axes.x, x)
        batched = {name: _along(jnp.expand_dims, axes.keywords[name], value) for name, value in mapped.items()}
        return _along(jnp.squeeze, axes.out, f(params, x, **keywords, **batched))

    return single


def _along(function: Callable[..., Any], axes: Any, tree: Any) -> Any:
    """function(array, axis) of every array of a tree; axes is a prefix of it, None where nothing is done."""
    leaves, structure = jax.tree.flatten(tree)
    places = axes_of_leaves(axes, tree)
    found = [x if a is None else function(x, axis=a) for x, a in zip(leaves, places, strict=True)]
    return jax.tree.unflatten(structure, found)


def axes_of_leaves(axes: Any, tree: Any) -> list[Any]:
    """The axis of every leaf of a tree, of which `axes` is a prefix; lists and tuples are the same."""
    places: list[Any] = []

    def extend(axis: Any, part: Any) -> None:
        places.extend([axis] * len(jax.tree.leaves(part)))

    jax.tree.map(extend, _tuples(axes), _tuples(tree), is_leaf=_is_none)
    return places


def _tuples(tree: Any) -> Any:
    """With tuples in place of lists."""
    if isinstance(tree, list):
        return tuple(map(_tuples, tree))
    if type(tree) in (tuple, dict):
        return tuple(map(_tuples, tree)) if isinstance(tree, tuple) else {k: _tuples(x) for k, x in tree.items()}
    return tree


def _is_none(axis: Any) -> bool:
    return axis is None


def mapped_keywords(axes: VmapAxes | None, keywords: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keyword arguments with an axis of examples, and the others. Raises InputError for an axis of none."""
    names = {} if axes is None else axes.keywords
    missing = set(names) - set(keywords)
    if missing:
        raise InputError(f"vmap_axes names the keyword argument {min(missing)}, which is not given")
    return {k: v for k, v in keywords.items() if k in names}, {k: v for k, v in keywords.items() if k not in names}
