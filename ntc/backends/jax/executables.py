"""Compiled computations, by what they are for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import cache
from threading import Lock
from typing import Any

import jax

from ntc.ir.types import Target

COMPILER_OPTIONS: Mapping[Target, dict[str, bool]] = {
    # The older emitters of XLA:CPU compile in two thirds of the time, and their code is as fast. Gone in jax 0.11.1.
    "cpu": {"xla_cpu_use_fusion_emitters": False},
    "cuda": {},
    "tpu": {},
}
"""What is asked of the compiler. Only time depends on it, so that a version without one of them is asked without it."""


def options(target: Target) -> dict[str, bool]:
    """Those of `COMPILER_OPTIONS` that the compiler of the installed JAX takes."""
    return {name: value for name, value in COMPILER_OPTIONS[target].items() if _takes(name, value)}


@cache
def _takes(name: str, value: bool) -> bool:
    """Whether the smallest program compiles with the option: JAX has no list of them, and refuses unknown ones."""
    try:
        jax.jit(lambda: 0).lower().compile({name: value})
    except jax.errors.JaxRuntimeError:
        return False
    return True


class Executables:
    """What has been compiled for a target. Threads that ask for the same one wait for it."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._known: dict[Hashable, Any] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Hashable, function: Callable[[], Any], *arguments: Any, **named: Any) -> Any:
        """The jitted function compiled for arguments like these, which was compiled before if the key was seen."""
        with self._lock:
            if key not in self._known:
                self._known[key] = function().lower(*arguments, **named).compile(options(self._target))
            return self._known[key]
