"""Compiled computations, by what they are for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from threading import Lock
from typing import Any

from ntc.ir.types import Target

COMPILER_OPTIONS: Mapping[Target, dict[str, bool]] = {
    # The older emitters of XLA:CPU compile in two thirds of the time, and their code is as fast.
    "cpu": {"xla_cpu_use_fusion_emitters": False},
    "cuda": {},
    "tpu": {},
}


class Executables:
    """What has been compiled for a target. Threads that ask for the same one wait for it."""

    def __init__(self, target: Target) -> None:
        self._options = COMPILER_OPTIONS[target]
        self._known: dict[Hashable, Any] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Hashable, function: Callable[[], Any], *arguments: Any, **named: Any) -> Any:
        """The jitted function compiled for arguments like these, which was compiled before if the key was seen."""
        with self._lock:
            if key not in self._known:
                self._known[key] = function().lower(*arguments, **named).compile(self._options)
            return self._known[key]
