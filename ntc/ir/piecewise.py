"""The normal form of functions with kinks and jumps: sorted places, and a formula on each piece between them.

Built from the leaves of an expression upwards. An operation that has a kink of its own (`abs`, `max`, a comparison)
adds the places where its operands are equal, so it does not matter how a function is written. What is left are formulas
of operations without kinks; places that nothing happens at are dropped. The result has the values of the expression but
at the places themselves.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from math import ceil, floor, inf, isfinite
from typing import NamedTuple

import numpy as np

from ntc.errors import LimitError, NtcError, UnsupportedError
from ntc.ir.calculus import MOST_PIECES, check_analytic, polynomial, real_roots
from ntc.ir.expression import COMPARISONS, Expression, apply, number, show
from ntc.ir.numpy_functions import on_arrays
from ntc.ir.op import Array

REACH = 64.0
"""How far from zero places are looked for that are no roots of polynomials."""

_SAMPLES = np.unique(np.concatenate([np.linspace(-REACH, REACH, 8193), np.sinh(np.linspace(-4.8, 4.8, 2049))]))

MOST_PLACES = 400
"""While the form is made; in the end there are at most MOST_PIECES."""

SAME = 1e-12
"""Relative: formulas of two pieces whose values differ by less are one function."""


class Piecewise(NamedTuple):
    """Places in order, and a formula for each piece between them: one more."""

    places: tuple[float, ...]
    branches: tuple[Expression, ...]

    @property
    def ends(self) -> tuple[float, ...]:
        """The places, between infinities."""
        return (-inf, *self.places, inf)

    def at(self, low: float, high: float) -> Expression:
        """The formula of the piece that has the interval in it."""
        return self.branches[int(np.searchsorted(self.places, _probes(low, high)[0]))]

    def __call__(self, x: Array) -> Array:
        """Values; at a place, those of the piece to its right."""
        which = np.searchsorted(np.array(self.places), x, side="right")
        found = np.zeros(x.shape)
        for number_, branch in enumerate(self.branches):
            found[which == number_] = on_arrays(branch, x[which == number_])
        return found


@lru_cache(maxsize=256)
def piecewise(e: Expression) -> Piecewise:
    """The normal form. Raises UnsupportedError or LimitError where there is none, or too many places."""
    found = _merged(_form(e))
    if len(found.places) > MOST_PIECES:
        raise _refused(e, f"it has more than {MOST_PIECES} kinks and jumps")
    _check(e, found)
    return found


def _refused(e: Expression, reason: str) -> UnsupportedError:
    return UnsupportedError(
        f"activation: `{_short(show(e))}` has no kernel: {reason}",
        hint="bound it with clip(y, low, high), or give its kernels: Elementwise(fn, nngp_fn) of ntc.stax",
    )


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check(e: Expression, found: Piecewise) -> None:
    """Raises UnsupportedError unless the form has the values of the expression, within the reach and beyond."""
    x = np.concatenate([_SAMPLES[:-1] + 0.37 * np.diff(_SAMPLES), *(s * np.geomspace(70, 1e4, 60) for s in (-1, 1))])
    for place in found.places:  # beside a place, rounding decides
        x = x[np.abs(x - place) > 1e-6 * max(1.0, abs(place))]
    wanted, own = on_arrays(e, x), found(x)
    close = np.isclose(own, wanted, rtol=1e-7, atol=1e-9) | ~np.isfinite(wanted)
    if not close.all():
        at = float(x[~close][0])
        raise _refused(e, f"its kinks and jumps are too many or too close to be found, near x = {at:.4g}")


def _form(e: Expression) -> Piecewise:
    if not e.operands:
        return Piecewise((), (e,))
    inside = [_form(x) for x in e.operands]
    places = sorted({place for x in inside for place in x.places})
    made: list[tuple[float, Expression]] = []
    for low, high in pairwise((-inf, *places, inf)):
        made += _pieces_of(e.name, [x.at(low, high) for x in inside], low, high)
    return _joined(made)


def _joined(made: list[tuple[float, Expression]]) -> Piecewise:
    """Of (left end, formula) in order, with equal neighbours as one."""
    kept = [made[0]]
    for place, branch in made[1:]:
        if branch != kept[-1][1]:
            kept.append((place, branch))
    if len(kept) > MOST_PLACES:
        raise LimitError(f"activation: a formula has more than {MOST_PLACES} kinks and jumps")
    return Piecewise(tuple(place for place, _ in kept[1:]), tuple(branch for _, branch in kept))


Parts = list[tuple[float, Expression]]
"""(left end, formula) of the parts of an interval."""


def _pieces_of(name: str, operands: list[Expression], low: float, high: float) -> Parts:
    """An operation on an interval in which its operands have no kinks."""
    zero = number(0.0)
    match name:
        case "relu":
            return _by_sign(operands[0], low, high, operands[0], zero)
        case "abs":
            return _by_sign(operands[0], low, high, operands[0], _made("negative", operands[0]))
        case "sign":
            return _by_sign(operands[0], low, high, number(1.0), number(-1.0))
        case "max":
            return _by_sign(_made("-", *operands), low, high, *operands)
        case "min":
            return _by_sign(_made("-", *operands), low, high, *reversed(operands))
        case "floor":
            return _floors(operands[0], low, high)
        case "where":
            chosen = operands[2] if operands[0] == zero else operands[1]
            return [(low, chosen)]
        case "==" | "!=":
            equal = float(_is_zero(_made("-", *operands), low, high))
            return [(low, number(equal if name == "==" else 1 - equal))]
    if name in COMPARISONS:
        one, other = (operands[0], operands[1]) if name[0] == ">" else (operands[1], operands[0])
        return _by_sign(_made("-", one, other), low, high, number(1.0), zero, number(float("=" in name)))
    return [(low, _made(name, *operands))]


def _made(name: str, *operands: Expression) -> Expression:
    """An operation with what is plain simplified; of what is not a real number, as it is written."""
    first, last = operands[0], operands[-1]
    match name:
        case "-" if first == last:
            return number(0.0)
        case "*" if any(x.constant and x.value == 0 for x in operands):
            return number(0.0)
        case "*" | "**" if last.constant and last.value == 1:
            return first
        case "*" if first.constant and first.value == 1:
            return last
        case "+" | "-" if last.constant and last.value == 0:
            return first
        case "+" if first.constant and first.value == 0:
            return last
        case "/" if first.name == "sin" and first.operands[0] == last:
            return _made("sinc", last)
        case "log1p" if first.name == "exp":
            return _made("softplus", first.operands[0])
        case "log" if first.name == "+" and first.operands[0] == number(1.0) and first.operands[1].name == "exp":
            return _made("softplus", first.operands[1].operands[0])
        case "negative" if first.name == "negative":
            return first.operands[0]
        case "sqrt" if first.name == "**" and first.operands[1].value == 2:
            return _made("abs", first.operands[0])
    if all(x.constant for x in operands):
        try:
            return apply(name, *operands)
        except NtcError:
            pass
    return Expression(name, operands)


def _probes(low: float, high: float) -> Array:
    """Points of an interval, of which the first is in its middle."""
    if low == -inf and high == inf:
        return np.array([0.0, 0.7, -1.3, 3.1, -5.9])
    if low == -inf:
        return high - np.array([1.0, 0.3, 2.7, 7.1])
    if high == inf:
        return low + np.array([1.0, 0.3, 2.7, 7.1])
    return low + (high - low) * np.array([0.5, 0.23, 0.71, 0.91])


def _is_zero(f: Expression, low: float, high: float) -> bool:
    return bool((on_arrays(f, _probes(low, high)) == 0).all())


def _by_sign(
    f: Expression, low: float, high: float, above: Expression, below: Expression, zero: Expression | None = None
) -> Parts:
    """`above` where f is above zero, `below` where it is below, `zero` where it is zero everywhere."""
    parts: Parts = []
    cuts = [low, *roots(f, low, high), high]
    for start, end in pairwise(cuts):
        values = on_arrays(f, _probes(start, end))
        if (values == 0).all():
            parts.append((start, zero if zero is not None else _made("*", number(0.5), _made("+", above, below))))
        else:
            parts.append((start, above if float(values[np.argmax(np.abs(np.nan_to_num(values)))]) > 0 else below))
    return parts


def _within(low: float, high: float) -> Array:
    """Samples in an interval."""
    return _SAMPLES[np.searchsorted(_SAMPLES, low, "right") : np.searchsorted(_SAMPLES, high)]


def _floors(f: Expression, low: float, high: float) -> Parts:
    """The parts between whole numbers that f passes within reach."""
    inside = _within(low, high)
    x = np.concatenate([_probes(low, high), inside])
    values = on_arrays(f, x)
    least, most = floor(np.nanmin(values)), ceil(np.nanmax(values))
    if most - least > MOST_PLACES:
        raise LimitError(f"activation: floor({_short(show(f))}) has too many jumps")
    levels = [_made("-", f, number(float(n))) for n in range(least, most + 1)]
    cuts = sorted({root for level in levels for root in roots(level, low, high)})
    ends = [low, *cuts, high]
    middles = [_probes(start, end)[0] for start, end in pairwise(ends)]
    found = [float(np.floor(on_arrays(f, np.array([x]))[0])) for x in middles]
    return [(start, number(value)) for start, value in zip(ends[:-1], found, strict=True)]


@lru_cache(maxsize=4096)
def roots(f: Expression, low: float, high: float) -> tuple[float, ...]:
    """Where f, which has no kinks, changes its sign within an interval, in order."""
    coefficients = polynomial(f)
    if coefficients is not None:
        found = [x for x in real_roots(coefficients) if low < x < high]
    else:
        x = _within(low, high)
        ends = [end for end in (low, high) if isfinite(end)]
        x = np.unique(np.concatenate([x, ends, *(_near(low, high))]))
        x = x[(x > low) & (x < high)]
        signs = np.sign(on_arrays(f, x))
        kept = np.isfinite(signs) & (signs != 0)
        x, signs = x[kept], signs[kept]
        found = [_bisected(f, x[i], x[i + 1]) for i in np.flatnonzero(signs[1:] != signs[:-1])]
    return tuple(sorted({float(x) + 0.0 for x in found}))


def _near(low: float, high: float) -> list[Array]:
    """Points that gather at the finite ends of an interval, where a function may be flat."""
    steps = np.geomspace(1e-6, 1, 25)
    return [end + turn * steps for end, turn in ((low, 1), (high, -1)) if isfinite(end)]


def _bisected(f: Expression, low: float, high: float) -> float:
    """A root between points of opposite signs; a whole or short number where that is one to rounding."""
    start = np.sign(on_arrays(f, np.array([low]))[0])
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if np.sign(on_arrays(f, np.array([middle]))[0]) == start else (low, middle)
    short = round(low, 9)
    return short if abs(short - low) <= 4 * np.spacing(max(abs(low), 1.0)) else low


def _merged(form: Piecewise) -> Piecewise:
    """Without places on both sides of which formulas are one function."""
    made = [(end, _canonical(branch)) for end, branch in zip(form.ends[:-1], form.branches, strict=True)]
    kept: Parts = [made[0]]
    for number_, (place, branch) in enumerate(made[1:], 1):
        high = form.ends[number_ + 1]
        one = _one_of(kept[-1][1], branch, kept[-1][0], place, high)
        if one is None:
            kept.append((place, branch))
        else:
            kept[-1] = (kept[-1][0], one)
    return Piecewise(tuple(place for place, _ in kept[1:]), tuple(branch for _, branch in kept))


def _canonical(branch: Expression) -> Expression:
    """A polynomial by its coefficients, without those that rounding made."""
    coefficients = polynomial(branch)
    if coefficients is None:
        return branch
    size = max(map(abs, coefficients), default=0.0)
    return of_coefficients(tuple(c if abs(c) > 4e-16 * size else 0.0 for c in coefficients))


def of_coefficients(coefficients: tuple[float, ...]) -> Expression:
    """A polynomial as a sum of powers, lowest degree first."""
    total = number(0.0)
    for degree, c in enumerate(coefficients):
        power = number(1.0) if degree == 0 else Expression("x")
        power = _made("**", power, number(float(degree))) if degree > 1 else power
        total = _made("+", total, _made("*", number(c), power)) if c != 0 else total
    return total


def _one_of(left: Expression, right: Expression, low: float, place: float, high: float) -> Expression | None:
    """A formula for both sides of a place, if they are one function."""
    x = place + np.array([-0.93, -0.6, -0.27, -0.05, 0.04, 0.31, 0.55, 0.98])
    first, second = on_arrays(left, x), on_arrays(right, x)
    if not np.all(np.abs(first - second) <= SAME * np.maximum(1, np.abs(first))):
        return None
    for formula in (left, right):
        try:
            check_analytic(formula, low, high)
        except UnsupportedError:
            continue
        return formula
    return None
