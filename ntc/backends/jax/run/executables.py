"""Compiled computations, by what they are for."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cache
from math import prod
from threading import Lock
from typing import Any

import jax

from ntc.errors import UnsupportedError
from ntc.ir.platform import PLATFORMS
from ntc.ir.types import Target

_MANY_PAIRS = 2**16
"""Of examples without positions: of more, a computation takes longer than it is to be compiled for longer."""


def options(target: Target, steady: bool = False) -> dict[str, bool]:
    """Those of the platform that the compiler of the installed JAX takes; none where speed matters more than the
    time to compile."""
    wanted = {} if steady else PLATFORMS[target].compiler_options
    return {name: value for name, value in wanted.items() if _takes(name, value)}


@cache
def _takes(name: str, value: bool) -> bool:
    """Whether the smallest program compiles with the option: JAX has no list of them, and refuses unknown ones."""
    try:
        jax.jit(lambda: 0).lower().compile({name: value})
    except jax.errors.JaxRuntimeError:
        return False
    return True


def device_of(target: Target) -> jax.Device:
    """The first device of a target. Raises UnsupportedError where there is none."""
    try:
        return jax.devices(target)[0]
    except RuntimeError:
        raise UnsupportedError(
            f"the program is for {target}, and JAX finds no such device here",
            hint="build it with target='cpu', or run it where the device is",
        ) from None


class Executables:
    """What has been compiled for a target. Threads that ask for the same one wait for it."""

    def __init__(self, target: Target, flat: bool = False) -> None:
        """`flat`: whether examples have no positions, so that a large computation is one pass over pairs."""
        self._target, self._flat = target, flat
        self._known: dict[Hashable, Any] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Hashable, function: Callable[[], Any], *arguments: Any, **named: Any) -> Any:
        """The jitted function compiled for arguments like these, which was compiled before if the key was seen."""
        with self._lock:
            if key not in self._known:
                steady = self._flat and prod(x.shape[0] for x in arguments[:2]) >= _MANY_PAIRS
                self._known[key] = function().lower(*arguments, **named).compile(options(self._target, steady))
            return self._known[key]
