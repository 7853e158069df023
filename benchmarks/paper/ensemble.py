"""Figure 1 of Novak et al. 2020: the law of infinitely wide networks in training beside one hundred finite ones.

python -m benchmarks.paper.ensemble

Five points of sin(x) with noise; fully connected, two hidden layers with erf. The finite networks are as wide as WIDTHS
and trained by full-batch gradient descent on half the mean of squares, twenty at a time (`jax.vmap`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

import ntc
from benchmarks.measure import markdown
from benchmarks.paper.output import command, figure, save
from ntc import nn
from ntc.backends.jax.program import Program

NETWORKS, WIDTHS, RATE = 100, (128, 512), 0.1
"""The rate is well below the largest at which gradient descent converges: see `ntc.predict.max_learning_rate`."""

TIMES = (10, 100, 1000, 2000)
"""Steps at which the two are compared."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Law:
    """Outputs at the test inputs, (times, test), and losses on the training set, (times,)."""

    mean: Array
    deviation: Array
    loss: Array


def network(width: int) -> Program:
    """Two hidden layers with erf."""
    layer = nn.serial(nn.dense(width, w_std=1.5, b_std=0.05), nn.erf())
    return ntc.build(nn.input(1) >> layer >> layer >> nn.dense(1, w_std=1.5, b_std=0.05))


def data() -> tuple[Array, Array, Array]:
    """Training inputs and targets, and test inputs."""
    random = np.random.default_rng(10)
    x = random.uniform(-np.pi, np.pi, (5, 1)).astype(np.float32)
    y = np.sin(x) + 0.1 * random.normal(size=x.shape)
    return x, y.astype(np.float32), np.linspace(-np.pi, np.pi, 50, dtype=np.float32)[:, None]


def infinite(program: Program, x: Array, y: Array, test: Array, times: Array) -> Law:
    """In closed form."""
    law = ntc.predict.gradient_descent_mse_ensemble(program, x, y, learning_rate=RATE)
    means, deviations, losses = [], [], []
    for t in times:
        at_test, at_train = (law(float(t), z, "ntk", compute_cov=True) for z in (test, x))
        means.append(np.asarray(at_test.mean)[:, 0])
        deviations.append(np.sqrt(np.maximum(np.diagonal(np.asarray(at_test.covariance)), 0)))
        spread = np.diagonal(np.asarray(at_train.covariance))
        losses.append(0.5 * np.mean((np.asarray(at_train.mean) - y)[:, 0] ** 2 + spread))
    return Law(np.array(means), np.array(deviations), np.array(losses))


def trained(program: Program, x: Array, y: Array, test: Array, times: Array, count: int) -> Array:
    """Outputs of finite networks at the times, (networks, times, test), and at the training inputs after them."""

    def loss(params: Any) -> jax.Array:
        return 0.5 * jnp.mean((program.apply(params, x) - y) ** 2)

    def step(_: int, params: Any) -> Any:
        return jax.tree.map(lambda w, g: w - RATE * g, params, jax.grad(loss)(params))

    def run(key: jax.Array) -> jax.Array:
        params, outputs = program.init(key), []
        for first, last in zip((0, *times[:-1]), times, strict=True):
            params = jax.lax.fori_loop(first, last, step, params)
            outputs.append(program.apply(params, np.concatenate([test, x]))[:, 0])
        return jnp.stack(outputs)

    keys = jax.random.split(jax.random.key(0), count)
    return np.asarray(jax.jit(partial(jax.lax.map, run, batch_size=min(20, count)))(keys), np.float64)


def main(quick: bool = False) -> str:
    """The table; draws docs/ensemble.png, of the widest networks, unless it is a `quick` run."""
    count, widths = (20, (64,)) if quick else (NETWORKS, WIDTHS)
    times = np.array(TIMES[:2] if quick else TIMES)
    x, y, test = data()
    rows: list[tuple[object, ...]] = []
    for width in widths:
        program = network(width)
        law = infinite(program, x, y, test, times)
        outputs = trained(program, x, y, test, times, count)
        found, at_train = outputs[..., : len(test)], outputs[..., len(test) :]
        losses = 0.5 * np.mean((at_train - y[:, 0]) ** 2, axis=(0, 2))
        rows += [(width, int(t), *_row(law, found, losses, i)) for i, t in enumerate(times)]
    save(_draw(x, y, test, law, found, times, widths[-1]), "ensemble", quick)
    header = (
        "width",
        "step",
        "training loss, infinite",
        "finite",
        "means within two sigma",
        "outputs within two sigma",
        "means within two standard errors",
    )
    return markdown(header, rows)


def _row(law: Law, found: Array, losses: Array, i: int) -> tuple[object, ...]:
    """Of the i-th time: losses, and shares of the test inputs where means and outputs are near the law's mean."""
    mean = np.abs(found[:, i].mean(0) - law.mean[i])
    error = found[:, i].std(0, ddof=1) / np.sqrt(len(found))
    outputs = np.abs(found[:, i] - law.mean[i]) < 2 * law.deviation[i]
    shares = np.mean(mean < 2 * law.deviation[i]), np.mean(outputs), np.mean(mean < 2 * error)
    return float(law.loss[i]), float(losses[i]), *(f"{100 * share:.0f} %" for share in shares)


def _draw(x: Array, y: Array, test: Array, law: Law, found: Array, times: Array, width: int) -> Any:
    drawn = figure(11, 3.6)
    for i, axes in enumerate(drawn.subplots(1, len(times), sharey=True)):
        along, mean, deviation = test[:, 0], found[:, i].mean(0), found[:, i].std(0, ddof=1)
        axes.fill_between(along, law.mean[i] - 2 * law.deviation[i], law.mean[i] + 2 * law.deviation[i], alpha=0.25)
        axes.plot(along, law.mean[i], label="infinite: mean, two sigma")
        axes.plot(along, mean, "k--", linewidth=1, label=f"{len(found)} networks of width {width}")
        for sign in (-2, 2):
            axes.plot(along, mean + sign * deviation, "k:", linewidth=1)
        axes.plot(x[:, 0], y[:, 0], "r.", label="training set")
        axes.set(title=f"step {times[i]}", xlabel="x")
    drawn.axes[0].legend(fontsize=7)
    drawn.suptitle("Gradient descent on five points of sin(x) with noise: the law in closed form, and an ensemble")
    return drawn


if __name__ == "__main__":
    command(main, __doc__)
