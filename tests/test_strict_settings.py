"""Settings of JAX by which careful users find mistakes in their own code: calls of ours work under each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntc
from ntc import nn, stax

SETTINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "ranks": lambda: jax.numpy_rank_promotion("raise"),
    "types": lambda: jax.numpy_dtype_promotion("strict"),
    "nan": lambda: jax.debug_nans(True),
    "leaks": jax.checking_leaks,
}
settings = pytest.mark.parametrize(
    "setting", [pytest.param(x, id=name, marks=[pytest.mark.slow] * (name == "leaks")) for name, x in SETTINGS.items()]
)
X = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
CONV = nn.serial(nn.conv(4, (3,), b_std=0.1), nn.relu())


@settings
def test_programs(setting: Any) -> None:
    """Protects programs, with entries between nearly equal examples, and with variances beyond every series."""
    above = nn.serial(nn.avg_pool(2), CONV, nn.flatten(), nn.dense(1))
    pooled = nn.input(4, 2) >> CONV >> (nn.global_avg_pool() if setting is jax.checking_leaks else above)
    smooth = nn.input(2) >> nn.dense(4) >> nn.tanh()  # and nothing in addition, as leaks are found slowly
    smooth = smooth if setting is jax.checking_leaks else smooth >> nn.dense(4) >> nn.mish() >> nn.dense(1)
    near = np.concatenate([X, X * np.float32(1 + 1e-4)])
    calls = ((ntc.build(pooled), near), (ntc.build(smooth), 100 * X[:, 0]))
    expected = [program(x).ntk for program, x in calls]
    with setting():
        for (program, x), wanted in zip(calls, expected, strict=True):
            np.testing.assert_array_equal(ntc.build(program.network)(x).ntk, wanted)


@settings
def test_kernel_functions_and_predictions(setting: Any) -> None:
    """Protects `ntc.stax` and `ntc.predict`: kernels, gradients, finite networks and predictions."""
    x, y = X[:, 0], np.ones((3, 1), np.float32)
    with setting():
        init_fn, apply_fn, kernel_fn = stax.serial(stax.Dense(4, b_std=0.1), stax.Erf(), stax.Dense(1))
        params = init_fn(jax.random.PRNGKey(0), x.shape)[1]
        assert apply_fn(params, x).shape == (3, 1)
        assert np.isfinite(kernel_fn(x).ntk).all()
        assert np.isfinite(jax.grad(lambda x: kernel_fn(x, None, "ntk").sum())(jnp.asarray(x))).all()
        if setting is jax.checking_leaks:
            return  # leaks are found slowly
        assert ntc.empirical_ntk_fn(apply_fn)(x, None, params).shape == (3, 3)
        assert ntc.monte_carlo_kernel_fn(init_fn, apply_fn, jax.random.PRNGKey(1), 2)(x, None, "nngp").shape == (3, 3)
        predict = ntc.predict.gradient_descent_mse_ensemble(kernel_fn, x, y, diag_reg=1e-3)
        assert predict(t=1.0, x_test=x, get="ntk").shape == (3, 1)
