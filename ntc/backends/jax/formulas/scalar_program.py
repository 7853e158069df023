"""Traced programs of one number, read as expressions.

Every value is an array of NumPy: of numbers, which are computed, or of expressions (dtype object). Operations on
numbers alone are those of JAX; those that only move entries about are told by what they do to the numbers of the
entries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ntc.backends.jax.formulas.entries import FUNCTIONS, Values, entrywise, expression, reduced, simplified, total
from ntc.errors import LimitError, UnsupportedError
from ntc.ir.expression import Expression, apply, number

MAX_STEPS = 200
"""Of a loop."""

_NAMED: Mapping[str, str] = {
    "add": "+",
    "add_any": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "neg": "negative",
    "exp": "exp",
    "expm1": "expm1",
    "log": "log",
    "log1p": "log1p",
    "sqrt": "sqrt",
    "tanh": "tanh",
    "logistic": "sigmoid",
    "erf": "erf",
    "erfc": "erfc",
    "sin": "sin",
    "cos": "cos",
    "atan": "atan",
    "asinh": "asinh",
    "abs": "abs",
    "sign": "sign",
    "floor": "floor",
    "max": "max",
    "min": "min",
    "gt": ">",
    "ge": ">=",
    "lt": "<",
    "le": "<=",
    "eq": "==",
    "ne": "!=",
    "gt_to": ">",
    "lt_to": "<",
    "le_to": "<=",
    "and": "min",
    "or": "max",
}
"""Primitives of JAX that are operations or functions of formulas."""

_SAME = frozenset(
    {"convert_element_type", "copy", "copy_p", "stop_gradient", "optimization_barrier", "reduce_precision"}
)
"""Primitives that leave entries as they are."""

_MOVES = frozenset(
    {
        "broadcast_in_dim",
        "concatenate",
        "dynamic_slice",
        "expand_dims",
        "gather",
        "pad",
        "rev",
        "reshape",
        "slice",
        "squeeze",
        "stack",
        "transpose",
    }
)
"""Primitives that move entries about."""

_REDUCTIONS: Mapping[str, str] = {
    "reduce_sum": "+",
    "reduce_prod": "*",
    "reduce_max": "max",
    "reduce_min": "min",
    "reduce_and": "min",
    "reduce_or": "max",
}

_CALLS = frozenset(
    ["jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint", "remat2"]
)


def outputs(closed: Any, inputs: Sequence[Values]) -> list[Values]:
    """The values of a traced program. Raises UnsupportedError for what is no formula, LimitError."""
    program = getattr(closed, "jaxpr", closed)
    known = dict(zip(program.invars, map(_array, inputs), strict=True))
    constants = getattr(closed, "consts", ())
    known |= {v: np.asarray(c) for v, c in zip(program.constvars, constants, strict=True)}

    def value(atom: Any) -> Values:
        return np.asarray(atom.val) if hasattr(atom, "val") else known[atom]

    for equation in program.eqns:
        found = map(_array, _results(equation, [value(atom) for atom in equation.invars]))
        known |= dict(zip(equation.outvars, found, strict=True))
    return [value(atom) for atom in program.outvars]


def _array(x: Any) -> Values:
    return np.array(x, object) if isinstance(x, Expression) else np.asarray(x)


def _results(equation: Any, operands: list[Values]) -> list[Values]:
    name = equation.primitive.name
    if all(x.dtype != object for x in operands):
        return _computed(equation, operands)
    if name in _CALLS:
        return _called(equation, operands)
    if name in _SAME:
        return [_truncated(equation, operands[0])]
    if name in _MOVES:
        return [_moved(equation, operands)]
    if name in _REDUCTIONS:
        return [reduced(_REDUCTIONS[name], operands[0], equation.params["axes"])]
    if name in _SPECIAL:
        return _SPECIAL[name](equation, operands)
    if name in _NAMED:
        return [entrywise(lambda *x: simplified(_NAMED[name], *x), *operands)]
    raise UnsupportedError(
        f"activation: the JAX primitive `{name}` has no place in a formula",
        hint="write the function with + - * / **, jnp.where, and exp, tanh, jnp.maximum and such, or give the formula "
        "as text",
    )


def _computed(equation: Any, operands: list[Values]) -> list[Values]:
    """Of numbers alone."""
    if "jaxpr" in equation.params and equation.primitive.name in _CALLS:
        return outputs(equation.params["jaxpr"], operands)
    found = equation.primitive.bind(*map(jax.numpy.asarray, operands), **equation.params)
    return [np.asarray(x) for x in (found if equation.primitive.multiple_results else [found])]


def _truncated(equation: Any, x: Values) -> Values:
    """A conversion, which rounds towards zero if it is one of real numbers to whole ones."""
    aval = equation.invars[0].aval
    if np.issubdtype(equation.outvars[0].aval.dtype, np.integer) and np.issubdtype(aval.dtype, np.floating):
        return entrywise(_towards_zero, x)
    if equation.outvars[0].aval.dtype == bool and aval.dtype != bool:
        return entrywise(lambda y: apply("!=", y, number(0.0)), x)
    return x


def _towards_zero(x: Expression) -> Expression:
    return apply("*", apply("sign", x), apply("floor", apply("abs", x)))


def _called(equation: Any, operands: list[Values]) -> list[Values]:
    parameters = equation.params
    name = str(parameters.get("name", ""))
    if name in FUNCTIONS:
        found = FUNCTIONS[name](operands)
        if found is not None:
            return found
    return outputs(parameters.get("jaxpr") or parameters.get("call_jaxpr"), operands)


def _moved(equation: Any, operands: list[Values]) -> Values:
    """By moving the numbers of the entries; an index that depends on x chooses among entries."""
    if equation.primitive.name == "dynamic_slice" and any(x.dtype == object for x in operands[1:]):
        return _chosen(equation, operands)
    count = {"concatenate": len(operands), "stack": len(operands), "pad": 2}.get(equation.primitive.name, 1)
    if any(x.dtype == object for x in operands[count:]):
        raise UnsupportedError("activation: an index depends on the variable in a way that has no place in a formula")
    entries = np.concatenate([x.astype(object).ravel() for x in operands[:count]])
    starts = np.cumsum([0, *(x.size for x in operands[:count])])
    numbers = [jax.numpy.arange(x.size).reshape(x.shape) + s for x, s in zip(operands[:count], starts, strict=False)]
    places = map(jax.numpy.asarray, operands[count:])
    found = np.asarray(equation.primitive.bind(*numbers, *places, **equation.params))
    if np.any((found < 0) | (found >= len(entries))):
        raise UnsupportedError("activation: an index of an array is out of its bounds")
    chosen: Values = entries[found]
    return chosen


def _chosen(equation: Any, operands: list[Values]) -> Values:
    """One entry of a row of numbers, whose place is an expression: steps between neighbours."""
    row, *places = operands
    if row.ndim != 1 or row.dtype == object or equation.params["slice_sizes"] != (1,):
        raise UnsupportedError("activation: an index depends on the variable, and not of a row of numbers")
    place = expression(places[0].item())
    terms = [
        simplified("*", number(float(step)), apply(">=", place, number(float(i))))
        for i, step in enumerate(np.diff(row.astype(np.float64)), 1)
        if step
    ]
    return np.array([total([number(float(row[0])), *terms])], object)


def _selected(equation: Any, operands: list[Values]) -> list[Values]:
    which, *cases = operands
    if which.dtype != object:
        return [np.choose(which.astype(int), [x.astype(object) for x in cases])]
    if len(cases) != 2:
        raise UnsupportedError("activation: `select_n` of more than two cases has no place in a formula")
    return [entrywise(lambda c, no, yes: no if no == yes else simplified("where", c, yes, no), which, *cases)]


def _power(equation: Any, operands: list[Values]) -> list[Values]:
    exponent = np.asarray(equation.params["y"]) if "y" in equation.params else operands[1]
    return [entrywise(lambda a, b: simplified("**", a, b), operands[0], exponent)]


def _product(equation: Any, operands: list[Values]) -> list[Values]:
    (first, second), batch = equation.params["dimension_numbers"]
    if len(first) != 1 or any(batch):
        raise UnsupportedError("activation: `dot_general` over several axes has no place in a formula")
    a, b = np.moveaxis(operands[0], first[0], -1), np.moveaxis(operands[1], second[0], -1)
    found = np.empty((*a.shape[:-1], *b.shape[:-1]), object)
    for i in np.ndindex(a.shape[:-1]):
        for j in np.ndindex(b.shape[:-1]):
            found[(*i, *j)] = total(
                [simplified("*", expression(x), expression(y)) for x, y in zip(a[i], b[j], strict=True)]
            )
    return [found]


def _scanned(equation: Any, operands: list[Values]) -> list[Values]:
    """A loop of a known number of steps, one after the other."""
    p = equation.params
    length, first, carried = p["length"], p["num_consts"], p["num_consts"] + p["num_carry"]
    _check_steps(length)
    constants, state, rows = operands[:first], operands[first:carried], operands[carried:]
    stacked: list[list[Values]] = []
    for i in reversed(range(length)) if p["reverse"] else range(length):
        found = outputs(p["jaxpr"], [*constants, *state, *(x[i] for x in rows)])
        state = found[: p["num_carry"]]
        stacked.append([np.asarray(x, object) for x in found[p["num_carry"] :]])
    stacked = stacked[::-1] if p["reverse"] else stacked
    return [*state, *(np.stack(list(column)) for column in zip(*stacked, strict=True))]


def _check_steps(steps: int) -> None:
    if steps > MAX_STEPS:
        raise LimitError(f"activation: a loop of a function has at most {MAX_STEPS} steps, got {steps}")


def _repeated(equation: Any, operands: list[Values]) -> list[Values]:
    """A loop that ends by numbers that do not depend on the variable."""
    p = equation.params
    condition, body = p["cond_nconsts"], p["body_nconsts"]
    own, others, state = operands[:condition], operands[condition : condition + body], operands[condition + body :]
    for _ in range(MAX_STEPS + 1):
        (again,) = outputs(p["cond_jaxpr"], [*own, *state])
        if again.dtype == object:
            raise UnsupportedError(
                "activation: the end of a `while` loop depends on the variable", hint="loop for a fixed number of steps"
            )
        if not again:
            return state
        state = outputs(p["body_jaxpr"], [*others, *state])
    _check_steps(MAX_STEPS + 1)
    return state


def _branched(equation: Any, operands: list[Values]) -> list[Values]:
    """`lax.cond`: both branches, and a choice."""
    which, *inputs = operands
    branches = equation.params["branches"]
    if which.dtype != object:
        return outputs(branches[int(np.clip(which, 0, len(branches) - 1))], inputs)
    if len(branches) != 2:
        raise UnsupportedError("activation: `switch` on the variable has no place in a formula")
    cases = [outputs(branch, inputs) for branch in branches]
    chosen = apply("!=", expression(which.item()), number(0.0))
    return [
        entrywise(lambda no, yes: no if no == yes else simplified("where", chosen, yes, no), *pair)
        for pair in zip(*cases, strict=True)
    ]


def _each(function: Callable[..., Expression]) -> Callable[[Any, list[Values]], list[Values]]:
    return lambda equation, operands: [entrywise(function, *operands)]


def _cube_root(x: Expression) -> Expression:
    return apply("*", apply("sign", x), apply("**", apply("abs", x), number(1 / 3)))


_SPECIAL: Mapping[str, Callable[[Any, list[Values]], list[Values]]] = {
    "select_n": _selected,
    "integer_pow": _power,
    "pow": _power,
    "dot_general": _product,
    "scan": _scanned,
    "while": _repeated,
    "cond": _branched,
    "square": _each(lambda x: apply("**", x, number(2.0))),
    "rsqrt": _each(lambda x: apply("/", number(1.0), apply("sqrt", x))),
    "exp2": _each(lambda x: apply("exp", apply("*", number(float(np.log(2.0))), x))),
    "cbrt": _each(_cube_root),
    "cosh": _each(lambda x: apply("*", number(0.5), apply("+", apply("exp", x), apply("exp", apply("negative", x))))),
    "sinh": _each(lambda x: apply("*", number(0.5), apply("-", apply("exp", x), apply("exp", apply("negative", x))))),
    "not": _each(lambda x: simplified("-", number(1.0), x)),
    "is_finite": _each(lambda x: number(1.0)),
    "ceil": _each(lambda x: apply("negative", apply("floor", apply("negative", x)))),
    "round": _each(lambda x: apply("floor", apply("+", x, number(0.5)))),
    "clamp": _each(lambda low, x, high: apply("min", apply("max", x, low), high)),
}
"""Primitives that are written by others."""

ENTRYWISE = frozenset(
    {*_NAMED, *_SAME, *_SPECIAL, *FUNCTIONS} - {"stop_gradient", "dot_general", "scan", "while", "cond", "searchsorted"}
)
"""Primitives and functions that compute every entry of arrays of one shape alike."""


def entry(equation: Any, operands: Sequence[Expression | float]) -> Expression:
    """What an entrywise equation computes of one entry of each operand. Raises UnsupportedError, ParseError."""
    found = _results(equation, [_array(x) for x in operands])
    return expression(_array(found[0]).item())
