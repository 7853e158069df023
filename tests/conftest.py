"""What all tests share: Hypothesis profiles, a verified graph after every pass, and a patient garbage collector.

HYPOTHESIS_PROFILE is `dev` (quick), `ci` (the default: the same examples in every run), `nightly` (many) or
`mutate` (as `ci`, but failures are not made smaller: for `tools/mutate.py`).
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings

_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)
"""Compiling one example takes longer than Hypothesis expects of all of them."""

settings.register_profile("dev", max_examples=25, deadline=None, suppress_health_check=_SLOW)
settings.register_profile("ci", max_examples=25, deadline=None, suppress_health_check=_SLOW, derandomize=True)
settings.register_profile("mutate", settings.get_profile("ci"), phases=[Phase.explicit, Phase.generate])
settings.register_profile("nightly", max_examples=5000, deadline=None, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

os.environ["NTC_CHECK"] = "2"

os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "0"
"""Commands keep what they compile for the user; tests compile what they test."""

gc.set_threshold(100_000, 50, 100)
"""Every collection walks all that JAX has traced: a tenth of the time, with the usual thresholds."""

_QUICK = "--xla_cpu_parallel_codegen_split_count=1 --xla_backend_optimization_level=0"
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", _QUICK)
"""Workers of pytest share the cores already, and LLVM optimises what runs once: a third.
`make test-jax-extremes` leaves the second out, so that its files run what users run."""


@pytest.fixture
def no_promotion_of_ranks() -> Iterator[None]:
    """JAX refuses to add arrays of two ranks, as careful users ask of their own code."""
    import jax

    with jax.numpy_rank_promotion("raise"):
        yield
