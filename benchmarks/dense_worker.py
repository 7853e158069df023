"""A fully connected network in the layer API of Neural Tangents, by its `stax` or by ours, in a process of its own.

python dense_worker.py MODULE NETWORK between|self called|jitted EXAMPLES REPEAT
"""

import json
import sys
import time
from importlib import import_module

import jax
import numpy as np

MODULE = sys.argv[1]
stax = import_module(f"{MODULE}.stax")

ACTIVATIONS = {"relu": stax.Relu, "erf": stax.Erf, "gelu": stax.Gelu, "sin": stax.Sin}


def network(name):
    """Five hidden layers; `listing3` is Listing 3 of the seed paper on images: arXiv:1912.02803."""
    if name == "listing3":
        hidden = [stax.Dense(1, 1.5, 0.05), stax.Erf()] * 5
        return stax.serial(stax.Flatten(), *hidden, stax.Dense(1, 1.5, 0.05)), (32, 32, 3)
    hidden = [stax.Dense(1, 2**0.5), ACTIVATIONS[name]()] * 5
    return stax.serial(*hidden, stax.Dense(1)), (3072,)


def main(name, between, mode, examples, repeat):
    """Prints seconds of the first call beyond a later one, and of the fastest later one."""
    random = np.random.default_rng(0)
    start = time.perf_counter()
    (_, _, kernel_fn), shape = network(name)
    x1, x2 = (random.normal(size=(int(examples), *shape)).astype(np.float32) for _ in range(2))
    x2 = x2 if between == "between" else None

    def function(x1, x2):
        return kernel_fn(x1, x2, ("nngp", "ntk"))

    if mode == "jitted":
        function = jax.jit(function)
    seconds = []
    for _ in range(1 + int(repeat)):
        jax.block_until_ready(function(x1, x2))
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    best = min(seconds[1:])
    print(json.dumps({"compile": seconds[0] - best, "run": best}))


if __name__ == "__main__":
    main(*sys.argv[2:])
