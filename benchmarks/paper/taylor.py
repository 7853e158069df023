"""Figure 6 of Novak et al. 2020: a finite network in training beside its Taylor expansions around the initial weights.

python -m benchmarks.paper.taylor

The paper has a convolutional network and CIFAR-10; here are the handwritten digits of scikit-learn, 8x8 pixels, and a
convolutional network of two layers, trained by full-batch gradient descent with momentum on half the mean of squares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

import ntc
from benchmarks.measure import markdown
from benchmarks.paper.output import command, figure, save
from ntc import nn

WIDTHS, TRAIN, TEST, STEPS, EVERY = (16, 64), 128, 200, 300, 10
RATE, MOMENTUM = 1.0, 0.9
MODELS = ("network", "first order", "second order")

Array = npt.NDArray[Any]


def network(width: int) -> Any:
    """Two convolutions of a stride of two, with gelu, and a readout."""
    layer = nn.serial(nn.conv(width, 3, 2, w_std=1.4, b_std=0.1), nn.gelu())
    return ntc.build(nn.input(8, 8, 1) >> layer >> layer >> nn.flatten() >> nn.dense(10))


def data(train: int, test: int) -> tuple[Array, Array, Array, Array]:
    """Training inputs and targets, test inputs and targets; targets are one-hot vectors of mean zero."""
    pixels, labels = load_digits(return_X_y=True)
    x = ((pixels - pixels.mean()) / pixels.std()).reshape(-1, 8, 8, 1).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(x))[: train + test]
    y = ntc.predict.one_hot(labels[order], 10).astype(np.float32)
    return x[order[:train]], y[:train], x[order[train:]], y[train:]


def models(program: Any, params: Any) -> dict[str, Callable[..., Any]]:
    """The network and its expansions."""
    expansions = (ntc.linearize(program.apply, params), ntc.taylor_expand(program.apply, params, 2))
    return dict(zip(MODELS, (program.apply, *expansions), strict=True))


def curves(f: Callable[..., Any], params: Any, x: Array, y: Array, test: Array, steps: int, every: int) -> Any:
    """Training loss, (times,), and outputs at the test inputs, (times, test, 10), every so many steps."""

    def loss(params: Any) -> jax.Array:
        return 0.5 * jnp.mean((f(params, x) - y) ** 2)

    def step(_: int, state: Any) -> Any:
        params, velocity = state
        velocity = jax.tree.map(lambda v, g: MOMENTUM * v - RATE * g, velocity, jax.grad(loss)(params))
        return jax.tree.map(jnp.add, params, velocity), velocity

    def block(state: Any, _: None) -> Any:
        found = loss(state[0]), f(state[0], test)
        return jax.lax.fori_loop(0, every, step, state), found

    start = params, jax.tree.map(jnp.zeros_like, params)
    return jax.jit(lambda state: jax.lax.scan(block, state, None, length=steps // every + 1)[1])(start)


def main(quick: bool = False) -> str:
    """Distances between outputs at the test inputs at the end; draws docs/taylor.png, unless it is a `quick` run."""
    every, steps, train, test = (10, 20, 16, 16) if quick else (EVERY, STEPS, TRAIN, TEST)
    x, y, x_test, y_test = data(train, test)
    rows: list[tuple[object, ...]] = []
    drawn: dict[int, Any] = {}
    for width in WIDTHS[:1] if quick else WIDTHS:
        program = network(width)
        params = program.init(jax.random.key(0))
        found = {name: curves(f, params, x, y, x_test, steps, every) for name, f in models(program, params).items()}
        losses, outputs = ({name: np.asarray(x[i]) for name, x in found.items()} for i in (0, 1))
        right = outputs["network"][-1]
        for name in MODELS:
            distance = np.linalg.norm(outputs[name][-1] - right) / np.linalg.norm(right)
            accuracy = np.mean(outputs[name][-1].argmax(1) == y_test.argmax(1))
            rows.append((width, name, float(losses[name][-1]), float(distance), float(accuracy)))
        drawn[width] = losses, outputs
    save(_draw(drawn, every), "taylor", quick)
    return markdown(("width", "model", "training loss", "distance from the network", "test accuracy"), rows)


def _draw(found: dict[int, Any], every: int) -> Any:
    drawn = figure(10, 3.6)
    panels = drawn.subplots(1, 2)
    for (width, (losses, outputs)), style in zip(found.items(), ("--", "-"), strict=False):
        steps = np.arange(len(losses["network"])) * every
        norms = np.linalg.norm(outputs["network"], axis=(1, 2))
        for name, color in zip(MODELS, ("k", "C0", "C1"), strict=True):
            panels[0].semilogy(steps, losses[name], style, color=color, label=f"{name}, width {width}")
            if name != "network":
                distance = np.linalg.norm(outputs[name] - outputs["network"], axis=(1, 2)) / norms
                panels[1].plot(steps, distance, style, color=color, label=f"{name}, width {width}")
    panels[0].set(xlabel="step", ylabel="training loss")
    panels[1].set(xlabel="step", ylabel="relative distance from the network")
    for axes in panels:
        axes.legend(fontsize=7)
    drawn.suptitle("A convolutional network on handwritten digits and its Taylor expansions")
    return drawn


if __name__ == "__main__":
    command(main, __doc__)
