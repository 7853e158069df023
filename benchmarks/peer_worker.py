"""One network in the layer API of Neural Tangents, by its `stax` or by ours, in a process of its own.

python peer_worker.py CASE INPUTS.npz OUTPUT.npz REPEAT neural_tangents|ntc
"""

import json
import sys
import time
from importlib import import_module

import jax
import numpy as np
from memory import peak_memory

MODULE = sys.argv[-1]
nt, stax = import_module(MODULE), import_module(f"{MODULE}.stax")
_W = 2**0.5


def _layers(count):
    return [stax.Conv(1, (3, 3), W_std=_W, padding="SAME"), stax.Relu()] * count


def _pool():
    return stax.AvgPool((2, 2), strides=(2, 2))


def _block(strides=(1, 1), project=False):
    main = stax.serial(
        stax.Relu(), stax.Conv(1, (3, 3), strides, padding="SAME"), stax.Relu(), stax.Conv(1, (3, 3), padding="SAME")
    )
    shortcut = stax.Conv(1, (3, 3), strides, padding="SAME") if project else stax.Identity()
    return stax.serial(stax.FanOut(2), stax.parallel(main, shortcut), stax.FanInSum())


def _wrn(n):
    blocks = [_block(strides, i == 0) for first in ((1, 1), (2, 2), (2, 2)) for i, strides in _strides(n, first)]
    return stax.serial(stax.Conv(1, (3, 3), padding="SAME"), *blocks, stax.GlobalAvgPool(), stax.Dense(1))


def _strides(n, first):
    return [(i, first if i == 0 else (1, 1)) for i in range(n)]


def _myrtle(counts):
    groups = [layer for count in counts for layer in (*_layers(count), _pool())]
    return stax.serial(*groups, _pool(), _pool(), stax.Flatten(), stax.Dense(1, _W))


NETWORKS = {
    "cnn_global_pool": lambda: stax.serial(*_layers(21), stax.GlobalAvgPool(), stax.Dense(1)),
    "wrn": lambda: _wrn(4),
    "cnn_pools": lambda: stax.serial(
        *_layers(4), _pool(), *_layers(4), _pool(), *_layers(2), stax.Flatten(), stax.Dense(1)
    ),
    "myrtle5": lambda: _myrtle((2, 1, 1)),
    "myrtle10": lambda: _myrtle((3, 3, 3)),
    "cnn_flatten": lambda: stax.serial(*_layers(21), stax.Flatten(), stax.Dense(1)),
    "fully_connected": lambda: stax.serial(*[stax.Dense(1, _W), stax.Relu()] * 5, stax.Dense(1)),
}


def main(case, inputs, output, repeat, _):
    """Writes both kernels, and the seconds of the first call and of the best later one, to a file."""
    arrays = np.load(inputs)
    x1, x2 = arrays["x1"], arrays.get("x2", None)
    start = time.perf_counter()
    _, _, kernel_fn = NETWORKS[case.removesuffix("_self")]()

    def function(x1, x2):
        return kernel_fn(x1, x2, ("nngp", "ntk"))

    if MODULE != "ntc":
        function = jax.jit(function)
    seconds = []
    for _ in range(1 + int(repeat)):
        kernels = jax.block_until_ready(function(x1, x2))
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    report = {"first": seconds[0], "best": min(seconds[1:]), "memory": peak_memory(), "version": nt.__version__}
    np.savez(output, nngp=kernels.nngp, ntk=kernels.ntk, report=json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
