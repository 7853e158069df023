"""Derivatives of kernels: right where they exist, finite where they do not, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntc import nn
from ntc.backends.jax.integrals import family
from ntc.backends.jax.program import Program
from ntc.backends.jax.run import tiles_in_jit as traced
from ntc.compiler import build
from ntc.ir import ops
from ntc.ir.op import Array, TensorOp
from ntc.plan.tiles import Tiling
from tests.networks import NETWORKS, inputs, program
from tests.strategies import ACTIVATIONS, parameter_types
from tools.layers import EXAMPLES


def example(op: type[TensorOp]) -> Any:
    """The nonlinearity with a value for every parameter that needs one; of formulas, one of straight pieces."""
    values = {**EXAMPLES, "expression": "max(x, 0.5) - 0.3 * x"}
    return op(**{name: values[name] for name in parameter_types(op) if name in values})


def integral(phi: Any, slope: bool, same: bool) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """E[phi(u) phi(v)], or of the derivatives, at the covariances of vectors (pairs, 3); of equal ones if `same`."""
    rules = family(phi)
    marginal, function = rules.marginal_of(phi, slope), rules.dual_dot if slope else rules.dual

    def value(x: jax.Array, y: jax.Array) -> jax.Array:
        v1, v2, k = ((a * b).sum(-1) for a, b in ((x, x), (y, y), (x, y)))
        mark = jnp.ones_like(k, bool) if same else None
        return function(phi, k, marginal(v1), marginal(v2), mark)

    return value


def difference(function: Callable[[Any], Any], at: Any, direction: Any, step: float) -> Array:
    """The central difference quotient along a direction."""
    up, down = (np.asarray(function(at + s * direction), np.float64) for s in (step, -step))
    return np.asarray((up - down) / (2 * step), np.float64)


ONE_OF_A_FAMILY = {
    family(example(op)): op for op in ACTIVATIONS if not issubclass(op, ops.Analytic | ops.ExponentialLinear)
}
"""Without series and quadratures, whose sums are smooth, and slow."""


@pytest.mark.parametrize(
    "op",
    [pytest.param(x, marks=[pytest.mark.slow] * issubclass(x, ops.Kinked)) for x in ONE_OF_A_FAMILY.values()],
    ids=[x.name for x in ONE_OF_A_FAMILY.values()],
)
def test_derivatives_of_integrals(op: type[TensorOp]) -> None:
    """Protects the derivatives of a nonlinearity of every family, float64: of pairs in general position and of an
    example with itself (whose covariance is its variance) against central differences of step 1e-5, error about
    h^2 = 1e-10 times a third derivative and eps / h = 2e-11, of Owen's function 1e-11 / h.

    Of equal examples that are two, where kinks leave a cusp, the two-sided derivative: a cusp |x - y| is of even order
    but for its second term, so that step 1e-3 is good to 1e-3, as the angle of equal vectors is known to 1e-8. Opposite
    examples, and zeros, are finite.
    """
    phi = example(op)
    with jax.enable_x64(True):
        x, y, d = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 3)) / 2)
        zero = jnp.zeros_like(x[:1])
        for slope in (False, True):
            cross, own = integral(phi, slope, False), integral(phi, slope, True)
            for function, step, limit in (
                (lambda x, cross=cross: cross(x, y), 1e-5, 2e-6),
                (lambda x, own=own: own(x, x), 1e-5, 2e-6),
                (lambda z, cross=cross: cross(z, x), 1e-3, 2e-3),
            ):
                value, tangent = jax.jvp(function, (x,), (d,))
                expected = difference(function, x, d, step)
                scale = np.abs(value).max() + np.abs(expected).max()
                assert np.abs(tangent - expected).max() <= limit * scale, (slope, step)
            pairs = jnp.concatenate([x, zero, x[:1], zero]), jnp.concatenate([-x, x[:1], zero, zero])
            gradient = jax.grad(lambda a, b, cross=cross: cross(a, b).sum(), (0, 1))(*pairs)
            assert all(np.isfinite(part).all() for part in gradient)


QUICKLY = {"xla_backend_optimization_level": 0}
"""Compiler options: the same computations in the same memory, in machine code that is not optimised."""


def block() -> Any:
    """A convolution and a nonlinearity."""
    return nn.conv(8, 3, w_std=1.4, b_std=0.1) >> nn.relu()


def distilled(program: Program, x: Any, y: Any, hyper: Any = None) -> Any:
    """The loss of kernel ridge regression on images x with one-hot labels, of 10 classes in turn, at images y
    (Nguyen et al. 2021, arXiv:2011.00050, eq. 2)."""
    labels = np.eye(10)
    train, cross = program(x, hyper=hyper).ntk, program(y, x, hyper=hyper).ntk
    assert train is not None
    assert cross is not None
    ridge = 1e-3 * jnp.trace(train) / len(x) * jnp.eye(len(x), dtype=train.dtype)
    mean = cross @ jnp.linalg.solve(train + ridge, labels[np.arange(len(x)) % 10].astype(train.dtype))
    return jnp.mean((mean - labels[np.arange(len(y)) % 10]) ** 2)


def test_distillation() -> None:
    """Protects data-set distillation: the gradient by 20 images of 16 x 16 pixels and by both hyperparameters of a CNN
    with pooling is the central difference to 1e-5, and needs at most three times the memory of the loss.

    Steps of 1e-5 along unit directions: h^2 times a third derivative is below 1e-9, eps / h = 2e-11.
    """
    scale, shift = nn.hyper(1.4), nn.hyper(0.1)
    conv = nn.conv(8, 3, w_std=scale, b_std=shift) >> nn.relu()
    network = nn.input(16, 16, 3) >> conv >> nn.avg_pool(2) >> conv >> nn.flatten() >> nn.dense(10)
    program = build(network, dtype="float64", kernels=("ntk",))
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 20, 16, 16, 3))
    with jax.enable_x64(True):
        start = jnp.asarray(x), {name: jnp.asarray(value) for name, value in program.hyper.items()}
        function = lambda x, hyper: distilled(program, x, y, hyper)  # noqa: E731
        loss = jax.jit(function).lower(*start).compile(QUICKLY)
        gradient = jax.jit(jax.grad(function, (0, 1))).lower(*start).compile(QUICKLY)
        slopes, slope = gradient(*start)
        for seed in range(3):
            d = np.random.default_rng(seed).normal(size=x.shape)
            d /= np.linalg.norm(d)
            expected = float(difference(lambda x: loss(x, start[1]), start[0], d, 1e-5))
            assert abs(float((slopes * d).sum()) - expected) <= 1e-5 * abs(expected)
        for name, value in start[1].items():
            found = lambda s, name=name: loss(start[0], {**start[1], name: s})  # noqa: E731
            expected = float(difference(found, value, 1.0, 1e-5))
            assert abs(float(slope[name]) - expected) <= 1e-5 * abs(expected)
    memory = [compiled.memory_analysis().temp_size_in_bytes for compiled in (loss, gradient)]
    assert memory[1] <= 3 * memory[0]


def test_memory_of_a_gradient_does_not_grow_with_lanes() -> None:
    """Protects the bound for global pooling, where a chunk is a small part of all pairs of pixels: what the gradient
    keeps beyond the loss is what a chunk carries from layer to layer (two values and their derivatives of 192 KiB,
    twice, as loops copy), never what is of every lane."""
    depth = 6
    network = nn.input(16, 16, 3) >> nn.repeat(depth, block()) >> nn.global_avg_pool() >> nn.dense(10)
    program, x = build(network), jnp.zeros((4, 16, 16, 3))
    memory = [
        jax.jit(f).lower(x).compile(QUICKLY).memory_analysis().temp_size_in_bytes
        for f in (lambda x: program(x, x).ntk.sum(), jax.grad(lambda x: program(x, x).ntk.sum()))
    ]
    assert memory[1] <= memory[0] + (30 + 8 * depth) * 192 * 2**10


def test_transformations_compose() -> None:
    """Protects forward mode, vmap of gradients, gradients of jit, and products with the Hessian, float64, against
    gradients and their central differences."""
    name = "smooth"
    with jax.enable_x64(True):
        x, y, d = (jnp.asarray(inputs(name, 3, seed)) for seed in range(3))

        def total(x: Any) -> Any:
            kernels = program(name)(x, y)
            return jnp.sin(kernels.nngp).sum() + jnp.cos(kernels.ntk).sum()

        @jax.jit
        def transformed(x: Any) -> Any:
            each = jax.vmap(jax.grad(total))(jnp.stack([x, x + d]))
            return jax.jvp(total, (x,), (d,))[1], each, jax.jvp(jax.grad(jax.jit(total)), (x,), (d,))

        forward, each, (slopes, product) = transformed(x)
        assert np.allclose(forward, (slopes * d).sum(), rtol=1e-10)
        assert np.allclose(each[0], slopes, rtol=1e-10)
        expected = difference(lambda x: transformed(x)[2][0], x, d, 1e-5)
        assert np.abs(product - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["mlp", "strided"])
def test_gradient_at_the_diagonal(name: str) -> None:
    """Protects k(x, x), float64: its diagonal depends on x by the variances alone, and pairs below the diagonal are
    those above. Against central differences of a sum with random weights and a heavy diagonal, error about 1e-9."""
    with jax.enable_x64(True):
        x, d = (jnp.asarray(inputs(name, 3, seed)) for seed in (0, 1))
        weights = np.random.default_rng(2).normal(size=(3, 3)) + 3 * np.eye(3)
        total = jax.jit(lambda x: (program(name)(x).ntk * weights).sum())
        expected = float(difference(total, x, d, 1e-5))
        assert abs(float((jax.grad(total)(x) * d).sum()) - expected) <= 1e-7 * abs(expected)


def test_float32_gradients_are_those_of_float64() -> None:
    """Protects the forms of integrals for float32, whose derivatives are integrals in the same forms: layers of relu,
    inputs in general position."""
    network = nn.input(8) >> nn.repeat(5, nn.dense(8, 1.4, 0.1) >> nn.relu()) >> nn.dense(1)
    x, y = np.random.default_rng(0).normal(size=(2, 4, 8))
    found = {}
    for dtype in ("float32", "float64"):
        compiled = build(network, dtype=dtype)  # type: ignore[arg-type]
        with jax.enable_x64(dtype == "float64"):
            total = lambda x, compiled=compiled: compiled(x, y.astype(x.dtype)).ntk.sum()  # noqa: E731
            found[dtype] = np.asarray(jax.grad(total)(jnp.asarray(x, dtype)), np.float64)
    assert np.abs(found["float32"] - found["float64"]).max() <= 1e-4 * np.abs(found["float64"]).max()


def test_traced_tiles_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects large matrices inside transformations, float32: values and gradients are those of one tile, padding
    included, and k(x, x) is symmetric to the last bit."""
    name = "image"
    x, y = (jnp.asarray(inputs(name, count, count), jnp.float32) for count in (5, 3))
    compiled = build(NETWORKS[name])

    def values(x: jax.Array, y: jax.Array) -> Any:
        cross, own = compiled(x, y), compiled(x)
        return jnp.sin(cross.ntk).sum() + jnp.sin(own.ntk).sum(), (cross.nngp, own.ntk)

    differentiated = jax.value_and_grad(values, (0, 1), has_aux=True)
    whole = jax.jit(differentiated)(x, y)
    monkeypatch.setattr(traced, "default_memory", lambda: 4)
    monkeypatch.setattr(traced.Tiling, "choose", lambda *arguments: Tiling(2, 2))
    tiled = jax.jit(differentiated)(x, y)
    for found, expected in zip(jax.tree.leaves(tiled), jax.tree.leaves(whole), strict=True):
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    own = np.asarray(tiled[0][1][1])
    order = [axis + 1 if axis % 2 == 0 else axis - 1 for axis in range(own.ndim)]
    assert np.array_equal(own, own.transpose(order))
