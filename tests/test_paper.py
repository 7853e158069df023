"""The reproductions of figures: small runs, and what is known of their numbers."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.paper import ensemble, phases
from ntc.ir.ops import Erf


def test_trained_networks_follow_the_law() -> None:
    """Protects Figure 1: means of finite networks in training are within four standard errors of the law's, and their
    spread is that of the law to a third (that of 40 networks has a standard deviation of a ninth)."""
    x, y, test = ensemble.data()
    program, times = ensemble.network(256), np.array([20, 100])
    law = ensemble.infinite(program, x, y, test, times)
    found = ensemble.trained(program, x, y, test, times, 40)[..., : len(test)]
    error = law.deviation / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(0) - law.mean) < 4 * error)
    assert np.median(found.std(0, ddof=1) / law.deviation) == pytest.approx(1, abs=0.33)


def test_boundary_of_order_and_chaos() -> None:
    """Protects the line of Table 3: without biases the fixed point of the variance is zero, where erf has slope
    2 / sqrt(pi), so that chi_1 is one at pi / 4; elsewhere chi_1 is one at the fixed point that iterations find."""
    assert phases.boundary(0.0) == pytest.approx(np.pi / 4, rel=1e-9)
    phi, b_variance = Erf(), 0.3
    w_variance, q = phases.boundary(b_variance), np.array(1.0)
    for _ in range(200):
        q = w_variance * phi.dual(q, q, q) + b_variance
    assert w_variance * phi.dual_dot(q, q, q) == pytest.approx(1, rel=1e-4)


def test_accuracy_depends_on_the_phase() -> None:
    """Protects the table: deep networks far in the chaotic phase have lost the inputs, and at the boundary not."""
    program = phases.network(20)
    near, chaotic = phases.accuracies(program, [phases.boundary(0.1), 20.0], [0.1], 200, 200)[:, 0]
    assert near > 0.85
    assert chaotic < near - 0.2
