"""Calls of `kernel_fn` in the layer API of Neural Tangents, by its `stax` or by ours, with the interpreter that has it.

python stax_worker.py neural_tangents|ntc BLOCKS REPEAT
"""

import json
import sys
import time
from importlib import import_module

import jax
import numpy as np


def network(stax, blocks):
    """Residual blocks of one dense layer each."""
    block = stax.serial(
        stax.FanOut(2),
        stax.parallel(stax.Identity(), stax.serial(stax.Relu(), stax.Dense(64, 1.4, 0.1))),
        stax.FanInSum(),
    )
    return stax.serial(stax.Dense(64), *[block] * blocks, stax.Relu(), stax.Dense(1))


def main(module, blocks, repeat):
    """Prints seconds of the first call, which is jitted for the peer, and of the median later one."""
    stax = import_module(module + ".stax")
    x1, x2 = (np.random.default_rng(n).normal(size=(n, 32)).astype(np.float32) for n in (10, 12))
    jax.block_until_ready(jax.jit(lambda x: x + 1)(x1))
    start = time.perf_counter()
    _, _, kernel_fn = network(stax, int(blocks))
    if module != "ntc":
        kernel_fn = jax.jit(kernel_fn, static_argnums=(2,))
    seconds = []
    for _ in range(1 + int(repeat)):
        jax.block_until_ready(kernel_fn(x1, x2, "ntk"))
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    print(json.dumps({"first": seconds[0], "later": float(np.median(seconds[1:]))}))


if __name__ == "__main__":
    main(*sys.argv[1:])
