"""Structured derivatives: where a parameter enters by a product or a convolution, and what its NTK is made of.

For y = h W the Jacobian with respect to W is h times the cotangent C = df/dy, so that the part of the NTK that belongs
to W is a sum over products of four arrays, h1 C1 h2 C2 (Novak et al. 2022, section 3.3). The order in which they are
multiplied is chosen by the number of operations; a Jacobian of the size of W is formed only where that is least.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.extend.core import primitives

from ntc.finite.axes import Labels
from ntc.finite.inline import Atom, Constant, Flat, Step, Value, evaluate, type_of


@dataclass(frozen=True)
class Site:
    """The one step in which a parameter, times a constant, is used.

    Attributes:
      step: its number in the flat list.
      operand: which of the two operands it is.
      scale: the constant.
    """

    step: int
    operand: int
    scale: float


@dataclass(frozen=True)
class Factor:
    """How an input h and a cotangent C multiply: labels of their axes, >= 0 for axes that belong to both x1 and x2
    (those of the weights), < 0 for axes summed on each side (positions)."""

    h: Labels
    cotangent: Labels


def sites(flat: Flat, parameters: int) -> dict[int, Site]:
    """Sites of those of the first `parameters` inputs that have one, by number."""
    uses: dict[Atom, list[tuple[int, int]]] = {}
    for number, step in enumerate(flat.steps):
        for operand, atom in enumerate(step.inputs):
            uses.setdefault(atom, []).append((number, operand))
    found = {i: _site(flat, uses, flat.inputs[i]) for i in range(parameters)}
    return {i: site for i, site in found.items() if site is not None}


def _site(flat: Flat, uses: Mapping[Atom, list[tuple[int, int]]], value: Value) -> Site | None:
    scale = 1.0
    while len(uses.get(value, ())) == 1 and value not in flat.outputs:
        ((number, operand),) = uses[value]
        step = flat.steps[number]
        if _has_rule(step, operand):
            return Site(number, operand, scale)
        factor = _factor(step, operand)
        if factor is None:
            return None
        scale, value = scale * factor, step.outputs[0]
    return None


def _factor(step: Step, operand: int) -> float | None:
    """The constant by which a step multiplies its operand; 1 where it moves entries, as sums over all do not see it."""
    primitive = step.equation.primitive
    if primitive in (primitives.reshape_p, primitives.transpose_p, primitives.squeeze_p):
        return 1.0
    if primitive is primitives.neg_p:
        return -1.0
    if primitive in (primitives.mul_p, primitives.div_p) and len(step.inputs) == 2:
        other = step.inputs[1 - operand]
        number = _number(other)
        if number is not None:
            return number if primitive is primitives.mul_p else 1 / number if operand == 0 else None
    return None


def _number(atom: Atom) -> float | None:
    """The value of a scalar constant, None of anything else."""
    if not isinstance(atom, Constant) or np.ndim(atom.array):
        return None
    try:
        return float(atom.array)
    except jax.errors.ConcretizationTypeError:
        return None


def _has_rule(step: Step, operand: int) -> bool:
    params = step.equation.params
    if step.inputs[0] == step.inputs[-1]:
        return False
    if step.equation.primitive is primitives.conv_general_dilated_p:
        return operand == 1 and params["feature_group_count"] == params["batch_group_count"] == 1
    return step.equation.primitive is primitives.dot_general_p


def tapped(
    flat: Flat, found: Mapping[int, Site], arguments: Sequence[Any], taps: Mapping[int, Any]
) -> tuple[list[Any], dict[int, Any]]:
    """Outputs of the function with `taps` added to the outputs of sites, and the input h of every site."""
    known: dict[Atom, Any] = dict(zip(flat.inputs, arguments, strict=True))

    def read(atom: Atom) -> Any:
        return atom.array if isinstance(atom, Constant) else known[atom]

    inputs: dict[int, Any] = {}
    by_step = {site.step: (parameter, site) for parameter, site in found.items()}
    for number, step in enumerate(flat.steps):
        operands = [read(atom) for atom in step.inputs]
        results = list(evaluate(step, operands))
        if number in by_step:
            parameter, site = by_step[number]
            results[0] = results[0] + taps[parameter]
            inputs[parameter] = site.scale * _input(step, operands, site.operand)
        known.update(zip(step.outputs, results, strict=True))
    return [read(atom) for atom in flat.outputs], inputs


def _input(step: Step, operands: Sequence[Any], operand: int) -> Any:
    """h: the other operand of a product, the patches that a filter sees."""
    if step.equation.primitive is primitives.dot_general_p:
        return operands[1 - operand]
    params, (image, filters) = step.equation.params, operands
    numbers = params["dimension_numbers"]
    return lax.conv_general_dilated_patches(
        image,
        [filters.shape[axis] for axis in numbers.rhs_spec[2:]],
        params["window_strides"],
        params["padding"],
        params["lhs_dilation"],
        params["rhs_dilation"],
        numbers,
        precision=lax.Precision.HIGHEST,
    )


def factor(step: Step, operand: int) -> Factor:
    """The labels of one site."""
    rule: Callable[[Step, int], Factor] = _RULES[step.equation.primitive]
    return rule(step, operand)


def _convolution(step: Step, _: int) -> Factor:
    """Patches have the axes of the output; their channel axis is channels times taps."""
    spec = step.equation.params["dimension_numbers"].out_spec
    labels = [-1 - axis for axis in range(len(spec))]
    patches, cotangent = list(labels), list(labels)
    patches[spec[1]], cotangent[spec[1]] = 0, 1
    return Factor(tuple(patches), tuple(cotangent))


def _product(step: Step, operand: int) -> Factor:
    contracting, batch = step.equation.params["dimension_numbers"]
    ranks = [type_of(var).ndim for var in step.equation.invars]
    weight = list(range(ranks[operand]))
    positions = count(1)
    other = [-next(positions) for _ in range(ranks[1 - operand])]
    for pairs in (contracting, batch):
        for axis, partner in zip(pairs[operand], pairs[1 - operand], strict=True):
            other[partner] = weight[axis]
    labels = [weight, other] if operand == 0 else [other, weight]
    free = [
        label
        for side in (0, 1)
        for axis, label in enumerate(labels[side])
        if axis not in (*contracting[side], *batch[side])
    ]
    return Factor(tuple(other), (*(labels[0][axis] for axis in batch[0]), *free))


_RULES: Mapping[Any, Callable[[Step, int], Factor]] = {
    primitives.conv_general_dilated_p: _convolution,
    primitives.dot_general_p: _product,
}
