"""Timing: the first call, which compiles, apart from the best of several warm ones."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

import ntc


@dataclass(frozen=True)
class Timing:
    """Seconds of the first call, and of the fastest later one."""

    first: float
    warm: float


def measure(function: Callable[[], object], repeat: int = 5) -> Timing:
    """Times a function that returns when its work is done."""
    seconds = []
    for _ in range(1 + repeat):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return Timing(seconds[0], min(seconds[1:]))


def environment() -> str:
    """Where and with what the numbers were measured, one line."""
    device = jax.devices()[0]
    versions = (
        f"ntc {ntc.__version__}, jax {jax.__version__}, numpy {np.__version__}, Python {platform.python_version()}"
    )
    return f"{device.platform} ({device.device_kind}), {os.cpu_count()} cores, {versions}"


def markdown(header: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """A table; floats with three significant digits."""
    shown = [[f"{x:.3g}" if isinstance(x, float) else str(x) for x in row] for row in rows]
    lines = [header, tuple("---" for _ in header), *shown]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
