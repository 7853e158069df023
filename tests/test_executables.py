"""Compiler options: asked for where the compiler of the installed JAX takes them, and dropped where it does not."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest

from ntc.backends.jax.run.executables import Executables, options
from ntc.ir.platform import PLATFORMS

UNKNOWN, KNOWN = "xla_no_such_option", "xla_cpu_enable_fast_math"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asks for an option that every XLA has, and for one that none has."""
    wanted = replace(PLATFORMS["cpu"], compiler_options={UNKNOWN: True, KNOWN: False})
    monkeypatch.setitem(PLATFORMS, "cpu", wanted)  # type: ignore[arg-type]


@pytest.mark.usefixtures("asked")
def test_options_that_the_compiler_does_not_know_are_dropped() -> None:
    """Protects programs from releases of JAX that remove an option, which made every computation fail."""
    with pytest.raises(jax.errors.JaxRuntimeError, match=UNKNOWN):
        jax.jit(lambda x: x).lower(1.0).compile({UNKNOWN: True})
    assert options("cpu") == {KNOWN: False}
    double = Executables("cpu").get("double", lambda: jax.jit(lambda x: 2 * x), np.float32(0))
    assert double(np.float32(3)) == 6


@pytest.mark.usefixtures("asked")
def test_the_compiler_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the time of a first call: what is known of an option is remembered, also that it is not there."""
    options("cpu")
    monkeypatch.setattr(jax, "jit", lambda _: pytest.fail("compiles again"))
    assert options("cpu") == {KNOWN: False}


def test_options_of_other_targets_start_no_compiler() -> None:
    """Protects targets for which nothing is asked: no program is compiled to find that out."""
    assert options("cuda") == options("tpu") == {}
