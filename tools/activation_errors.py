"""Measures the Gaussian integrals of every nonlinearity, and writes docs/activations.md.

    python -m tools.activation_errors

At correlations -1 and 1 the truth is a one-dimensional integral, which mpmath computes to 20 digits; in between it is
two-dimensional quadrature in float64, which shares nothing with what it measures and is itself good to 1e-13.
All arguments are numbers of float32, so that no error is that of rounding them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import mpmath
import numpy as np

from ntc.backends.jax.integrals.logistic import SMOOTHED
from ntc.ir import ops
from ntc.ir.op import Array
from ntc.ir.ops import Analytic, Elementwise, ExponentialLinear, PiecewiseLinear
from tests.formulas import formula, kinked_quadrature, kinks, phi, slope, smooth_quadrature
from tests.test_activations import OTHERS, SMOOTH
from tests.test_integrals import ACTIVATIONS, jax_integrals, quadrature, sizes

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "activations.md"
VARIANCES = [(1.0, 1.0), (0.25, 4.0), (0.25, 0.25), (10.0, 10.0)]
CORRELATIONS = [-1.0, -0.75, 0.5, 0.96875, 1.0]
HEAD = """# Nonlinearities

Every integral E[phi(u) phi(v)] (dual) and E[phi'(u) phi'(v)] (dual_dot) of the table is measured by
`python -m tools.activation_errors`: the largest error relative to the geometric mean of the integrals of u and of v
alone, at variances of 0.25 to 10 and correlations from -1 to 1, both included, which no other part of the program knows
to be special. The truth is mpmath's at the ends, and two-dimensional quadrature in between.

Closed forms hold at any variance. A series converges where the function bends on a length that is not far below the
standard deviation: `tanh` up to variances of about ten. Beyond, an entry takes another path. `tanh`, `sigmoid`,
`softplus` and `swish` are steps and ramps smoothed by logistic noise, which is a mixture of Gaussians: a sum of closed
forms over pairs of 20 in float64, of 9 in float32. Others are computed by quadrature in two dimensions whose nodes are
close where functions bend, at zero: a quarter of a millisecond per entry in float32 and two milliseconds in float64,
so that inputs of a smaller scale are worth having. The largest errors at variances from a thousand to a hundred
million, of equal and of different scales:

LARGE
A series costs one multiplication and addition per term, entry and layer, 512 terms in float64 and 256 in float32, and
keeps as many numbers per example and position.

`elu`, `selu` and `celu` are sums over angles (40 in float64, 24 in float32), which are as good as the table says up to
a standard deviation of ten times the length on which the exponential falls, then slowly lose digits: 1e-10 in float64
and 1e-6 in float32 at 64 times, beyond which they are NaN. `relu6` and `hard_tanh` are differences of straight pieces:
they lose digits in proportion to the variance where it is far above the square of their bounds.

`activation` is a formula of your own, or of a JAX function (`ntc.formula_of`, `Elementwise` and `ElementwiseNumerical`
of `ntc.stax`). Functions are brought to one form, places of kinks and jumps and a formula on each piece, so that it
does not matter how they are written:

* What is another layer, at hundreds of points to rounding, is that layer: `elu`, `gelu` in both forms, `relu6`, sines.
* Continuous and made of straight pieces: its kernel is that of its hinges, exact as for `relu6`.
* Made of polynomials, with kinks and jumps anywhere, such as `max(x, x ** 2)`, `hard_silu`, `clip(floor(x), -3, 3)`:
  closed forms, exact to 1e-12 in float64 and 1e-6 in float32 at variances about the squares of the places; digits are
  lost in proportion to the highest power of the variance.
* A power of |x| on either side of zero: a function of the correlation, to 1e-12 and 1e-6. The NTK of powers up to 1/2
  (`sqrt(abs(x))`) is infinite at correlations of one and minus one, as the integral is.
* Analytic for every x: a series like `tanh`, and by quadrature where that falls too slowly, with nodes as close as the
  formula bends near zero. There is no kernel, but an error, where a second quadrature at other nodes disagrees by more
  than 1e-7 of the whole in float64 and 1e-4 in float32 (a function that oscillates far from zero, or bends there), or
  where the integrand has not vanished at the ends (such as x exp(x^2)).
* Analytic on each piece, such as `x / (1 + abs(x))`: the jumps of the first six derivatives (four in float32) in
  closed form, and a series of the rest, of 2048 terms (1024). Where what is left out may exceed 1e-6 of the whole
  (1e-4), or two rules differ by as much, there is an error and no kernel: from variances of about ten on for
  functions that bend on a length of one. Functions that are smooth at a place and not analytic (exp(-1 / x) for x > 0)
  take four times the terms, and may leave out four times as much.

Derivatives of intermediate values that overflow are an error as well: write `sigmoid(x)`, not `1 / (1 + exp(-x))`, for
large variances in float32. Kinks or jumps without end (`floor(x)`, `relu(sin(x))`) have no kernel.

Where phi jumps its derivative counts as zero, as that of `sign` and `rectified_monomial(0)`: the NTK is that of the
weights above, and of the slopes of the pieces. `exp_normalized` is not elementwise but at unit variance; its dual is
its definition.

Near correlation one, dual_dot of a function with a kink (and dual of one with a jump) is as accurate as the angle,
which is known to the root of the precision: 1e-8 in float64, 3e-4 in float32. Of an example with itself it is exact.
Programs in float32 compute entries between nearly equal examples in float64, or from their distances: see
[accuracy](accuracy.md).

| nonlinearity | method | reference: dual | dual_dot | float64: dual | dual_dot | float32: dual | dual_dot |
|---|---|---|---|---|---|---|---|
"""


LARGE = [(1e3, 1e3), (1e4, 4.0), (2.0**20, 2.0**20), (1e8, 1.0), (1e8, 1e8)]
LARGE_HEAD = """| nonlinearity | beyond the series | float64: dual | dual_dot | float32: dual | dual_dot |
|---|---|---|---|---|---|
"""


def large() -> str:
    """A table of errors at large variances. The truth is the quadrature of the reference, held to mpmath by tests."""
    return LARGE_HEAD + "".join(_large_row(op) for op in SMOOTH if isinstance(op, Analytic | ops.CustomActivation))


def _large_row(activation: Elementwise) -> str:
    c, v1, v2 = np.array([(c, *v) for v in LARGE for c in [*CORRELATIONS, 1 - 2.0**-16]]).T
    arrays = [x.astype(np.float32).astype(np.float64) for x in (c * np.sqrt(v1 * v2), v1, v2)]
    if np.isnan(activation.dual(*arrays)).any():
        return f"| `{activation.name}({activation.expression})` | an error: it oscillates | | | | |\n"  # type: ignore[attr-defined]
    found = jax_integrals(activation, *arrays), jax_integrals(activation, *(x.astype(np.float32) for x in arrays))
    expected = activation.dual(*arrays), activation.dual_dot(*arrays)
    scales = sizes(activation, *arrays)
    cells = [float(np.max(np.abs(x - y) / z)) for pair in found for x, y, z in zip(pair, expected, scales, strict=True)]
    method = "mixture" if type(activation) in SMOOTHED else "quadrature"
    return f"| `{activation.name}` | {method} | {' | '.join(f'{x:.0e}' for x in cells)} |\n"


def points() -> list[tuple[float, float, float]]:
    """(correlation, v1, v2)."""
    return [(c, v1, v2) for v1, v2 in VARIANCES for c in CORRELATIONS]


def truth(activation: Elementwise, derivative: bool) -> Array:
    """The integral at all points."""
    function, other = (slope if derivative else phi)(activation), formula(activation)[derivative]
    kinked = isinstance(activation, PiecewiseLinear | ops.Sign | ops.RectifiedPower)
    inside = quadrature if kinked else smooth_quadrature
    shifted = kinks(activation)
    if shifted:
        return np.array(
            [
                _at_end(other, *x, shifted) if abs(x[0]) == 1 else kinked_quadrature(function, shifted, *x)
                for x in points()
            ]
        )
    return np.array([_at_end(other, *x) if abs(x[0]) == 1 else inside(function, *x) for x in points()])


def _at_end(function: Any, sign: float, v1: float, v2: float, where: tuple[float, ...] = ()) -> float:
    """E[f(u) f(v)] of u = sqrt(v1) z, v = +-sqrt(v2) z."""
    with mpmath.workdps(20):
        root1, root2 = mpmath.sqrt(v1), sign * mpmath.sqrt(v2)

        def integrand(z: Any) -> Any:
            return function(mpmath, root1 * z) * function(mpmath, root2 * z) * mpmath.npdf(z)

        own = {*(x / root1 for x in where), *(x / root2 for x in where)}
        return float(mpmath.quad(integrand, sorted({mpmath.mpf(x) for x in (-14, -6, -2, 0, 2, 6, 14)} | own)))


def errors(activation: Elementwise) -> list[float]:
    """Of dual and dual_dot, in the reference, jax float64, jax float32."""
    c, v1, v2 = np.array(points()).T
    k = c * np.sqrt(v1 * v2)
    expected = truth(activation, False), truth(activation, True)
    single = [x.astype(np.float32) for x in (k, v1, v2)]
    found = (
        (activation.dual(k, v1, v2), activation.dual_dot(k, v1, v2)),
        jax_integrals(activation, k, v1, v2),
        jax_integrals(activation, *single),
    )
    scales = [np.where(x > 0, x, 1) for x in sizes(activation, k, v1, v2)]
    return [
        float(np.max(np.abs(value - wanted) / scale))
        for pair in found
        for value, wanted, scale in zip(pair, expected, scales, strict=True)
    ]


def row(activation: Elementwise) -> str:
    """A line of the table."""
    shown = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in vars(activation).values() if v != ())
    name = f"{activation.name}({shown})" if shown else activation.name
    method = "series" if isinstance(activation, Analytic | ops.CustomActivation) else "closed form"
    method = "angle" if isinstance(activation, ExponentialLinear) else method
    if isinstance(activation, ops.ExpNormalized):
        return f"| `{name}` | definition | | | | | | |"
    cells = " | ".join(f"{error:.0e}" if error != 0 else "0" for error in errors(activation))
    return f"| `{name}` | {method} | {cells} |"


def main() -> None:
    """Writes the document."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    activations = dict.fromkeys([*ACTIVATIONS, *SMOOTH, *OTHERS])
    head = HEAD.replace("LARGE\n", f"{large()}\n")
    DOCUMENT.write_text(head + "".join(f"{row(activation)}\n" for activation in activations))


if __name__ == "__main__":
    main()
