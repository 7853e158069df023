"""Words and functions as parameters, in the form of Neural Tangents."""

from __future__ import annotations

from enum import Enum
from typing import Any

from ntc.errors import ParameterError


def word(name: str, given: Any, known: type[Enum]) -> str:
    """The name of a member, given as that or as itself, in any case. Raises ParameterError."""
    text = given.name if isinstance(given, known) else given
    if not isinstance(text, str) or text.upper() not in known.__members__:
        raise ParameterError(f"{name} should be one of {', '.join(known.__members__)}, got {given!r:.60}")
    return text.upper()
