"""How close is close: one comparison of arrays, one table of tolerances."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ntc.backends.jax.run.executables import options

TOLERANCES = {
    "rounding": 1e-13,
    "exact": 1e-10,
    "float64": 1e-10,
    "float32": 1e-5,
    "float32 near correlation one": 3e-3,
    "float64 near correlation one": 3e-7,
}
"""Largest error relative to the largest entry of what is expected.

rounding: the same formula in another order, float64: a few hundred times eps = 2.2e-16.
exact, float64: independent computations of the same number in float64; room for networks of a dozen layers
  whose entries differ in size by 1e3.
float32: eps = 1.2e-7 times the same room, where inputs are in general position.
near correlation one: the angle between two inputs that differ by delta is known to sqrt(delta); with
  delta of a few eps that is 1e-3 in float32, 5e-8 in float64, which the NTK of each layer of relu adds up.
"""

QUICKLY_COMPILED: dict[str, Any] = {"xla_backend_optimization_level": 1}
"""Compiler options for functions of the tests themselves, which run once: half the time to compile, the same values.
Programs of ntc are compiled in tests as everywhere."""


def barely_compiled() -> dict[str, Any]:
    """The same for functions that are large and of few numbers, such as derivatives: two thirds of that time."""
    return {"xla_backend_optimization_level": 0, **options("cpu")}


Tolerance = Literal[
    "rounding",
    "exact",
    "float64",
    "float32",
    "float32 near correlation one",
    "float64 near correlation one",
]


def assert_close(
    found: npt.ArrayLike | None, expected: npt.ArrayLike | None, tolerance: Tolerance, scale: float = 0.0
) -> None:
    """Fails unless max |found - expected| is small relative to max |expected|, or to `scale` if that is larger.

    Shapes must be equal. None, NaN and infinity are close to nothing.
    """
    assert found is not None
    assert expected is not None
    a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert a.shape == b.shape, f"shape {a.shape}, expected {b.shape}"
    assert np.isfinite(b).all(), "the expected values are not finite"
    assert np.isfinite(a).all(), f"{np.sum(~np.isfinite(a))} of {a.size} values are not finite"
    if not a.size:
        return
    error = np.abs(a - b)
    limit = TOLERANCES[tolerance] * max(np.abs(b).max(), scale)
    worst = np.unravel_index(np.argmax(error), error.shape)
    assert error.max() <= limit, (
        f"error {error.max():.2e} over {limit:.2e} ({tolerance}) at {tuple(map(int, worst))}: "
        f"{a[worst]!r}, expected {b[worst]!r}"
    )


def assert_unbiased(samples: npt.ArrayLike, expected: npt.ArrayLike, deviations: float = 5.0) -> None:
    """Fails unless the mean of independent samples (first axis) is the expected value up to chance.

    The bound is `deviations` standard errors of each entry, estimated from the samples themselves. At 5 a
    correct value fails once in 2e6 entries; seeds are fixed, so a test that passes keeps passing.
    """
    values = np.asarray(samples, np.float64)
    expected = np.asarray(expected, np.float64)
    assert values.shape[1:] == expected.shape, f"shape {values.shape[1:]}, expected {expected.shape}"
    assert np.isfinite(values).all(), "a sample is not finite"
    error = np.abs(values.mean(0) - expected)
    standard = values.std(0, ddof=1) / np.sqrt(len(values)) + 1e-12 * np.abs(expected).max()
    score = error / standard
    worst = np.unravel_index(np.argmax(score), score.shape)
    assert score.max() <= deviations, (
        f"{score.max():.1f} standard errors at {tuple(map(int, worst))}: "
        f"{values.mean(0)[worst]:.6g} +- {standard[worst]:.2g}, expected {expected[worst]:.6g}"
    )
