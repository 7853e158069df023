"""The nonlinearities without a kink, and that with a jump: their integrals, and programs of one layer of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntc import nn, stax
from ntc.backends.jax.integrals import family
from ntc.backends.reference import interpret
from ntc.compiler import build
from ntc.errors import NonFiniteError, ParameterError
from ntc.frontend.layers import Apply, Network
from ntc.ir import ops
from ntc.ir.op import Array
from ntc.ir.ops import TENSOR_OPS, Elementwise
from ntc.ir.types import Between
from ntc.passes.translate import Translate
from tests.assertions import assert_close, barely_compiled
from tests.formulas import kinked_quadrature, kinks, phi, slope, smooth_quadrature
from tests.test_integrals import integrals, jax_integrals, sizes

SMOOTH: list[Elementwise] = [
    ops.SigmoidLike(),
    ops.Gelu(),
    ops.Sin(),
    ops.Sin(1.1, 0.8, 0.3),
    ops.Cos(0.9, 1.2, -0.2),
    ops.Rbf(0.8),
    ops.Gabor(),
    ops.Gaussian(1.1, -0.7),
    ops.Exp(0.7, 0.6),
    ops.Hermite(0),
    ops.Hermite(1),
    ops.Hermite(4),
    ops.Hermite(5),
    ops.Monomial(0),
    ops.Monomial(1),
    ops.Monomial(4),
    ops.Monomial(7),
    ops.Polynomial(()),
    ops.Polynomial((0.3, -0.5, 0.2, 0.1)),
    ops.Tanh(),
    ops.Sigmoid(),
    ops.Swish(),
    ops.Softplus(),
    ops.Mish(),
    ops.GeluTanh(),
    ops.CustomActivation("x * sigmoid(x) + sin(x)"),
]
KINKED: list[Elementwise] = [
    ops.Relu6(),
    ops.HardTanh(),
    ops.HardSwish(),
    ops.Elu(),
    ops.Elu(-0.7),
    ops.Selu(),
    ops.Celu(0.5),
    ops.Celu(1.7),
]
OTHERS: list[Elementwise] = [
    ops.ExpNormalized(0.9),
    ops.Sign(),
    ops.RectifiedMonomial(0),
    ops.RectifiedMonomial(3),
    ops.SquaredRelu(),
    *KINKED,
]
CORRELATIONS = [-1.0, -0.999, -0.6, -1e-7, 0.0, 0.3, 0.9, 0.9999, 1.0]
VARIANCES = [(1.0, 1.0), (0.3, 2.0), (1e-6, 1e-6), (1e-3, 10.0), (10.0, 10.0), (0.0, 2.0), (0.0, 0.0)]
smooth = pytest.mark.parametrize("activation", SMOOTH, ids=str)
every = pytest.mark.parametrize("activation", SMOOTH + OTHERS, ids=str)
CONSTANT: list[Elementwise] = [ops.Hermite(0), ops.Monomial(0), ops.Polynomial(()), ops.RectifiedMonomial(0)]
ONE_OF_EACH: list[Elementwise] = [*CONSTANT, *{type(op): op for op in SMOOTH + OTHERS}.values()]
"""One of each op, and those that are constant, for whole programs, which take seconds to compile. Other parameters are
in the tests of the integrals."""
ONE_OF_EACH_FAMILY: list[Elementwise] = [
    op for op in {id(family(op)): op for op in ONE_OF_EACH}.values() if not isinstance(op, ops.Kinked)
]
"""But of pieces, which take half a minute to compile: `test_functions` has many of them."""
of_each_family = pytest.mark.parametrize(
    "activation", [*{**dict.fromkeys(CONSTANT), **dict.fromkeys(ONE_OF_EACH_FAMILY)}], ids=str
)


def grid() -> tuple[Array, Array, Array, Array]:
    """Correlation, K and both variances, for all of the above."""
    rows = [(c, c * np.sqrt(v1 * v2), v1, v2) for v1, v2 in VARIANCES for c in CORRELATIONS]
    correlation, k, v1, v2 = np.array(rows).T
    return correlation, k, v1, v2


@smooth
def test_reference_agrees_with_quadrature(activation: Elementwise) -> None:
    """Protects dual and dual_dot of the reference: 1e-10 of their size, at zero variance and both ends as well."""
    correlation, k, v1, v2 = grid()
    for function, f, size in zip(
        (activation.dual, activation.dual_dot),
        (phi(activation), slope(activation)),
        sizes(activation, k, v1, v2),
        strict=True,
    ):
        points = zip(correlation, v1, v2, strict=True)
        expected = np.array([smooth_quadrature(f, c, x, y) for c, x, y in points])
        assert np.all(np.abs(function(k, v1, v2) - expected) <= 1e-10 * size + 1e-300)


@pytest.mark.parametrize("activation", KINKED, ids=str)
def test_reference_of_kinks_agrees_with_quadrature(activation: Elementwise) -> None:
    """Protects dual and dual_dot of the reference: 1e-11 of their size, at both ends as well; of a variance of zero,
    phi(0) E[phi] = 0 and, as the correlation counts as one, phi'(0+) E[phi'; u > 0] and the same below zero."""
    correlation, k, v1, v2 = (x[grid()[2] > 0] for x in grid())
    for function, f, size in zip(
        (activation.dual, activation.dual_dot),
        (phi(activation), slope(activation)),
        sizes(activation, k, v1, v2),
        strict=True,
    ):
        points = zip(correlation, v1, v2, strict=True)
        expected = np.array([kinked_quadrature(f, kinks(activation), *point) for point in points])
        assert np.all(np.abs(function(k, v1, v2) - expected) <= 1e-11 * size)
    zero, one = np.zeros(2), np.array([0.0, 2.0])
    tiny = np.array([1e-12, 2.0])
    assert np.all(activation.dual(zero, zero, one) == 0)
    near = activation.dual_dot(np.sqrt(1e-12 * tiny), np.full(2, 1e-12), tiny)
    np.testing.assert_allclose(activation.dual_dot(zero, zero, one), near, atol=1e-5)


@every
def test_jax_agrees_with_the_reference(activation: Elementwise) -> None:
    """Protects the JAX integrals: float64 to 1e-10 of their size, float32 to 3e-5, as an exponent of 20 is known to
    20 eps; but of a jump, of phi or in dual_dot of phi', to twice the root of eps, as the angle of a correlation near
    one is known to that."""
    _, k, v1, v2 = grid()
    wide = [x.astype(np.float32).astype(np.float64) for x in (k, v1, v2)]
    for arguments, dtype, bound in (((k, v1, v2), np.float64, 1e-10), (wide, np.float32, 3e-5)):
        expected = [activation.dual(*arguments), activation.dual_dot(*arguments)]
        found = jax_integrals(activation, *(x.astype(dtype) for x in arguments))
        jump = activation in (ops.Sign(), ops.RectifiedMonomial(0))
        for index, (value, wanted, size) in enumerate(zip(found, expected, sizes(activation, *arguments), strict=True)):
            jump = jump or (activation in KINKED and index == 1)
            limit = (1e-3 if dtype == np.float32 else 1e-7) if jump else bound
            assert np.all(np.abs(value - wanted) <= limit * np.maximum(size, 1e-30))


@every
def test_an_entry_with_itself_is_exact(activation: Elementwise) -> None:
    """Protects `same`: where it is set, the correlation is one whatever k, alone or as a mask, and at variance zero."""
    v = np.array([0.0, 1e-3, 1.0, 4.0])
    expected = activation.dual(v, v, v), activation.dual_dot(v, v, v)
    with jax.enable_x64(True):
        k, given_v = jnp.asarray(v * (1 - 1e-9)), jnp.asarray(v)
        for same in (True, jnp.ones(4, bool)):
            for function, wanted in zip(integrals(activation), expected, strict=True):
                found = function(activation, k, given_v, given_v, same)
                assert_close(np.broadcast_to(found, (4,)), wanted, "exact", scale=1e-30)


def derivatives(activation: Elementwise, dtype: Any, *arrays: Array) -> tuple[Array, Array, Array]:
    """Derivatives of dual and of dual_dot, (3, points) by k, v1 and v2, and dual_dot itself, by one program."""
    dual, dual_dot = integrals(activation)

    def all_of_them(*x: jax.Array) -> Any:
        def by_arguments(function: Any) -> jax.Array:
            return jnp.stack(jax.grad(lambda *x: function(activation, *x, None).sum(), (0, 1, 2))(*x))

        return by_arguments(dual), by_arguments(dual_dot), dual_dot(activation, *x, None)

    with jax.enable_x64(True):
        compiled = jax.jit(all_of_them, compiler_options=barely_compiled())
        of_dual, of_dual_dot, value = map(np.asarray, compiled(*(jnp.asarray(x, dtype) for x in arrays)))
    return of_dual, of_dual_dot, value


@pytest.mark.parametrize(
    ("activation", "dtype"),
    [
        *(
            pytest.param(op, np.float64, marks=[pytest.mark.slow] * (op not in ONE_OF_EACH_FAMILY))
            for op in SMOOTH + OTHERS
        ),
        *((op, np.float32) for op in ONE_OF_EACH_FAMILY),
    ],
    ids=str,
)
def test_derivatives(activation: Elementwise, dtype: type[np.floating[Any]]) -> None:
    """Protects dual_dot, which is the derivative of dual by k (Price 1958), at 40 points in float64, but of a jump,
    which has none; and gradients at equal, opposite and zero inputs, of correlation one, minus one and variance zero:
    they are finite."""
    ends = np.array([[1.0, -1.0, 0.0, 0.0, 2.0], [1.0, 1, 0, 0, 4], [1.0, 1, 0, 1, 1]])
    random = np.random.default_rng(0)
    v1, v2 = 10 ** random.uniform(-3, 1, (2, 40))
    k = 0.999 * random.uniform(-1, 1, 40) * np.sqrt(v1 * v2)
    points = np.concatenate([ends, [k, v1, v2]], 1) if dtype == np.float64 else ends
    of_dual, of_dual_dot, value = derivatives(activation, dtype, *points)
    assert np.isfinite(of_dual[:, :5]).all()
    assert np.isfinite(of_dual_dot[:, :5]).all()
    if dtype == np.float64 and activation not in (ops.Sign(), ops.RectifiedMonomial(0)):
        _, size = sizes(activation, k, v1, v2)
        assert np.all(np.abs(of_dual[0, 5:] - value[5:]) <= 1e-9 * size + 1e-30)


def network(activation: Elementwise) -> Network:
    """One layer of it on images, with a band of offsets."""
    dense, conv = nn.dense(8, 1.1, 0.2), nn.conv(8, 3, w_std=1.1, b_std=0.2)
    return nn.input(4, 3, 2) >> conv >> Apply(activation) >> nn.avg_pool(2, 1) >> nn.flatten() >> dense


@of_each_family
def test_programs_agree_with_the_reference(activation: Elementwise) -> None:
    """Protects the backend on these nonlinearities: float64 to 1e-10 in general position, of x with itself, and of two
    inputs. The rows of a family know no more of their operands than it does."""
    graph = network(activation).graph()
    x = np.random.default_rng(0).normal(size=(4, 4, 3, 2))
    program = build(graph, dtype="float64")
    for arrays in ((x,), (x[:2], x[2:])):
        found = program(*arrays)
        between: Between = "cross" if len(arrays) == 2 else "self"
        expected = interpret(Translate(dtype="f64", between=between)(graph), *arrays)
        assert_close(found.nngp, expected["nngp"], "float64")
        assert_close(found.ntk, expected["ntk"], "float64")


@of_each_family
def test_kernels_of_special_inputs_are_finite(activation: Elementwise) -> None:
    """Protects zero, equal and opposite inputs without biases."""
    vectors = nn.input(3) >> nn.dense(8) >> Apply(activation) >> nn.dense(8)
    x = np.array([[0.0, 0.0, 0.0], [1.0, -0.5, 0.3], [1.0, -0.5, 0.3], [-1.0, 0.5, -0.3]])
    for dtype in ("float32", "float64"):
        for value in build(vectors, dtype=dtype)(x):  # type: ignore[arg-type]
            assert np.isfinite(np.asarray(value)).all()


def test_a_growing_gaussian_has_kernels_where_they_exist() -> None:
    """Protects b > 0: the integrals at small variances, and an error with layer, variance and example beyond, where one
    of them is infinite. The oracle is a Gauss-Hermite rule, which is exact to rounding this far below the limit."""
    net = nn.input(2) >> nn.dense(3, w_std=0.8) >> nn.gaussian(0.9, 0.3) >> nn.dense(1)
    program = build(net, dtype="float64")
    x = np.array([[0.3, -0.4], [0.2, 0.5], [0.7, 0.1]])
    found = program(x)
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()
    root = np.linalg.cholesky(0.64 * np.array([x[0] @ x[0], x[0] @ x[1], x[0] @ x[1], x[1] @ x[1]]).reshape(2, 2) / 2)
    u, v = root[0, 0] * nodes[:, None], root[1, 0] * nodes[:, None] + root[1, 1] * nodes
    both = weights[:, None] * weights * 0.81 * np.exp(0.3 * (u**2 + v**2))
    assert_close(np.asarray(found.nngp)[0, 1], both.sum(), "exact")
    slopes = 0.64 * (x[0] @ x[1]) / 2 * (0.36 * u * v * both).sum()
    assert_close(np.asarray(found.ntk - found.nngp)[0, 1], slopes, "exact")
    x[1] *= 4
    for refused in (lambda: program(x), lambda: program(x[1:], x), lambda: program.diagonal(x)):
        with pytest.raises(NonFiniteError, match=r"gaussian .* input of 1\.48, and infinite from 0\.833333 on"):
            refused()
    assert np.isfinite(program(x[:1], x[1:]).nngp).all()
    with jax.enable_x64(True):
        assert np.isnan(jax.jit(lambda x: program(x).nngp)(x)[1, 1])
    with pytest.raises(NonFiniteError, match="gaussian from 0"):
        stax.serial(stax.Gaussian(0.9, 0.3))[2](stax.Dense(1, 0.8)[2](x, None))


def test_degrees_are_bounded() -> None:
    """Protects from factorials beyond the numbers."""
    for layer in (nn.monomial, nn.hermite, nn.rectified_monomial):
        with pytest.raises(ParameterError, match="degree"):
            layer(31)
        with pytest.raises(ParameterError, match="degree"):
            layer(-1)


def test_the_document_lists_every_nonlinearity() -> None:
    """Protects docs/activations.md, which `python -m tools.activation_errors` writes."""
    text = (Path(__file__).parents[1] / "docs" / "activations.md").read_text()
    for op in TENSOR_OPS.values():
        assert not issubclass(op, Elementwise) or f"| `{op.name}" in text, op.name


@pytest.mark.parametrize("activation", [ops.Elu(), ops.Selu(), ops.Celu(0.5)], ids=str)
def test_an_exponential_that_is_too_steep_is_nan(activation: ops.ExponentialLinear) -> None:
    """Protects from a number that is wrong: few angles do not resolve it beyond 64 decays, up to where they do."""
    for size, finite in ((64 * activation.decay, True), (64.1 * activation.decay, False)):
        k, v1, v2 = np.array([0.9, -0.3]) * size, np.array([size**2, 1.0]), np.array([1.0, size**2])
        expected = activation.dual(k, v1, v2), activation.dual_dot(k, v1, v2)
        for value, wanted in zip(jax_integrals(activation, k, v1, v2), expected, strict=True):
            assert np.all(np.isfinite(value) == finite)
            assert np.all(np.isfinite(wanted) == finite)
            if finite:
                np.testing.assert_allclose(value, wanted, rtol=1e-9)
