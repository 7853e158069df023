"""What mkdocstrings is to know of this project's docstrings."""

from __future__ import annotations

import re
from typing import Any

import griffe

_SEVERAL = re.compile(r"^(\s+)((?:\w+, )+\w+):", re.MULTILINE)


class SeveralNames(griffe.Extension):
    """`x1, x2: ...` describes two parameters or attributes at once. A reader of Google's style takes the second for a
    type, unless the space between them is one that does not break."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Is called for everything that has a docstring."""
        if obj.docstring:
            text = obj.docstring.value
            obj.docstring.value = _SEVERAL.sub(lambda x: x[1] + x[2].replace(" ", "\u00a0") + ":", text)
