"""A network of `peer_worker` as StableHLO, for an accelerator: by Neural Tangents, in an environment of its own.

python peer_export.py CASE cuda|tpu EXAMPLES SHAPE OUTPUT, with SHAPE as 32,32,3
"""

import sys

import jax
import jax.numpy as jnp
from jax import export

sys.argv, arguments = [*sys.argv, "neural_tangents"], sys.argv[1:]
from peer_worker import NETWORKS  # noqa: E402  # which reads the module's name from the command line


def main(case, target, examples, shape, output):
    """Writes the program that gives both kernels of so many examples on each side."""
    _, _, kernel_fn = NETWORKS[case]()
    x = jax.ShapeDtypeStruct((int(examples), *map(int, shape.split(","))), jnp.float32)
    function = jax.jit(lambda x1, x2: kernel_fn(x1, x2, ("nngp", "ntk"))[:2])
    with open(output, "wb") as file:
        file.write(export.export(function, platforms=[target])(x, x).serialize())


if __name__ == "__main__":
    main(*arguments)
