"""The rules against the mean over random finite networks.

With one nonlinear layer the mean over weights of the sample covariance and of the empirical NTK is the rule
itself at every width, since hidden units are independent and the weights above are independent of them: no
bias, only chance, so the bound is 5 standard errors of the mean. With more nonlinear layers the mean has a
bias of c / width + O(1 / width^2), which the extrapolation 2 m(2 w) - m(w) removes to first order.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntc import nn
from ntc.backends.jax import finite
from ntc.backends.reference import interpret
from ntc.frontend.layers import Layer, Network
from ntc.ir.graph import Graph, tensor_op
from ntc.ir.op import Array
from ntc.passes.translate import Translate
from tests.assertions import QUICKLY_COMPILED, assert_unbiased
from tests.marks import others_slow

W = 16
"""Hidden width of the networks without bias: small, so that the same time draws more of them."""

MASKS = 2**31 - 1
"""Number of the key of dropout, beyond those of layers."""

DENSE = nn.input(3)
IMAGE = nn.input(4, 4, 2)
LINE = nn.input(5, 2)
top = partial(nn.dense, 2, 1.3, 0.2)
hidden = partial(nn.dense, W, 1.2, 0.3)


conv = partial(nn.conv, W, 3, w_std=1.2, b_std=0.3)


def branch(activation: Layer) -> Layer:
    return nn.serial(hidden(), activation, nn.dense(W, 1.1, 0.1))


ONE_NONLINEAR_LAYER: dict[str, Network] = {
    "relu": DENSE >> hidden() >> nn.relu() >> top(),
    "leaky_relu": DENSE >> hidden() >> nn.leaky_relu(0.3) >> top(),
    "ab_relu": DENSE >> hidden() >> nn.ab_relu(-0.5, 1.5) >> top(),
    "abs": DENSE >> hidden() >> nn.abs() >> top(),
    "hard_tanh": DENSE >> hidden() >> nn.hard_tanh() >> top(),
    "elu": DENSE >> hidden() >> nn.elu(1.5) >> top(),
    "erf": DENSE >> hidden() >> nn.erf() >> top(),
    "erf_shifted": DENSE >> hidden() >> nn.erf(1.2, 0.8, 0.5) >> top(),
    "erf_no_readout": DENSE >> hidden() >> nn.erf(1.2, 0.8),
    "residual": DENSE >> nn.sum(nn.serial(hidden(), nn.relu(), nn.dense(3, 1.1)), nn.identity()) >> top(),
    "residual_relu": DENSE >> hidden() >> nn.relu() >> nn.sum(nn.dense(W, 0.9), nn.identity()) >> top(),
    "product": DENSE >> nn.product(branch(nn.relu()), branch(nn.erf())) >> top(),
    "product_of_three": DENSE >> nn.product(hidden(), nn.dense(W), nn.serial(hidden(), nn.abs())) >> top(),
    "concat": DENSE >> nn.concat(nn.serial(hidden(), nn.relu()), nn.serial(nn.dense(5), nn.erf())) >> top(),
    "standard": DENSE >> nn.dense(W, 1.2, 0.3, "standard") >> nn.relu() >> nn.dense(2, 1.3, 0.2, "standard"),
    "standard_no_bias": DENSE
    >> nn.dense(W, 1.2, 0.3, "standard", bias=False)
    >> nn.erf()
    >> nn.dense(2, 1.3, 0.2, "standard", bias=False),
    "standard_wide": DENSE
    >> nn.dense(W, 1.2, 0.3, "standard")
    >> nn.relu()
    >> nn.dense(2, 1.3, 0.2, "standard", width_ratio=4.0),
    "learning_rates": DENSE >> hidden(learning_rate=0.5) >> nn.relu() >> nn.dense(2, 1.3, 0.2, learning_rate=2.0),
    "last_layer_only": DENSE >> hidden(learning_rate=0.0) >> nn.relu() >> top(),
    "conv_flatten": LINE >> conv() >> nn.relu() >> nn.flatten() >> top(),
    "conv_dilated_index": LINE >> conv(dilation=2) >> nn.relu() >> nn.index((-2,)) >> top(),
    "conv_avg_pool": IMAGE >> conv() >> nn.relu() >> nn.avg_pool(2) >> nn.flatten() >> top(),
    "conv_pool_edges": LINE >> conv() >> nn.abs() >> nn.avg_pool(3, 2, "same", True) >> nn.flatten() >> top(),
    "conv_circular_sum": LINE >> conv(padding="circular") >> nn.erf() >> nn.sum_pool(3, 2, "circular"),
    "conv_strided_global": IMAGE >> conv(stride=2) >> nn.relu() >> nn.global_avg_pool() >> top(),
    "conv_conv": LINE >> conv() >> nn.relu() >> nn.conv(2, 2, w_std=1.4, b_std=0.1, padding="valid"),
    "resize": nn.input(4, 3, 2) >> conv() >> nn.relu() >> nn.resize((3, 2)) >> nn.flatten() >> top(),
    "slice_pad": IMAGE >> conv() >> nn.relu() >> nn.slice((1, 0), (4, -1), 2) >> nn.pad(1, 0) >> nn.conv(2, 2),
    "matrix_transpose": nn.input(3, 2, 2)
    >> conv()
    >> nn.abs()
    >> nn.matrix(((1.0, -0.5, 2.0), (0.0, 0.3, 1.0)))
    >> nn.transpose()
    >> nn.conv(2, (1, 2), padding="valid"),
    "conv_transpose": LINE
    >> nn.conv_transpose(W, 3, 2, "same", 1.2, 0.3)
    >> nn.relu()
    >> nn.global_avg_pool()
    >> top(),
    "conv_local": LINE >> nn.conv_local(W, 3, w_std=1.2, b_std=0.3) >> nn.relu() >> nn.global_avg_pool() >> top(),
    "grouped_conv": LINE >> conv() >> nn.relu() >> nn.grouped_conv(4, 2, 2, w_std=1.2) >> nn.global_avg_pool() >> top(),
    "separable_conv": LINE
    >> nn.conv(2, 3, w_std=1.2, b_std=0.3)
    >> nn.relu()
    >> nn.depthwise_conv(3, 2, w_std=1.2, b_std=0.3)
    >> nn.dense(1, 1.3, 0.2),
    "side_by_side": LINE >> nn.concat_spatial(conv(), conv(stride=2)) >> nn.relu() >> nn.global_avg_pool() >> top(),
    "conv_standard": LINE
    >> nn.conv(W, 3, w_std=1.2, b_std=0.3, parameterization="standard")
    >> nn.relu()
    >> nn.conv(2, 2, 2, w_std=1.4, parameterization="standard")
    >> nn.global_sum_pool(),
    "dense_axis": LINE >> conv() >> nn.relu() >> nn.dense(4, 1.3, 0.2, axis=0),
    "dense_axis_standard": IMAGE >> nn.dense(5, 1.2, 0.3, "standard", axis=1) >> nn.flatten() >> top(),
    "dropout": DENSE >> hidden() >> nn.relu() >> nn.dropout(0.7) >> top(),
    "dropout_no_readout": LINE >> nn.dense(W, 1.2) >> nn.dropout(0.4),
    "dropout_twice_pool": LINE
    >> nn.dense(W, 1.2)
    >> nn.dropout(0.8)
    >> nn.dropout(0.5)
    >> nn.avg_pool(2)
    >> nn.flatten()
    >> top(),
    "attention_square_root": LINE >> nn.self_attention(2, 3, 2, 2, False, "linear", 1.2, 0.8, 1.1, 1.3, 0.2),
    "attention_square_root_pool": IMAGE
    >> nn.self_attention(2, 3, 2, 2, False, "linear", b_std=0.3)
    >> nn.global_avg_pool()
    >> top(),
}


def deep(width: int) -> dict[str, Network]:
    """Networks of more than one nonlinear layer, at any width."""
    dense, filters = partial(nn.dense, width, 1.3, 0.2), partial(nn.conv, width, 3, w_std=1.3, b_std=0.2)
    block = nn.sum(nn.serial(nn.relu(), dense()), nn.identity())
    convolutional = nn.serial(filters(), nn.relu(), filters(), nn.relu(), nn.global_avg_pool(), top())
    return {
        "three_layers": DENSE >> dense() >> nn.relu() >> dense() >> nn.erf() >> dense() >> nn.abs() >> top(),
        "residual_blocks": DENSE >> dense() >> nn.repeat(2, block) >> nn.relu() >> top(),
        "convolutional": LINE >> convolutional,
        "layer_norm": DENSE >> dense() >> nn.layer_norm() >> nn.relu() >> top(),
        "layer_norm_erf": DENSE >> dense() >> nn.erf() >> nn.layer_norm(eps=0.1) >> top(),
        "layer_norm_all": LINE >> dense() >> nn.layer_norm("all") >> nn.flatten() >> top(),
        "attention": LINE >> nn.self_attention(2, width, 2, 2, True, "linear", 1.2, 0.8, 1.1, 1.3, 0.2),
        "attention_rectified": LINE
        >> nn.self_attention(2, width, 2, 2, mechanism="rectified")
        >> nn.flatten()
        >> top(),
        "attention_softmax": LINE >> nn.self_attention(2, width, 2, 2) >> nn.global_avg_pool() >> top(),
        "attention_embedded": LINE >> dense() >> nn.self_attention(2, width, 2, 2, embedding="added", decay="inverse"),
        "attention_embedded_values": LINE
        >> dense()
        >> nn.self_attention(
            2, 3, 2, 2, False, "linear", embedding="concatenated", embedding_channels=2 * width, embed_values=True
        ),
    }


def inputs(network: Network | Graph) -> Array:
    """Four examples, two of them close to parallel."""
    shape = (*network.first.spatial, network.first.channels) if isinstance(network, Network) else ()
    x = np.random.default_rng(1).normal(size=(4, *shape))
    x[3] = 0.9 * x[0] + 0.2 * x[1]
    return x


def sampled(graph: Graph, x: Array, count: int, seed: int) -> tuple[Array, Array]:
    """Sample covariance and empirical NTK of `count` random networks, both means over output channels."""

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        params = finite.init(graph, key, jnp.float64)
        masks = jax.random.fold_in(key, MASKS)

        def network(params: finite.Params) -> jax.Array:
            return jnp.moveaxis(finite.apply(graph, params, jnp.asarray(x), masks), -1, 0)

        def channel(index: jax.Array) -> jax.Array:
            """Empirical NTK of one output channel."""
            rows = jax.tree.leaves(jax.jacrev(lambda p: network(p)[index])(params))
            axes = y.ndim - 1
            flat = [row.reshape(*y.shape[1:], -1) for row in rows]
            terms = [rate * jnp.tensordot(row, row, (axes, axes)) for rate, row in zip(rates, flat, strict=True)]
            return sum(terms)  # type: ignore[return-value]

        y = network(params)
        covariance = jnp.mean(jax.vmap(lambda c: jnp.tensordot(c, c, 0))(y), 0)
        chosen = jnp.arange(min(2, len(y)))
        return covariance, jax.lax.map(channel, chosen).mean(0)

    rates = jax.tree.leaves(
        {
            node.name: {name: w.learning_rate for name, w in weights.items()}
            for node in graph.nodes
            if (weights := tensor_op(node).weights(graph.tensor_of(node.operands[0])))
        }
    )
    keys = jax.random.split(jax.random.key(seed), count)
    # One network after another: a batch would make of every filter a convolution of groups, which is slow.
    every = jax.jit(lambda keys: jax.lax.map(one, keys), compiler_options=QUICKLY_COMPILED)
    return every(keys)  # type: ignore[no-any-return]


def as_reference(samples: Array) -> Array:
    """(samples, n, *spatial, m, *spatial) as the reference lays it out: (samples, n, m, H, H', ...)."""
    half = (samples.ndim - 1) // 2
    return samples.transpose(0, *[axis for i in range(half) for axis in (1 + i, 1 + half + i)])


@pytest.mark.parametrize("name", others_slow(ONE_NONLINEAR_LAYER, list(ONE_NONLINEAR_LAYER)[::2]))
def test_mean_over_networks_is_the_rule(name: str) -> None:
    """Protects both kernels of every op in a network, including cross terms that the rules say vanish."""
    network = ONE_NONLINEAR_LAYER[name]
    x = inputs(network)
    expected = interpret(Translate(dtype="f64", between="self")(network.graph()), x)
    with jax.enable_x64(True):
        covariance, ntk = map(np.asarray, sampled(network.graph(), x, 1000, seed=0))
    assert_unbiased(as_reference(covariance), expected["nngp"])
    assert_unbiased(as_reference(ntk), expected["ntk"])


@pytest.mark.parametrize("name", others_slow(deep(1), list(deep(1))[::3]))
def test_deep_networks_converge_to_the_rule(name: str) -> None:
    """Protects the limit itself: extrapolated from widths 16 and 32, the mean is the rule up to chance."""
    x = inputs(deep(1)[name])
    found = []
    with jax.enable_x64(True):
        for width, seed in ((16, 1), (32, 2)):
            found.append(list(map(np.asarray, sampled(deep(width)[name].graph(), x, 400, seed))))
    expected = interpret(Translate(dtype="f64", between="self")(deep(1)[name].graph()), x)
    for narrow, wide, label in zip(*found, ("nngp", "ntk"), strict=True):
        assert_unbiased(as_reference(2 * wide - narrow), expected[label])
