"""The rules of the layers against finite networks, exactly: no sampling, no width.

Where the output y of a network is an affine function of its weights, its covariance over random weights and
its empirical NTK are finite sums over the weights, which hold at every width: with J the derivative of y by
the weights (the same for all weights), y0 the output at weights zero and C channels,

    NNGP = sum over c of (y0_c y0_c'^T + J_c diag(std^2) J_c'^T) / C,   NTK = sum over c of J_c diag(eta) J_c'^T / C.

eta are the learning rates of the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntc.backends.jax import finite
from ntc.backends.reference import interpret
from ntc.ir import ops
from ntc.ir.build import TensorGraphBuilder
from ntc.ir.graph import Graph, tensor_op
from ntc.ir.op import Array, TensorOp, Weight
from ntc.passes.translate import Translate
from tests.assertions import assert_close, barely_compiled
from tests.formulas import phi
from tests.strategies import (
    ACTIVATIONS,
    LAYERS,
    WEIGHTLESS_LINEAR,
    affine_graphs,
    examples,
    one_op_graphs,
    ops_of,
    parameter_types,
    parameter_values,
    trials,
)


def rules(graph: Graph, x1: Array, x2: Array) -> dict[str, Array]:
    """The kernels of the rules, in the reference."""
    return interpret(Translate(dtype="f64")(graph), x1, x2)


def interleaved(covariance: Array, spatial: tuple[int, ...]) -> Array:
    """(n, positions, m, positions) as the reference lays it out: (n, m, H, H', W, W', ...)."""
    n, _, m, _ = covariance.shape
    full = covariance.reshape(n, *spatial, m, *spatial)
    axes = len(spatial)
    pairs = [axis for i in range(axes) for axis in (1 + i, 2 + axes + i)]
    return full.transpose(0, 1 + axes, *pairs)


class Affine:
    """The finite network of a graph that is affine in its weights: y0, J, and std and learning rate of the weights.

    Shapes: y0 (n, positions, C); J (n, positions, C, weights); std, rate (weights). Any weights have the same y0 and J.
    """

    def __init__(self, graph: Graph, x: Array, seed: int = 0) -> None:
        with jax.enable_x64(True):
            params = some_weights(graph, seed)
            flat, restore = flattened(params)

            def network(theta: jax.Array, x: jax.Array) -> jax.Array:
                return finite.apply(graph, restore(theta), x)

            both: Callable[..., Any] = jax.jit(
                lambda theta, x: (network(theta, x), jax.jacrev(network)(theta, x)), compiler_options=barely_compiled()
            )
            y, derivative = map(np.asarray, both(flat, x))
        self.spatial = y.shape[1:-1]
        self.jacobian = derivative.reshape(len(x), prod(self.spatial), y.shape[-1], flat.size)
        self.y0 = y.reshape(self.jacobian.shape[:3]) - self.jacobian @ np.asarray(flat)
        self.std = of_weights(graph, lambda weight: weight.std)
        self.rate = of_weights(graph, lambda weight: weight.learning_rate)

    def nngp(self, other: Affine) -> Array:
        """Covariance over random weights, a mean over channels."""
        random = np.einsum("npcw,mqcw,w->npmq", self.jacobian, other.jacobian, self.std**2)
        fixed = np.einsum("npc,mqc->npmq", self.y0, other.y0)
        return interleaved((random + fixed) / self.y0.shape[-1], self.spatial)

    def ntk(self, other: Affine) -> Array:
        """Empirical NTK, a mean over channels."""
        found = np.einsum("npcw,mqcw,w->npmq", self.jacobian, other.jacobian, self.rate) / self.y0.shape[-1]
        return interleaved(found, self.spatial)


def flattened(params: finite.Params) -> tuple[jax.Array, Callable[[jax.Array], finite.Params]]:
    """All weights as one vector, in the order of `of_weights`, and back."""
    places = [(layer, name, value) for layer, own in params.items() for name, value in own.items()]
    sizes = [value.size for _, _, value in places]

    def restore(theta: jax.Array) -> finite.Params:
        parts = jnp.split(theta, np.cumsum(sizes)[:-1]) if sizes else []
        restored: finite.Params = {layer: {} for layer in params}
        for (layer, name, value), part in zip(places, parts, strict=True):
            restored[layer][name] = part.reshape(value.shape)
        return restored

    return jnp.concatenate([value.ravel() for _, _, value in places] or [jnp.zeros(0)]), restore


def some_weights(graph: Graph, seed: int) -> finite.Params:
    """Weights of the right shapes, by NumPy, which unlike `finite.init` compiles nothing."""
    random = np.random.default_rng(seed)
    params: finite.Params = {}
    for node in graph.nodes:
        weights = tensor_op(node).weights(graph.tensor_of(node.operands[0]))
        if weights:
            params[node.name] = {name: jnp.asarray(random.normal(size=w.shape)) for name, w in weights.items()}
    return params


def of_weights(graph: Graph, value: Callable[[Weight], float]) -> Array:
    """A value of every weight, as one vector."""
    stds = [
        np.full(prod(weight.shape), value(weight))
        for node in graph.nodes
        for weight in tensor_op(node).weights(graph.tensor_of(node.operands[0])).values()
    ]
    return np.concatenate(stds) if stds else np.zeros(0)


def assert_rules_exact(graph: Graph, x1: Array, x2: Array) -> None:
    """The rules are the sums over the weights."""
    expected = rules(graph, x1, x2)
    both = Affine(graph, np.concatenate([x1, x2]))
    first, second = split(both, len(x1))
    for label, found in (("nngp", first.nngp(second)), ("ntk", first.ntk(second))):
        assert_close(found, expected[label], "exact", scale=1e-12)


def split(both: Affine, count: int) -> tuple[Affine, Affine]:
    """The networks on the first `count` examples and on the others."""
    parts = []
    for part in (slice(None, count), slice(count, None)):
        one = object.__new__(Affine)
        one.spatial, one.std, one.rate = both.spatial, both.std, both.rate
        one.jacobian, one.y0 = both.jacobian[part], both.y0[part]
        parts.append(one)
    return parts[0], parts[1]


@trials(25)
@given(st.data())
@pytest.mark.parametrize("op", LAYERS, ids=lambda op: op.name)
def test_layers_with_weights_are_exact(op: type[TensorOp], data: st.DataObject) -> None:
    """Protects w_std, b_std, bias, both parameterisations, kernel, stride, dilation and padding of the rules of
    dense and conv, and that the finite layer is the one the rules are of."""
    graph = data.draw(one_op_graphs([op]))
    assert_rules_exact(graph, data.draw(examples(graph, 2)), data.draw(examples(graph, 2)))


@trials(25)
@given(st.data())
@pytest.mark.parametrize("op", WEIGHTLESS_LINEAR, ids=lambda op: op.name)
def test_layers_without_weights_are_exact(op: type[TensorOp], data: st.DataObject) -> None:
    """Protects pools (window, stride, padding, edges), flatten and index: K of explicit feature maps is known."""
    graph = data.draw(one_op_graphs([op]))
    assert_rules_exact(graph, data.draw(examples(graph, 2)), data.draw(examples(graph, 2)))


@trials(25)
@given(st.data())
def test_networks_affine_in_their_weights_are_exact(data: st.DataObject) -> None:
    """Protects the composition of the rules: sums and concatenations of layers, under and over pools."""
    graph = data.draw(affine_graphs())
    assert_rules_exact(graph, data.draw(examples(graph, 2)), data.draw(examples(graph, 2)))


@trials(5)
@given(st.data())
def test_layers_do_not_depend_on_the_weights(data: st.DataObject) -> None:
    """Protects the premise of this file: the derivative by the weights is the same for all weights."""
    graph = data.draw(affine_graphs())
    x = data.draw(examples(graph, 2))
    first, second = Affine(graph, x, seed=1), Affine(graph, x, seed=2)
    assert_close(first.jacobian, second.jacobian, "rounding", scale=1.0)
    assert_close(first.y0, second.y0, "exact", scale=1.0)


@trials(8)
@given(st.data())
def test_concat_of_explicit_features_is_exact(data: st.DataObject) -> None:
    """Protects the weights of concat: branches count by their channels."""
    draw = data.draw
    op = draw(ops_of(draw(st.sampled_from([ops.Identity, ops.AvgPool, ops.SumPool])), 1))
    features = draw(st.integers(1, 3))
    builder = TensorGraphBuilder((4,), draw(st.integers(1, 3)))
    branches = [builder.append(ops.Identity(), [builder.input]), builder.append(ops.Dense(features), [builder.input])]
    branches += [builder.append(ops.Identity(), [builder.input])] if isinstance(op, ops.Identity) else []
    graph = builder.finish("concat", builder.append(ops.Concat(), branches))
    assert_rules_exact(graph, draw(examples(graph, 2)), draw(examples(graph, 2)))


@trials(4)
@given(st.data())
def test_initial_weights_have_the_declared_scale(data: st.DataObject) -> None:
    """Protects `init`: standard deviation of each array, over independent draws of it; 5 standard errors."""
    graph = data.draw(one_op_graphs(LAYERS))
    keys = jax.random.split(jax.random.key(data.draw(st.integers(0, 99))), 500)
    drawn = jax.vmap(lambda key: finite.init(graph, key))(keys)
    for node in graph.nodes:
        for name, weight in tensor_op(node).weights(graph.tensor_of(node.operands[0])).items():
            values = np.asarray(drawn[node.name][name], np.float64)
            assert values.shape == (500, *weight.shape)
            error = np.abs(np.mean(values**2) - weight.std**2)
            assert error <= 5 * weight.std**2 * np.sqrt(2 / values.size)
            assert np.abs(np.mean(values)) <= 5 * weight.std / np.sqrt(values.size)


@pytest.mark.parametrize("pool", [ops.AvgPool(2), ops.SumPool(2), ops.AvgPool(2, padding="same", normalize_edges=True)])
def test_finite_pools_are_differentiable_when_compiled(pool: TensorOp) -> None:
    """Protects jit of a gradient through a pool, which XLA's window sum allows only with a constant zero."""
    builder = TensorGraphBuilder((4,), 1)
    graph = builder.finish("pool", builder.append(pool, [builder.append(ops.Dense(1), [builder.input])]))
    params = finite.init(graph, jax.random.key(0))
    gradient = jax.jit(jax.grad(lambda p: finite.apply(graph, p, jnp.ones((1, 4, 1))).sum()))(params)
    assert float(np.abs(gradient["dense1"]["w"]).sum()) > 0


@trials(10)
@given(st.data())
@pytest.mark.parametrize("op", ACTIVATIONS, ids=lambda op: op.name)
def test_finite_activations_are_the_formula(op: type[TensorOp], data: st.DataObject) -> None:
    """Protects the forward pass of the nonlinearities, which Monte Carlo relies on, at 0 and at any sign."""
    activation = data.draw(ops_of(op, 0))
    x = np.array([-2.0, -0.5, 0.0, 0.25, 3.0])
    row = next(finite.FORWARD[cls] for cls in type(activation).__mro__ if cls in finite.FORWARD)
    with jax.enable_x64(True):
        found = np.asarray(row(activation, {}, jnp.asarray(x)))
    assert_close(found, phi(activation)(x), "rounding", scale=1.0)


def test_parameters_are_drawn_for_every_op() -> None:
    """Protects the generators: a field whose annotation they do not know would silently never be tested."""
    for op in ops.TENSOR_OPS.values():
        for annotation in parameter_types(op).values():
            parameter_values(annotation, 2)
