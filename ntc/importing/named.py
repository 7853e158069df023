"""Names of networks in Python code: `model.py:build_model`, `package.module:build_model`."""

from __future__ import annotations

import re
from pathlib import Path

_NAMED = re.compile(r"(?P<place>.+\.py|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z_]\w*)")


def named(text: str) -> re.Match[str] | None:
    """The parts `place` and `name` of such a name; None if it is none."""
    return _NAMED.fullmatch(text)


def is_python(text: str) -> bool:
    """Whether a text names something in Python code, and is no file."""
    return named(text) is not None and not Path(text).exists()
