"""Which cases of a test run at every `make test`, where many are alike."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def others_slow(cases: Iterable[Any], often: Collection[Any]) -> list[Any]:
    """The cases, of which those that are not among `often` run in `make test-slow`."""
    return [case if case in often else pytest.param(case, marks=pytest.mark.slow) for case in cases]
