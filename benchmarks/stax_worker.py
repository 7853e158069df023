"""First and later calls in the layer API of Neural Tangents, by its `stax` or by ours, by the interpreter that has it.

python stax_worker.py neural_tangents|ntc CASE called|jitted REPEAT
"""

import json
import sys
import time
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np

MODULE = sys.argv[1]
library, stax = import_module(MODULE), import_module(f"{MODULE}.stax")


def blocks(count):
    """Kernels of residual blocks of one dense layer each, of vectors."""
    block = stax.serial(
        stax.FanOut(2),
        stax.parallel(stax.Identity(), stax.serial(stax.Relu(), stax.Dense(64, 1.4, 0.1))),
        stax.FanInSum(),
    )
    kernel_fn = stax.serial(stax.Dense(64), *[block] * count, stax.Relu(), stax.Dense(1))[2]
    return (lambda x1, x2: kernel_fn(x1, x2, "ntk")), (32,)


def scales():
    """Kernels of fifteen layers with scales of their own, of vectors."""
    layers = [layer for i in range(15) for layer in (stax.Dense(64, 1.2 + i / 50, 0.1 + i / 100), stax.Relu())]
    kernel_fn = stax.serial(*layers, stax.Dense(1))[2]
    return (lambda x1, x2: kernel_fn(x1, x2, "ntk")), (32,)


def attention():
    """Predictions of trained networks with attention, of sequences of which some positions are missing."""
    layers = [stax.GlobalSelfAttention(8, 4, 4, 2, pos_emb_type="SUM"), stax.LayerNorm(), stax.Dense(8), stax.Relu()]
    kernel_fn = stax.serial(stax.Dense(8), *layers, *layers, stax.GlobalAvgPool(), stax.Dense(1))[2]

    def predictions(x1, x2):
        def masked(*args, **kwargs):
            return kernel_fn(*args, mask_constant=100.0, **kwargs)

        y = jnp.sin(jnp.arange(len(x1)))[:, None]
        predict_fn = library.predict.gradient_descent_mse_ensemble(masked, x1, y, diag_reg=1e-3)
        return predict_fn(x_test=x2, get="ntk", compute_cov=True)

    return predictions, (12, 4)


def fourth_derivative():
    """The fourth derivative of a kernel along its input, of two layers."""
    kernel_fn = stax.serial(stax.Dense(8), stax.Gelu(), stax.Dense(8), stax.Gelu(), stax.Dense(1))[2]

    def derivative(x1, x2):
        def entry(t):
            return kernel_fn(t * x1[:1], x2[:1], "ntk")[0, 0]

        for _ in range(4):
            entry = jax.grad(entry)
        return entry(1.0)

    return derivative, (8,)


CASES = {
    **{f"blocks{count}": lambda count=count: blocks(count) for count in (2, 5, 20, 80)},
    "scales": scales,
    "attention": attention,
    "fourth_derivative": fourth_derivative,
}


def main(case, mode, repeat):
    """Prints seconds of the first call, and of the median later one."""
    jax.block_until_ready(jax.jit(lambda x: x + 1)(1.0))
    start = time.perf_counter()
    function, shape = CASES[case]()
    x1, x2 = (np.random.default_rng(n).normal(size=(n, *shape)).astype(np.float32) for n in (10, 12))
    if case == "attention":
        x1[:, -2:], x2[3:, -1:] = 100.0, 100.0
    function = jax.jit(function) if mode == "jitted" else function
    seconds = []
    for _ in range(1 + int(repeat)):
        jax.block_until_ready(function(x1, x2))
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    print(json.dumps({"first": seconds[0], "later": float(np.median(seconds[1:])) if seconds[1:] else 0.0}))


if __name__ == "__main__":
    main(*sys.argv[2:])
