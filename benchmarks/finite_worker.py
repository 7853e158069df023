"""Empirical NTKs of finite networks, in a process of its own: python finite_worker.py LIBRARY OUTPUT.json [quick].

LIBRARY is `ntc` or `neural_tangents`, with the interpreter of its environment. Networks are plain functions, the same
for both. Writes seconds of the fastest call and bytes of XLA's temporaries, by network and implementation; with
`quick` of the first network only, which is called three times.
"""

import importlib
import json
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp

EXAMPLES, OUTPUTS = 8, 10
REPEAT, SECONDS = 5, 1.0


def dense_params(key, depth, width, inputs):
    sizes = [inputs, *[width] * depth, OUTPUTS]
    keys = jax.random.split(key, depth + 1)
    return [jax.random.normal(k, (a, b)) / a**0.5 for k, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True)]


def dense_net(params, x):
    for w in params[:-1]:
        x = jax.nn.relu(x @ w)
    return x @ params[-1]


def residual_params(key, depth, width):
    keys = jax.random.split(key, depth + 2)
    filters = [jax.random.normal(keys[0], (3, 3, 3, width)) / 27**0.5]
    filters += [jax.random.normal(k, (3, 3, width, width)) / (9 * width) ** 0.5 for k in keys[1:-1]]
    return filters, jax.random.normal(keys[-1], (width, OUTPUTS)) / width**0.5


def residual_net(params, x):
    filters, last = params

    def conv(x, w):
        return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    x = conv(x, filters[0])
    for first, second in zip(filters[1::2], filters[2::2], strict=True):
        x = x + conv(jax.nn.relu(conv(jax.nn.relu(x), first)), second)
    return x.mean((1, 2)) @ last


KEY = jax.random.PRNGKey(0)
NETWORKS = {}  # by name: the function, what draws its parameters, and the shape of an example
for width in (64, 256, 1024):
    NETWORKS[f"fully connected, 4 x {width}"] = (dense_net, partial(dense_params, KEY, 4, width, 64), (64,))
for depth in (1, 8, 16):
    NETWORKS[f"fully connected, {depth} x 256"] = (dense_net, partial(dense_params, KEY, depth, 256, 64), (64,))
for width in (8, 32):
    NETWORKS[f"residual convolutional, 16x16, 8 x {width}"] = (
        residual_net,
        partial(residual_params, KEY, 8, width),
        (16, 16, 3),
    )


def jacobian_contraction(f):
    """Plain JAX: Jacobians, multiplied."""

    def ntk(x1, x2, params):
        def flat(x):
            leaves = jax.tree_util.tree_leaves(jax.jacobian(f)(params, x))
            return [leaf.reshape(leaf.shape[0], OUTPUTS, -1) for leaf in leaves]

        return sum(jnp.einsum("aip,bip->ab", a, b) for a, b in zip(flat(x1), flat(x2), strict=True)) / OUTPUTS

    return ntk


def measured(function, *arguments, repeat, at_least):
    compiled = jax.jit(function).lower(*arguments).compile()
    seconds = []
    while len(seconds) < repeat or sum(seconds) < at_least:
        start = time.perf_counter()
        values = jax.block_until_ready(compiled(*arguments))
        seconds.append(time.perf_counter() - start)
    memory = compiled.memory_analysis().temp_size_in_bytes
    return {"seconds": min(seconds[1:]), "memory": memory, "sum": float(values.sum())}


def implementations(library):
    module = importlib.import_module(library)
    found = {}
    for name in ("JACOBIAN_CONTRACTION", "NTK_VECTOR_PRODUCTS", "STRUCTURED_DERIVATIVES", "AUTO"):
        how = module.NtkImplementation[name]
        found[name] = lambda f, how=how: module.empirical_ntk_fn(f, vmap_axes=0, implementation=how)
    if library == "ntc":
        found["jax.jacobian"] = jacobian_contraction
    return found


def main(library, output, quick=""):
    rows = {}
    sizes = {"repeat": 3, "at_least": 0.0} if quick else {"repeat": REPEAT, "at_least": SECONDS}
    for name, (f, draw, shape) in list(NETWORKS.items())[: 1 if quick else None]:
        params = draw()
        x1, x2 = (jax.random.normal(k, (EXAMPLES, *shape)) for k in jax.random.split(KEY))
        found = implementations(library).items()
        rows[name] = {how: measured(make(f), x1, x2, params, **sizes) for how, make in found}
    with open(output, "w") as file:
        json.dump(rows, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
