"""Elementwise functions that people use: each has a kernel, right to the bound of its class in docs/activations.md.

The truth is two-dimensional quadrature of the JAX function itself and of its derivative by JAX, on panels between the
places that are written beside it, which shares nothing with the formulas that are found.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import ntc
from ntc import nn, stax
from ntc.backends.reference import interpret
from ntc.frontend.elaborate import read_network
from ntc.ir import ops
from ntc.ir.numpy_functions import on_arrays
from ntc.ir.ops import CustomActivation, PowerLaw
from ntc.ir.ops.custom import Smooth, Straight
from ntc.ir.ops.kinked import Pieced
from ntc.passes.translate import Translate
from tests.formulas import kinked_quadrature
from tests.marks import others_slow
from tests.test_integrals import integrals

Function = Callable[[Any], Any]

COEFFICIENTS = np.array([0.3, -0.2, 0.1])
TABLE = np.array([-2.0, -1.0, 0.0, 1.5]), np.array([0.0, 1.0, 0.5, 2.0])


class Case(NamedTuple):
    """A function, its places, what its form is, and how the language writes it, if not as the formula that is found."""

    function: Function
    places: tuple[float, ...]
    form: Any
    text: str | None = None


def _bump(x: Any) -> Any:
    inside = jnp.where(jnp.abs(x) < 1, x, 0)
    return jnp.where(jnp.abs(x) < 1, jnp.exp(-1 / (1 - inside**2)), 0.0)


CASES: dict[str, Case] = {
    "relu": Case(jax.nn.relu, (0,), ops.Relu()),
    "relu6": Case(jax.nn.relu6, (0, 6), ops.Relu6(), "clip(x, 0, 6)"),
    "sigmoid": Case(jax.nn.sigmoid, (), ops.Sigmoid()),
    "softplus": Case(jax.nn.softplus, (), ops.Softplus(), "log(1 + exp(x))"),
    "sparse_plus": Case(jax.nn.sparse_plus, (-1, 1), Pieced),
    "sparse_sigmoid": Case(jax.nn.sparse_sigmoid, (-1, 1), Straight),
    "soft_sign": Case(jax.nn.soft_sign, (0,), Pieced, "x / (1 + abs(x))"),
    "silu": Case(jax.nn.silu, (), ops.Swish(), "x / (1 + exp(-x))"),
    "log_sigmoid": Case(jax.nn.log_sigmoid, (), Smooth),
    "leaky_relu": Case(jax.nn.leaky_relu, (0,), ops.LeakyRelu(0.01), "if x > 0 then x else 0.01 * x"),
    "hard_sigmoid": Case(jax.nn.hard_sigmoid, (-3, 3), Straight),
    "hard_silu": Case(jax.nn.hard_silu, (-3, 3), Pieced),
    "hard_tanh": Case(jax.nn.hard_tanh, (-1, 1), ops.HardTanh(), "clip(x, -1, 1)"),
    "tanh": Case(jnp.tanh, (), ops.Tanh()),
    "elu": Case(jax.nn.elu, (0,), ops.Elu(1.0), "if x > 0 then x else exp(x) - 1"),
    "elu(0.5)": Case(lambda x: jax.nn.elu(x, 0.5), (0,), ops.Elu(0.5)),
    "celu(2)": Case(lambda x: jax.nn.celu(x, 2.0), (0,), ops.Celu(2.0)),
    "selu": Case(jax.nn.selu, (0,), ops.Selu()),
    "gelu": Case(lambda x: jax.nn.gelu(x, approximate=False), (), ops.Gelu()),
    "gelu_tanh": Case(jax.nn.gelu, (), ops.GeluTanh()),
    "squareplus": Case(jax.nn.squareplus, (), Smooth),
    "mish": Case(jax.nn.mish, (), ops.Mish(), "x * tanh(softplus(x))"),
    "identity": Case(jax.nn.identity, (), ops.Polynomial((0.0, 1.0))),
    "sin": Case(jnp.sin, (), ops.Sin()),
    "cos": Case(jnp.cos, (), ops.Cos()),
    "exp": Case(jnp.exp, (), ops.Exp()),
    "x exp(-x^2)": Case(lambda x: x * jnp.exp(-(x**2)), (), Smooth),
    "1 / (1 + x^2)": Case(lambda x: 1 / (1 + x**2), (), Smooth),
    "arctan": Case(jnp.arctan, (), Smooth, "arctan(x)"),
    "arcsinh": Case(jnp.arcsinh, (), Smooth),
    "sinc": Case(jnp.sinc, (), Smooth, "sinc(3.141592653589793 * x)"),
    "log cosh": Case(lambda x: jnp.logaddexp(x, -x) - jnp.log(2.0), (), Smooth),
    "norm.cdf": Case(jax.scipy.stats.norm.cdf, (), ops.Erf(0.5, sqrt(0.5), 0.5)),
    "erf": Case(jax.scipy.special.erf, (), ops.Erf()),
    "erfc": Case(jax.scipy.special.erfc, (), ops.Erf(-1.0, 1.0, 1.0)),
    "sign": Case(jnp.sign, (0,), ops.Sign(), "(x > 0) - (x < 0)"),
    "floor": Case(lambda x: jnp.clip(jnp.floor(x), -2, 2), (-1, 0, 1, 2), Pieced, "clip(floor(x), -2, 2)"),
    "step": Case(lambda x: jnp.where(x > 0.3, 1.0, 0.0), (0.3,), Pieced, "x > 0.3"),
    "ramp": Case(lambda x: jnp.clip(x, 0, 1), (0, 1), Straight),
    "triangle": Case(lambda x: jnp.maximum(1 - jnp.abs(x), 0), (-1, 0, 1), Straight, "relu(1 - abs(x))"),
    "bump": Case(_bump, (-1, 1), Pieced, "if abs(x) < 1 then exp(-1 / (1 - x ** 2)) else 0"),
    "soft shrink": Case(lambda x: jnp.sign(x) * jnp.maximum(jnp.abs(x) - 0.5, 0), (-0.5, 0.5), Straight),
    "hard shrink": Case(lambda x: jnp.where(jnp.abs(x) > 0.5, x, 0.0), (-0.5, 0.5), Pieced, "x * (abs(x) > 0.5)"),
    "relu^2": Case(lambda x: jax.nn.relu(x) ** 2, (0,), ops.RectifiedMonomial(2), "relu(x) * max(x, 0)"),
    "relu^3": Case(lambda x: jax.nn.relu(x) ** 3, (0,), ops.RectifiedMonomial(3), "if x > 0 then x ** 3 else 0"),
    "sqrt(abs(x))": Case(lambda x: jnp.sqrt(jnp.abs(x)), (0,), PowerLaw(1.0, 1.0, 0.5), "abs(x) ** 0.5"),
    "abs(x)^1.5": Case(lambda x: jnp.abs(x) ** 1.5, (0,), PowerLaw(1.0, 1.0, 1.5)),
    "log1p(abs(x))": Case(lambda x: jnp.log1p(jnp.abs(x)), (0,), Pieced, "log(1 + abs(x))"),
    "polyval": Case(lambda x: jnp.polyval(jnp.asarray(COEFFICIENTS), x), (), ops.Polynomial((0.1, -0.2, 0.3))),
    "where": Case(lambda x: jnp.where(x > 0, x, 0.1 * jnp.tanh(x)), (0,), Pieced, "if x > 0 then x else 0.1 * tanh(x)"),
    "max(x, x^2)": Case(lambda x: jnp.maximum(x, x**2), (0, 1), Pieced),
    "min(x, 1)": Case(lambda x: jnp.minimum(x, 1), (1,), Straight),
    "fori_loop": Case(lambda x: jax.lax.fori_loop(0, 3, lambda i, y: jnp.tanh(y) + 0.5 * x, x), (), Smooth),
    "interp": Case(lambda x: jnp.interp(x, *map(jnp.asarray, TABLE)), (-2, -1, 0, 1.5), Straight),
    "look-up": Case(lambda x: jnp.asarray(COEFFICIENTS)[jnp.searchsorted(jnp.array([-1.0, 1.0]), x)], (-1, 1), Pieced),
    "sin or x": Case(lambda x: jnp.where(x > 0, jnp.sin(x), x), (0,), Pieced),
    "cond": Case(lambda x: jax.lax.cond(x > 0, jnp.cos, lambda x: 1 + 0.3 * x, x), (0,), Pieced),
    "quick gelu": Case(lambda x: x * jax.nn.sigmoid(1.702 * x), (), Smooth),
    "snake": Case(lambda x: x + jnp.sin(x) ** 2, (), Smooth),
    "arrays": Case(lambda x: jnp.sum(jnp.asarray(COEFFICIENTS) * jnp.tanh(x * jnp.arange(1.0, 4.0))), (), Smooth),
}

POINTS = [(0.5, 1.0, 1.3), (-0.9, 1.0, 0.8), (1.0, 1.2, 1.2), (-1.0, 0.7, 0.7), (0.99, 1.0, 1.0), (1.0, 0.6, 1.4)]
"""Correlations and variances."""

SINGULAR = {"sqrt(abs(x))"}
"""Of which the derivative's integral is infinite at correlations of one and minus one."""

ANGLE = 7e-4
"""Of correlation one in float32, where k and the variances are rounded: the root of 8 half units in the last place."""

NAMED = {
    name
    for name, case in CASES.items()
    if isinstance(case.form, ops.Elementwise) and not isinstance(case.form, PowerLaw)
}
"""Of which the form alone is compared."""

BOTH = {"soft_sign", "hard shrink", "abs(x)^1.5", "triangle", "arctan", "max(x, x^2)", "floor"}
"""Of every form, in single precision as well."""

FLAT = {"bump"}
"""Smooth and not analytic at places."""


@pytest.fixture(autouse=True)
def _with_float64() -> Any:
    with jax.enable_x64(True):
        yield


def truths(name: str, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """E[phi phi] and E[phi' phi'] at the points."""
    slope = jax.vmap(jax.grad(lambda x: jnp.asarray(case.function(x), x.dtype)))
    found = []
    for f in (jax.jit(jax.vmap(case.function)), jax.jit(slope)):

        def on_any(x: np.ndarray, f: Function = f) -> np.ndarray:
            return np.asarray(f(jnp.asarray(x.ravel())), np.float64).reshape(x.shape)

        kept = [p for p in POINTS if not (found and name in SINGULAR and abs(p[0]) == 1)]
        steep = isinstance(case.form, PowerLaw)
        found.append(np.array([kinked_quadrature(on_any, tuple(map(float, case.places)), *p, steep) for p in kept]))
    return found[0], found[1]


@pytest.mark.parametrize("name", others_slow(CASES, {*BOTH, *NAMED}))
def test_functions_have_kernels(name: str) -> None:
    """Protects each function: what its form is, values of the formula, and both integrals in float64 and float32."""
    case = CASES[name]
    text = ntc.formula_of(case.function)
    activation = CustomActivation(text)
    form = activation.form
    assert form == case.form if isinstance(case.form, ops.Elementwise) else type(form) is case.form
    if case.text is not None:
        graph = read_network(f"model m = input(2) |> dense(3) |> activation({case.text})").graph("m")
        written = graph.nodes[-1].op.form
        assert type(written) is type(form)
        x = np.linspace(-4, 4, 40) + 0.0037
        np.testing.assert_allclose(on_arrays(graph.nodes[-1].op.body, x), on_arrays(activation.body, x), 1e-9, 1e-12)
    if name in NAMED:
        return  # whose integrals are tested as those of the named function
    expected = truths(name, case)
    c, v1, v2 = np.array(POINTS).T
    for dtype, bounds in ((np.float64, (1e-7, 2e-6)), (np.float32, (1e-5, 1e-4)))[: 2 if name in BOTH else 1]:
        arrays = [jnp.asarray(x, dtype) for x in (c * np.sqrt(v1 * v2), v1, v2)]
        both = jax.jit(lambda *x: [f(activation, *x, None) for f in integrals(activation)])(*arrays)
        for slope, (value, wanted) in enumerate(zip(both, expected, strict=True)):
            found = np.asarray(value, np.float64)
            found = found[np.abs(c) < 1] if slope and name in SINGULAR else found
            scale = max(np.max(np.abs(wanted)), 1e-12)
            steep = name not in SINGULAR if slope else form.jump == 0
            near = np.abs(c) == 1 if dtype == np.float32 and steep else np.zeros(1, bool)
            error = np.abs(found - wanted) / scale
            limit = np.where(near, ANGLE, bounds[slope or name in FLAT])
            assert np.all(error <= limit), (dtype, slope, error / limit)


@pytest.mark.parametrize("name", ["soft_sign", "hard shrink", "max(x, x^2)", "where", "abs(x)^1.5", "relu^2"])
def test_references_are_right(name: str) -> None:
    """Protects the NumPy definitions of the forms."""
    case = CASES[name]
    activation = CustomActivation(ntc.formula_of(case.function))
    c, v1, v2 = np.array(POINTS[:4]).T
    for found, wanted in zip((activation.dual, activation.dual_dot), truths(name, case), strict=True):
        np.testing.assert_allclose(found(c * np.sqrt(v1 * v2), v1, v2), wanted[:4], 1e-7, 1e-9)


@pytest.mark.parametrize("name", ["soft_sign", "abs(x)^1.5", "where"])
def test_variances_of_one_example_agree_with_adaptive_quadrature(name: str) -> None:
    """Protects against a mistake that both quadratures share: mpmath's, of formulas that are written here again."""
    own = {
        "soft_sign": lambda x: x / (1 + abs(x)),
        "abs(x)^1.5": lambda x: abs(x) ** 1.5,
        "where": lambda x: x if x > 0 else mpmath.tanh(x) / 10,
    }[name]
    wanted = [
        float(mpmath.quad(lambda x, v=v: own(x) ** 2 * mpmath.npdf(x, 0, mpmath.sqrt(v)), [-20, -3, 0, 3, 20]))
        for v in (0.5, 2.0)
    ]
    activation = CustomActivation(ntc.formula_of(CASES[name].function))
    v = np.array([0.5, 2.0])
    np.testing.assert_allclose(activation.dual(v, v, v), wanted, 1e-9)


@pytest.mark.parametrize(
    "layer", [stax.Elementwise, lambda fn: stax.ElementwiseNumerical(fn, deg=25)], ids=["whole", "numerical"]
)
def test_layers_take_functions_with_branches(layer: Any) -> None:
    """Protects both layers of stax: kernels are those of the named nonlinearity, and finite networks the function."""
    x = np.random.default_rng(0).normal(size=(3, 4))
    for function, named in ((jax.nn.elu, nn.elu()), (jax.nn.hard_tanh, nn.hard_tanh())):
        own = stax.serial(stax.Dense(5), layer(function), stax.Dense(1))
        program = ntc.compiler.build((nn.input(4) >> nn.dense(5) >> named >> nn.dense(1)).graph())
        found = own[2](x, None, ("nngp", "ntk"))
        np.testing.assert_allclose(found.nngp, program(x).nngp, 1e-5)
        np.testing.assert_allclose(found.ntk, program(x).ntk, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["x / (1 + abs(x))", "abs(x) ** 1.5"])
def test_gradients_of_integrals(text: str) -> None:
    """Protects derivatives by covariance and variances: finite differences, and finite at one, minus one, zero."""
    activation = CustomActivation(text)
    f = integrals(activation)[0]

    def value(*x: Any) -> Any:
        return f(activation, *x, None).sum()

    gradient = jax.jit(jax.grad(value, (0, 1, 2)))
    point = [jnp.array([0.4]), jnp.array([1.1]), jnp.array([0.8])]
    compiled = jax.jit(value)
    for i, found in enumerate(gradient(*point)):
        step = [jnp.zeros(1), jnp.zeros(1), jnp.zeros(1)]
        step[i] = jnp.array([1e-5])
        ends = [float(compiled(*(a + s * b for a, b in zip(point, step, strict=True)))) for s in (1, -1)]
        assert abs(float(found[0]) - (ends[0] - ends[1]) / 2e-5) <= 1e-6
    ends_ = (
        jnp.array([1.0, -1.0, 0.0, 0.0, 0.5]),
        jnp.array([1.0, 1.0, 0.0, 0.0, 1.0]),
        jnp.array([1.0, 1.0, 0.0, 1.0, 1.0]),
    )
    assert np.isfinite(np.stack(gradient(*ends_))).all()


def test_what_is_too_much_says_so() -> None:
    """Protects from wrong numbers: functions whose kinks do not end are refused, variances out of reach are NaN."""
    for text in ("floor(x)", "relu(sin(x))", "abs(sin(x))"):
        with pytest.raises(ntc.errors.UnsupportedError, match="kinks and jumps"):
            CustomActivation(text).form  # noqa: B018
    activation = CustomActivation("x / (1 + abs(x))")
    v = jnp.array([1e4])
    assert np.isnan(integrals(activation)[0](activation, v, v, v, None)).all()


def test_kinks_of_any_way_of_writing_are_one_form() -> None:
    """Protects recognition: eight ways to write a hard tanh, and four for elu."""
    for text in (
        "max(min(x, 1), -1)",
        "clip(x, -1, 1)",
        "(abs(x + 1) - abs(x - 1)) / 2",
        "relu(x + 1) - relu(x - 1) - 1",
        "where(abs(x) < 1, x, sign(x))",
        "x * (abs(x) < 1) + (x >= 1) - (x <= -1)",
        "sign(x) * min(abs(x), 1)",
        "-clip(-x, -1, 1)",
    ):
        assert CustomActivation(text).form == ops.HardTanh(), text
    for text in (
        "where(x > 0, x, exp(x) - 1)",
        "max(x, 0) + expm1(min(x, 0))",
        "relu(x) - relu(1 - exp(x))",
        "(x > 0) * x + (x <= 0) * (exp(x) - 1)",
    ):
        assert CustomActivation(text).form == ops.Elu(1.0), text


def test_sines_are_two_over_pi() -> None:
    """Protects jumps at correlation one, of a function that is no sign: a kernel of 1, and a derivative of zero."""
    activation = CustomActivation("where(x > 0, 1, -1)")
    k = np.array([1.0, 0.5])
    np.testing.assert_allclose(activation.dual(k, np.ones(2), np.ones(2)), 2 / pi * np.arcsin(k), 1e-9)
    np.testing.assert_array_equal(activation.dual_dot(k, np.ones(2), np.ones(2)), 0)


@pytest.mark.parametrize("text", ["x / (1 + abs(x))", "abs(x) ** 1.5", "x * (abs(x) > 0.5)", "max(x, x ** 2)"])
def test_programs_have_functions_of_pieces(text: str) -> None:
    """Protects programs: both precisions against the reference, of near inputs as well, of which float32 loses digits
    where something jumps."""
    graph = (nn.input(3) >> nn.dense(4, 0.9, 0.2) >> nn.activation(text) >> nn.dense(1)).graph()
    x = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    x[2] = x[1] * np.float32(1 + 1e-4)
    expected = interpret(Translate(dtype="f64", between="self")(graph), x)
    for dtype, bound in (("float64", 2e-6), ("float32", 3e-5)):
        found = ntc.build(graph, dtype=dtype)(x)
        for label in ("nngp", "ntk"):
            scale = np.abs(expected[label]).max()
            np.testing.assert_allclose(getattr(found, label), expected[label], rtol=0, atol=bound * scale)
