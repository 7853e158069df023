"""Nonlinearities that are written as formulas: reading them, and their kernels beside others and beside quadrature."""

from __future__ import annotations

from math import sqrt

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ntc
from ntc import nn
from ntc.backends.jax.finite import FORWARD
from ntc.compiler import build
from ntc.errors import InputError, LimitError, NtcError, ParameterError, ParseError, UnsupportedError
from ntc.frontend.elaborate import read_network
from ntc.frontend.layers import Layer, Network
from ntc.ir import ops
from ntc.ir.calculus import derivative, pieces
from ntc.ir.expression import show
from ntc.ir.expression_text import parse
from ntc.ir.json import from_json, to_json
from ntc.ir.ops import Elementwise
from ntc.ir.ops.custom import on_arrays
from ntc.ir.parser import parse_graph
from ntc.ir.printer import show as show_graph
from tests.assertions import assert_close
from tests.formulas import kinked_quadrature, phi, slope, smooth_quadrature
from tests.strategies import formulas, trials
from tests.test_integrals import integrals, jax_integrals

EQUAL: dict[str, Elementwise] = {
    "x * sigmoid(x)": ops.Swish(),
    "x / (1 + exp(-x))": ops.Swish(),
    f"x * (1 + erf(x / {sqrt(2)!r})) / 2": ops.Gelu(),
    "x * tanh(softplus(x))": ops.Mish(),
    "min(max(x, 0), 6)": ops.Relu6(),
    "maximum(-1, minimum(x, 1))": ops.HardTanh(),
    "(x + abs(x)) / 2": ops.Relu(),
    "max(x, -1.5 * x)": ops.AbRelu(-1.5, 1.0),
    "0.3 - 0.5 * x + 0.2 * x ** 2 + 0.1 * x ** 3": ops.Polynomial((0.3, -0.5, 0.2, 0.1)),
    "2": ops.Polynomial((2.0,)),
}
COMPILED = ("x * sigmoid(x)", "maximum(-1, minimum(x, 1))")
"""Of these, the integrals in JAX as well: one of each form, as they take seconds to compile."""

K = np.array([0.3, -0.9, 1.0, 2.0, -0.2, 0.0])
V1 = np.array([1.0, 1.0, 1.0, 4.0, 0.25, 0.0])
V2 = np.array([2.0, 0.9, 1.0, 1.0, 3.0, 1.0])


@pytest.mark.parametrize("text", EQUAL)
def test_formulas_of_named_functions_have_their_integrals(text: str) -> None:
    """Protects both kinds of rules, in the reference and in JAX: at general correlations, at one, at variance zero."""
    own, named = ops.CustomActivation(text), EQUAL[text]
    expected = named.dual(K, V1, V2), named.dual_dot(K, V1, V2)
    both = [(own.dual(K, V1, V2), own.dual_dot(K, V1, V2))]
    if text in COMPILED:
        both.append(jax_integrals(own, K, V1, V2))
    for found in both:
        for index, (value, wanted) in enumerate(zip(found, expected, strict=True)):
            away = (K**2 < V1 * V2) if index else np.ones_like(K, bool)  # at one the angle is known to half its digits
            assert_close(value[away], wanted[away], "exact")
            np.testing.assert_allclose(value[V1 > 0], wanted[V1 > 0], rtol=0, atol=1e-7 * np.max(np.abs(wanted)))


@given(formulas())
@trials(4)
def test_random_smooth_formulas_agree_with_quadrature(text: str) -> None:
    """Protects the series of any smooth formula, and its symbolic derivative: 1e-9 of dense quadrature, or NaN."""
    activation = ops.CustomActivation(text)
    k, v1, v2 = np.array([0.4, -0.9]), np.array([1.0, 0.8]), np.array([1.5, 1.2])
    for f, rule in ((phi(activation), activation.dual), (slope(activation), activation.dual_dot)):
        points = list(zip(k / np.sqrt(v1 * v2), v1, v2, strict=True))
        expected = np.array([smooth_quadrature(f, *point) for point in points])
        size = max(smooth_quadrature(f, 1.0, 1.5, 1.5), smooth_quadrature(f, 1.0, 1.0, 1.0), 1e-12)
        found = rule(k, v1, v2)
        known = np.isfinite(found)
        assert np.all(np.abs(found - expected)[known] <= 1e-9 * size)


@st.composite
def straight(draw: st.DrawFn) -> str:
    """A continuous function of straight pieces."""
    numbers = st.integers(-6, 6).map(lambda n: n / 4)
    text = "x"
    for _ in range(draw(st.integers(1, 3))):
        a, b = draw(numbers), draw(numbers)
        form = draw(st.sampled_from(["max({0}, {1})", "min({0}, {1} * x)", "abs({0} - {1})", "relu({1} - {0})"]))
        text = f"{form.format(text, b)} + {a} * x"
        text = f"({text})"
    return text


@given(straight())
@trials(5)
def test_random_straight_pieces_agree_with_quadrature(text: str) -> None:
    """Protects the pieces that are found of nested kinks, with constants, at finite width and in both rules."""
    activation = ops.CustomActivation(text)
    found = pieces(activation.body)
    assert found is not None
    x = np.linspace(-5, 5, 41)
    np.testing.assert_allclose([found(y) for y in x], on_arrays(activation.body, x), rtol=0, atol=1e-12)
    k, v1, v2 = np.array([0.4, -0.9]), np.array([1.0, 0.8]), np.array([1.5, 1.2])
    where = tuple(t for t, _ in found.kinks)

    def f(x: np.ndarray) -> np.ndarray:
        return on_arrays(activation.body, x)

    points = list(zip(k / np.sqrt(v1 * v2), v1, v2, strict=True))
    expected = np.array([kinked_quadrature(f, where, *point) for point in points])
    scale = kinked_quadrature(f, where, 1.0, 1.5, 1.5) + 1
    assert_close(activation.dual(k, v1, v2), expected, "exact", scale=scale)


@given(formulas(extreme=True))
@trials(40)
def test_formulas_survive_printing(text: str) -> None:
    """Protects files: canonical text reads back as the same tree, in a graph as text and as JSON too."""
    assert show(parse(text)) == text
    assert parse(show(parse(text))) == parse(text)
    graph = (nn.input(2) >> nn.dense(3) >> nn.activation(text)).graph()
    assert parse_graph(show_graph(graph)) == graph
    assert from_json(to_json(graph)) == graph


@given(st.text('x1.e+-*/(), tanhmi\n"é', max_size=40))
@trials(200)
def test_any_text_is_a_formula_or_an_error(text: str) -> None:
    """Protects the reader: no other exception, whatever is given."""
    try:
        parse(text)
    except NtcError:
        return


HOSTILE = {
    "x +": "the end is not expected",
    "sigmod(x)": "unknown function `sigmod`",
    "tanh": "unknown name `tanh`",
    "tanh(x, x)": "takes 1 arguments, got 2",
    "(x": "not closed",
    "x x": "`x` is not expected here",
    "1 / 0": "division by zero",
    "x / (1 - 1)": "division by zero",
    "log(-1) * x": "not a finite real number",
    "1e999 * x": "not a finite number",
    "exp(1000) * x": "not a finite real number",
    "x ** 1e9": "exponent is a number from -30 to 30",
    "x ** x": "exponent is a number from -30 to 30",
    "1 < x < 2": "not chained",
    "(" * 1000 + "x": "nests at most",
    "abs(" * 500 + "x" + ")" * 500: "nests at most",
    "-" * 1000 + "x": "nests at most",
    " + ".join(["x"] * 300): "at most 1000",
}


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:20])
def test_hostile_formulas_are_refused(text: str) -> None:
    """Protects from tracebacks and unbounded work, with a message that says what is wrong, where."""
    with pytest.raises((ParseError, LimitError), match=HOSTILE[text].replace("(", r"\(")) as caught:
        parse(text)
    assert caught.value.location is not None
    with pytest.raises(ParameterError, match="activation"):
        nn.activation(text)


@pytest.mark.parametrize(
    "text", ["sqrt(x)", "log(x)", "1 / x", "x ** -1", "x ** 0.5", "floor(x)", "relu(sin(x))", "log(abs(x))"]
)
def test_what_has_no_rule_is_refused_and_has_a_finite_network(text: str) -> None:
    """Protects from wrong numbers: the part is named, and the finite network is there."""
    graph = network(nn.activation(text)).graph()
    with pytest.raises(UnsupportedError, match=r"has no kernel|has no limit"):
        build(graph)
    row = FORWARD[ops.CustomActivation]
    x = np.array([0.5, 2.0])
    found = row(ops.CustomActivation(text), {}, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, on_arrays(parse(text), x), rtol=1e-5)


@pytest.mark.parametrize(
    "text", ["x * exp(x ** 2)", "x * exp(20 * x)", "x + sin(1000 * x)", "x + sin(502.6548245743669 * x)"]
)
def test_what_the_nodes_do_not_resolve_is_nan(text: str) -> None:
    """Protects from numbers of integrals that diverge, have their mass beyond the nodes, or oscillate between them:
    1.5 turns between two nodes look like a slow wave."""
    activation = ops.CustomActivation(text)
    k, v = np.array([0.9]), np.array([1.0])
    assert np.isnan(activation.dual(k, v, v)).all()
    if text == "x + sin(1000 * x)":
        for value in jax_integrals(activation, k, v, v):
            assert np.isnan(value).all()


def network(layer: Layer) -> Network:
    """One layer of it."""
    return nn.input(3) >> nn.dense(8, 1.3, 0.2) >> layer >> nn.dense(8, 1.1, 0.1)


@pytest.mark.parametrize("text", ["max(x, 0.5) + 1"])
def test_gradients_are_finite_at_the_ends(text: str) -> None:
    """Protects gradients at equal, opposite and zero inputs."""
    activation = ops.CustomActivation(text)
    with jax.enable_x64(True):
        k, v1, v2 = (
            jnp.asarray(x, jnp.float32) for x in ([1.0, -1.0, 0.0, 0.0, 2.0], [1.0, 1, 0, 0, 4], [1.0, 1, 0, 1, 1])
        )
        for function in integrals(activation):
            gradient = jax.grad(lambda *a, f=function: f(activation, *a, None).sum(), (0, 1, 2))
            assert np.isfinite(np.stack(gradient(k, v1, v2))).all()


def test_the_language_has_formulas_with_numbers_of_the_model() -> None:
    """Protects `activation(tanh(a * x))`: names are constants, also in functions, and `x` is the variable."""
    text = "let c = 3\nlet f(a) = activation(tanh(a * x) / c)\nmodel m(x = 7) = input(2) |> dense(x) |> f(2)"
    expected = nn.input(2) >> nn.dense(7) >> nn.activation("tanh(2 * x) / 3")
    assert read_network(text).graph("m") == expected.graph("m")


@pytest.mark.parametrize(
    ("formula", "column", "message"),
    [
        ("sigmod(x)", 40, "unknown function `sigmod`"),
        ("x * b", 44, "unknown name `b`"),
        ("x / 0", 42, "by zero"),
        ("x // 2", 42, "not part of a formula"),
        ("x |> relu", 40, "not arithmetic"),
        ("relu", 40, "needs a number"),
    ],
)
def test_errors_in_formulas_are_at_their_place(formula: str, column: int, message: str) -> None:
    """Protects whoever writes them."""
    with pytest.raises(NtcError, match=message) as caught:
        read_network(f"model m = input(3) |> dense(2)\n      |> {'':19}activation({formula})")
    assert caught.value.location is not None
    assert (caught.value.location.line, caught.value.location.column) == (2, column)


@pytest.mark.parametrize("name", ["silu", "gelu", "relu6", "softplus", "mish", "tanh", "squareplus"])
def test_jax_functions_become_formulas(name: str) -> None:
    """Protects the translation: the formula has the values of the function, and a kernel."""
    function = getattr(jax.nn, name)
    formula = ntc.formula_of(function)
    x = np.linspace(-4, 4, 33)
    with jax.enable_x64(True):
        np.testing.assert_allclose(on_arrays(parse(formula), x), function(jnp.asarray(x)), rtol=1e-12, atol=1e-14)
    assert ops.CustomActivation(formula).form


@jax.custom_jvp
def _straight_through(x: jax.Array) -> jax.Array:
    return jnp.tanh(x)


_straight_through.defjvp(lambda primals, tangents: (jnp.tanh(primals[0]), tangents[0]))


def test_jax_functions_that_are_no_formula_are_refused() -> None:
    """Protects from wrong translations, naming the primitive; and derivatives that are not those of the values."""
    with pytest.raises(UnsupportedError, match="`sort`"):
        ntc.formula_of(lambda x: jnp.sort(jnp.stack([x, -x]))[0])
    with pytest.raises(UnsupportedError, match="end of a `while` loop depends on the variable"):
        ntc.formula_of(lambda x: jax.lax.while_loop(lambda y: y < 9, lambda y: y + 1, x))
    with pytest.raises(LimitError, match="at most 200 steps"):
        ntc.formula_of(lambda x: jax.lax.fori_loop(0, 201, lambda i, y: jnp.tanh(y), x))
    with pytest.raises(UnsupportedError, match="derivative of its own"):
        ntc.formula_of(_straight_through)
    with pytest.raises(InputError, match="cannot trace"):
        ntc.formula_of(lambda x: x if x > 0 else 0.0)
    with pytest.raises(ParameterError, match="is a function"):
        nn.activation(jax.nn.relu)


@pytest.mark.parametrize("text", ["tanh(3 * x)", "tanh(tanh(tanh(x) + 0.5 * x) + 0.5 * x) + 0.5 * x"])
def test_formulas_may_bend_on_a_short_length(text: str) -> None:
    """Protects functions that bend on a third of a unit, at variances where their series is not enough: E[phi^2] and
    E[phi'^2] are those of a fine trapezoidal rule, in the reference and in JAX."""
    activation = ops.CustomActivation(text)
    z = np.linspace(-12, 12, 200_001)
    weight = np.exp(-(z**2) / 2) * (z[1] - z[0]) / np.sqrt(2 * np.pi)
    body = activation.body
    for v in (0.7, 1.4, 20.0):
        own = np.array([v])
        expected = [on_arrays(f, np.sqrt(v) * z) ** 2 @ weight for f in (body, derivative(body))]
        assert_close(activation.dual(own, own, own)[0], expected[0], "float64")
        assert_close(activation.dual_dot(own, own, own)[0], expected[1], "float64")
        for found, wanted in zip(jax_integrals(activation, own, own, own), expected, strict=True):
            assert_close(found[0], wanted, "float64", scale=100.0)
