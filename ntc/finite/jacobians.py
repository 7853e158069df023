"""J(x1) J(x2)^T as a sum over parameters, of contracted Jacobians or of structured derivatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import opt_einsum
from jax import lax

from ntc.finite.arguments import VmapAxes
from ntc.finite.axes import Labels, OutputAxes
from ntc.finite.inline import flatten, type_of
from ntc.finite.structured import Factor, factor, sites, tapped

Single = Callable[..., jax.Array]
"""f(params, x, mapped keywords) of one example, or of all of them, with one array as output."""

Side = tuple[Single, Any, Any]
"""A function, its x and its mapped keyword arguments."""


@dataclass(frozen=True, eq=False)
class Derivatives:
    """Derivatives of the outputs at one batch.

    Attributes:
      jacobians: by number of the parameter, (*output axes, *axes of the parameter).
      cotangents: by number of a parameter with a site, (*output axes, *axes of the site's output).
      inputs: by the same, the input of the site, with the batch axis first if there is one.
      factors: how inputs and cotangents multiply.
    """

    jacobians: Mapping[int, jax.Array]
    cotangents: Mapping[int, jax.Array]
    inputs: Mapping[int, jax.Array]
    factors: Mapping[int, Factor]


def derivatives(side: Side, params: Any, axes: VmapAxes | None, batch: int | None, structured: bool) -> Derivatives:
    """The derivatives at one side; of independent examples where `batch` is the axis of the output that counts them."""
    single, x, mapped = side
    leaves, structure = jax.tree.flatten(params)

    def function(leaves: Any, x: Any, mapped: Any) -> Any:
        return single(jax.tree.unflatten(structure, leaves), x, mapped)

    factors: dict[int, Factor] = {}

    def plain(x: Any, mapped: Any) -> Any:
        return {}, dict(enumerate(jax.jacrev(function)(leaves, x, mapped))), {}

    def by_sites(x: Any, mapped: Any) -> Any:
        flat = flatten(jax.make_jaxpr(function)(leaves, x, mapped))
        found = sites(flat, len(leaves))
        factors.update({i: factor(flat.steps[s.step], s.operand) for i, s in found.items()})
        outputs = {i: type_of(flat.steps[s.step].equation.outvars[0]) for i, s in found.items()}
        taps = {i: jnp.zeros(y.shape, y.dtype) for i, y in outputs.items()}
        others = {i: leaf for i, leaf in enumerate(leaves) if i not in found}

        def of(taps: Any, others: Any) -> Any:
            every = [others.get(i, leaf) for i, leaf in enumerate(leaves)]
            (y,), inputs = tapped(flat, found, [*every, *jax.tree.leaves((x, mapped))], taps)
            return y, inputs

        (cotangents, jacobians), inputs = jax.jacrev(of, argnums=(0, 1), has_aux=True)(taps, others)
        return cotangents, jacobians, inputs

    one = by_sites if structured else plain
    if axes is None or batch is None:
        cotangents, jacobians, inputs = one(x, mapped)
    else:
        keywords = {name: axes.keywords[name] for name in mapped}
        cotangents, jacobians, inputs = jax.vmap(one, (axes.x, keywords), (batch, batch, 0))(x, mapped)
    return Derivatives(jacobians, cotangents, inputs, factors)


def shapes(side: Side, params: Any, axes: VmapAxes | None, batch: int | None, structured: bool) -> Derivatives:
    """`derivatives` as shapes, without computing them."""
    single, x, mapped = side
    factors: dict[int, Factor] = {}

    def arrays(params: Any, x: Any, mapped: Any) -> Any:
        found = derivatives((single, x, mapped), params, axes, batch, structured)
        factors.update(found.factors)
        return found.jacobians, found.cotangents, found.inputs

    jacobians, cotangents, inputs = jax.eval_shape(arrays, params, x, mapped)
    return Derivatives(jacobians, cotangents, inputs, factors)


def contracted(first: Derivatives, second: Derivatives, axes: OutputAxes, batch: int | None) -> dict[int, jax.Array]:
    """The part of the kernel that belongs to every parameter, before division by the size of traced axes."""
    return {i: _sum(axes.kernel, *operands) for i, operands in _terms(first, second, axes, batch)}


def size_of_products(first: Derivatives, second: Derivatives, axes: OutputAxes, batch: int | None) -> int:
    """Bytes of the derivatives of both sides, and of the largest array in their contraction."""
    arrays = [
        int(x.size) * int(x.dtype.itemsize)
        for side in (first, second)
        for x in jax.tree.leaves((dict(side.jacobians), dict(side.cotangents), dict(side.inputs)))
    ]
    products = [_largest(axes.kernel, *operands) for _, operands in _terms(first, second, axes, batch)]
    return sum(arrays, max(products, default=0))


Operand = tuple[Any, Labels]
"""An array, or its shape, and the labels of its axes."""


def _terms(
    first: Derivatives, second: Derivatives, axes: OutputAxes, batch: int | None
) -> Iterator[tuple[int, list[Operand]]]:
    """What is multiplied for every parameter."""
    for i, j1 in first.jacobians.items():
        weight = tuple(axes.free + axis for axis in range(j1.ndim - len(axes.first)))
        yield i, [(j1, (*axes.first, *weight)), (second.jacobians[i], (*axes.second, *weight))]
    for i, rule in first.factors.items():
        operands: list[Operand] = []
        for side, labels, start in ((first, axes.first, 0), (second, axes.second, 1)):
            h, cotangent = (_placed(part, axes.free, start) for part in (rule.h, rule.cotangent))
            counted = () if batch is None else (labels[batch],)
            operands += [(side.inputs[i], (*counted, *h)), (side.cotangents[i], (*labels, *cotangent))]
        yield i, operands


def _placed(labels: Labels, free: int, side: int) -> Labels:
    """Labels of a rule after those of outputs: even numbers for weights, odd ones for positions of either side."""
    return tuple(free + 4 * label if label >= 0 else free - 4 * label - 3 + side for label in labels)


def _sum(result: Labels, *operands: Operand) -> jax.Array:
    *arguments, wanted = _numbered(result, operands)
    return jnp.einsum(*arguments, wanted, optimize="optimal", precision=lax.Precision.HIGHEST)


def _largest(result: Labels, *operands: Operand) -> int:
    """Bytes of the largest array that `_sum` makes."""
    *arguments, wanted = _numbered(result, operands)
    given = ["".join(map(opt_einsum.get_symbol, labels)) for labels in (*arguments[1::2], wanted)]
    equation = f"{','.join(given[:-1])}->{given[-1]}"
    _, found = opt_einsum.contract_path(equation, *(x.shape for x, _ in operands), optimize="optimal", shapes=True)
    return int(found.largest_intermediate) * int(operands[0][0].dtype.itemsize)


def _numbered(result: Labels, operands: Sequence[Operand]) -> list[Any]:
    """Arguments of an Einstein sum with labels from zero on."""
    numbered = {label: i for i, label in enumerate(dict.fromkeys(x for _, labels in operands for x in labels))}
    arguments = [part for x, labels in operands for part in (x, [numbered[label] for label in labels])]
    return [*arguments, [numbered[label] for label in result]]
