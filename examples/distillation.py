"""Data-set distillation: ten images that stand for a hundred, found by gradients through an infinitely wide network.

    python examples/distillation.py

Kernel inducing points (Nguyen et al. 2021, arXiv:2011.00050): the images of a small training set, and the scales of the
network's weights and biases, descend the loss of kernel ridge regression on scikit-learn's 8x8 digits.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

import ntc
from ntc import nn

CLASSES, TARGETS, TEST, RIDGE, RATE = 10, 100, 400, 1e-3, 0.1
conv = nn.conv(64, 3, w_std=nn.hyper(1.4), b_std=nn.hyper(0.1))
NETWORK = nn.input(8, 8, 1) >> conv >> nn.relu() >> nn.avg_pool(2) >> conv >> nn.relu() >> nn.flatten() >> nn.dense(10)

Learned = dict[str, Any]
"""`images` (10, 8, 8, 1), and `logarithms` of hyperparameters by name, so that these stay above zero."""


def predictions(program: ntc.Program, learned: Learned, x: Any) -> jax.Array:
    """Kernel ridge regression (n, classes) at images x, trained on one learned image of each class."""
    images, hyper = learned["images"], jax.tree.map(jnp.exp, learned["logarithms"])
    train, cross = program(images, hyper=hyper).ntk, program(x, images, hyper=hyper).ntk
    assert train is not None
    assert cross is not None
    ridge = RIDGE * jnp.trace(train) / CLASSES * jnp.eye(CLASSES)
    return cross @ jnp.linalg.solve(train + ridge, jnp.eye(CLASSES) - 1 / CLASSES)


def descend(loss: Callable[[Learned], jax.Array], learned: Learned, steps: int) -> Learned:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980), whose programs are compiled once."""
    step = jax.jit(jax.value_and_grad(loss))
    mean = square = jax.tree.map(jnp.zeros_like, learned)
    for number in range(1, steps + 1):
        value, slope = step(learned)
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, slope)
        square = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g**2, square, slope)
        scale = RATE * np.sqrt(1 - 0.999**number) / (1 - 0.9**number)
        change = jax.tree.map(lambda m, s: m / (jnp.sqrt(s) + 1e-8), mean, square)
        learned = jax.tree.map(jnp.add, learned, jax.tree.map(partial(jnp.multiply, -scale), change))
        if number % 10 == 0 or number == 1:
            print(f"step {number:3}: loss {value:.4f}")
    return learned


def main() -> None:
    """Prints the loss as it falls, and accuracies before and after."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    steps = parser.parse_args().steps
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))[: TARGETS + TEST]
    x = ((pixels - pixels.mean()) / pixels.std())[order].reshape(-1, 8, 8, 1).astype(np.float32)
    y = labels[order]
    goal = np.eye(CLASSES, dtype=np.float32)[y[:TARGETS]] - np.float32(1 / CLASSES)
    program = ntc.build(NETWORK, kernels=("ntk",))
    first = [int(np.flatnonzero(y == label)[0]) for label in range(CLASSES)]
    learned: Learned = {
        "images": jnp.asarray(x[first]),
        "logarithms": {name: jnp.log(jnp.float32(value)) for name, value in program.hyper.items()},
    }

    def accuracy(learned: Learned) -> float:
        return float(np.mean(predictions(program, learned, x[TARGETS:]).argmax(1) == y[TARGETS:]))

    print(f"one image of each class: accuracy {accuracy(learned):.3f} on {TEST} others")
    start = time.perf_counter()
    learned = descend(lambda z: jnp.mean((predictions(program, z, x[:TARGETS]) - goal) ** 2), learned, steps)
    print(f"one distilled image of each class: accuracy {accuracy(learned):.3f}, {time.perf_counter() - start:.0f} s")
    print("hyperparameters:", ", ".join(f"{name} {np.exp(x):.3f}" for name, x in learned["logarithms"].items()))


if __name__ == "__main__":
    main()
