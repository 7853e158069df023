"""One program that calls the five prediction functions of Neural Tangents, to be run on their module and on ours.

Run by a Python that has Neural Tangents, it writes `predict.npz`: see README.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

GOLDEN = Path(__file__).parent / "predict.npz"
TIMES = np.array([[0.0, 1.5], [20.0, 300.0]])
TRAIN, TEST, OUTPUTS, POSITIONS = 4, 3, 2, 2


class Pair(NamedTuple):
    """What a kernel function returns."""

    nngp: Any
    ntk: Any


def arrays() -> dict[str, Any]:
    """Inputs of all calls, in float64."""
    random = np.random.default_rng(0)
    n = TRAIN + TEST
    x = random.normal(size=(n, 3))
    factor = random.normal(size=(n, POSITIONS, 2 * n * POSITIONS))
    return {
        "x": x[:TRAIN],
        "x_test": x[TRAIN:],
        "y": random.normal(size=(TRAIN, OUTPUTS)),
        "f": random.normal(size=(TRAIN, OUTPUTS)),
        "f_test": random.normal(size=(TEST, OUTPUTS)),
        "y_spatial": random.normal(size=(TRAIN, POSITIONS, OUTPUTS)),
        "spatial": np.einsum("iak,jbk->ijab", factor, factor) / POSITIONS / n,
    }


def kernel_fn(x1: Any, x2: Any = None, get: Any = None) -> Any:
    """Two kernels without a network; one of them, if `get` names one."""
    x2 = x1 if x2 is None else x2
    linear = x1 @ x2.T
    near = np.exp(-((np.asarray(x1)[:, None] - np.asarray(x2)[None]) ** 2).sum(-1))
    pair = Pair(linear + near, 2 * linear + near + 0.5 * linear**2)
    return getattr(pair, get) if isinstance(get, str) else pair


def results(predict: Any) -> dict[str, Any]:
    """Every number that the functions of a module with the names of `neural_tangents.predict` give."""
    found = {**dict(_mse(predict)), **dict(_ode(predict)), **dict(_inference(predict)), **dict(_ensemble(predict))}
    matrix = kernel_fn(arrays()["x"]).ntk
    found["max_learning_rate"] = predict.max_learning_rate(matrix)
    found["max_learning_rate/size"] = predict.max_learning_rate(matrix, 8)
    found["max_learning_rate/momentum"] = predict.max_learning_rate(matrix, 8, momentum=0.9)
    found["max_learning_rate/spatial"] = predict.max_learning_rate(arrays()["spatial"][:TRAIN, :TRAIN], None)
    return {name: np.asarray(value) for name, value in found.items()}


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Arrays of nested tuples, named by field or position; what is None is left out."""
    if isinstance(value, tuple):
        for part, entry in zip(getattr(value, "_fields", range(len(value))), value):  # noqa: B905
            yield from _flat(f"{name}/{part}", entry)
    elif value is not None:
        yield name, value


def _mse(predict: Any) -> Iterator[tuple[str, Any]]:
    a = arrays()
    k, k_test = kernel_fn(a["x"]).ntk, kernel_fn(a["x_test"], a["x"]).ntk
    for name, options in {
        "plain": {},
        "relative": {"diag_reg": 0.1, "learning_rate": 0.3},
        "absolute": {"diag_reg": 0.1, "diag_reg_absolute_scale": True},
    }.items():
        call = predict.gradient_descent_mse(k, a["y"], **options)
        for when, t in {"inf": None, "scalar": 3.0, "array": TIMES}.items():
            yield from _flat(f"mse/{name}/{when}/zero", call(t))
            yield from _flat(f"mse/{name}/{when}/both", call(t, a["f"], a["f_test"], k_test))
            yield from _flat(f"mse/{name}/{when}/test", call(t, None, 0.0, k_test))
            yield from _flat(f"mse/{name}/{when}/train", call(t, a["f"], 0.0, k))
    spatial = a["spatial"][:TRAIN, :TRAIN], a["spatial"][TRAIN:, :TRAIN]
    for when, t in {"inf": None, "scalar": 3.0, "array": TIMES}.items():
        call = predict.gradient_descent_mse(spatial[0], a["y_spatial"], 2.0)
        yield from _flat(f"mse/spatial/{when}", call(t, 0.5, 0.0, spatial[1]))
        call = predict.gradient_descent_mse(spatial[0], a["y_spatial"][..., 0], trace_axes=())
        yield from _flat(f"mse/untraced/{when}", call(t, 0.5, 0.0, spatial[1]))
        call = predict.gradient_descent_mse(spatial[0], a["y_spatial"].swapaxes(1, 2), trace_axes=1)
        yield from _flat(f"mse/middle/{when}", call(t, 0.5, 0.0, spatial[1]))


def _ode(predict: Any) -> Iterator[tuple[str, Any]]:
    a = arrays()
    k, k_test = kernel_fn(a["x"]).ntk, kernel_fn(a["x_test"], a["x"]).ntk

    def loss(f: Any, y: Any) -> Any:
        return 0.25 * ((f - y) ** 4).mean() + 0.5 * ((f - y) ** 2).mean()

    times = np.sort(TIMES.ravel())
    call = predict.gradient_descent(loss, k, a["y"], 0.1, 0.9)
    yield from _flat("ode/outputs", call(times, a["f"], a["f_test"], k_test))
    state = call(times, predict.ODEState(a["f"], a["f_test"]), None, k_test)
    parts = ("fx_train", "fx_test", "qx_train", "qx_test")
    after = predict.ODEState(**{part: getattr(state, part)[2] for part in parts})
    for name, one in {"state": state, "resumed": call(times, after, None, k_test)}.items():
        yield from _flat(f"ode/{name}", tuple(getattr(one, part) for part in parts))
    spatial = a["spatial"][:TRAIN, :TRAIN]
    yield from _flat("ode/spatial", predict.gradient_descent(loss, spatial, a["y_spatial"])(2.0, 0.5))


def _inference(predict: Any) -> Iterator[tuple[str, Any]]:
    a = arrays()
    k = [kernel_fn(*pair) for pair in ((a["x"],), (a["x_test"], a["x"]), (a["x_test"],))]
    for name, options in {
        "plain": {},
        "relative": {"diag_reg": 0.1},
        "absolute": {"diag_reg": 0.1, "diag_reg_absolute_scale": True},
    }.items():
        call = predict.gp_inference(k[0], a["y"], **options)
        for get in (None, "nngp", "ntk", "ntkgp", ("nngp", "ntkgp"), ("ntk",)):
            label = f"gp/{name}/{get if get is None or isinstance(get, str) else '+'.join(get)}"
            yield from _flat(f"{label}/mean", call(get, k[1]))
            yield from _flat(f"{label}/both", call(get, k[1], k[2]))
            yield from _flat(f"{label}/train", call(get, k[0], k[0]))
            yield from _flat(f"{label}/own", call(get, None, True))
            yield from _flat(f"{label}/own mean", call(get))
    call = predict.gp_inference(k[0].ntk, a["y"])
    yield from _flat("gp/array/mean", call(None, k[1].ntk))
    for get in ("nngp", "ntkgp"):
        yield from _flat(f"gp/array/{get}", call(get, k[1].ntk, k[2].ntk))
    s = [a["spatial"][:TRAIN, :TRAIN], a["spatial"][TRAIN:, :TRAIN], a["spatial"][TRAIN:, TRAIN:]]
    call = predict.gp_inference(Pair(s[0], 2 * s[0]), a["y_spatial"], 0.01)
    yield from _flat("gp/spatial", call(None, Pair(s[1], 2 * s[1]), Pair(s[2], 2 * s[2])))


def _ensemble(predict: Any) -> Iterator[tuple[str, Any]]:
    a = arrays()
    for name, options in {
        "plain": {},
        "relative": {"diag_reg": 0.1, "learning_rate": 0.3},
        "absolute": {"diag_reg": 0.1, "diag_reg_absolute_scale": True},
    }.items():
        call = predict.gradient_descent_mse_ensemble(kernel_fn, a["x"], a["y"], **options)
        for when, t in {"inf": None, "scalar": 3.0, "array": TIMES}.items():
            for get in (None, "nngp", "ntk"):
                for where, x_test in {"test": a["x_test"], "own": None, "train": a["x"]}.items():
                    for compute_cov in (False, True):
                        label = f"ensemble/{name}/{when}/{get}/{where}/{compute_cov}"
                        yield from _flat(label, call(t, x_test, get, compute_cov))


if __name__ == "__main__":
    import jax
    import neural_tangents

    jax.config.update("jax_enable_x64", True)
    values = results(neural_tangents.predict)
    np.savez_compressed(GOLDEN, **values)
    print(len(values), "arrays,", GOLDEN.stat().st_size, "bytes")
