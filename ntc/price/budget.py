"""The largest computation that a budget allows."""

from __future__ import annotations

from collections.abc import Callable

_MOST = 10**9


def largest(fits: Callable[[int], bool]) -> int:
    """The largest n up to 1e9 for which `fits`, which holds for all smaller n if for one; 0 if there is none."""
    low, high = 0, 1
    while high < _MOST and fits(high):
        low, high = high, 2 * high
    while high - low > max(1, low // 1000):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
