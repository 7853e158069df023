"""The errors, by their text: what the code raises, read from its source."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ntc
from ntc import errors

_PACKAGE = Path(ntc.__file__).parent
_KINDS = {
    name: cls
    for name, cls in vars(errors).items()
    if inspect.isclass(cls) and issubclass(cls, errors.NtcError) and cls is not errors.NtcError
}

HEAD = """# Errors

Every error that `ntc` raises on purpose is an `ntc.NtcError`, which is a `ValueError`. Its text says what is wrong,
where it is known in which line, and what would be right. `error.message`, `error.location`, `error.hint` and
`error.notes` are its parts, and `ntc ... --json` prints them as JSON on stderr.

| exit status of `ntc` | |
|---|---|
| 0 | it worked |
| 1 | something is wrong with a model, with data or a file |
| 2 | something is wrong with the command line |
| 70 | a defect of `ntc`: please report it, with what `NTC_TRACEBACK=1` prints |
| 130 | interrupted |

Below are the texts by kind, to be found by searching this page; what differs from case to case is ….
"""


@dataclass(frozen=True)
class Raised:
    """A place in the code at which an error is raised."""

    kind: str
    message: str
    hint: str


def page() -> str:
    """The page of errors."""
    found = sorted(
        {error for path in sorted(_PACKAGE.rglob("*.py")) for error in raised(path)}, key=lambda x: x.message
    )
    parts = [HEAD]
    for kind, cls in _KINDS.items():
        rows = [error for error in found if error.kind == kind]
        parts.append(f"## {kind}\n\n{textwrap.dedent(cls.__doc__ or '')}\n")
        for error in rows:
            hint = f"\n    hint: {error.hint}" if error.hint else ""
            parts.append(f"- `{error.message}`{'  ' if hint else ''}{hint}")
        parts.append("")
    return "\n".join(parts)


def raised(path: Path) -> Iterator[Raised]:
    """The errors that a file raises with a text of its own."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            call, kind = node.exc, node.exc.func.id
            if kind in _KINDS and call.args and (message := _text(call.args[0])):
                hints = [keyword.value for keyword in call.keywords if keyword.arg == "hint"]
                yield Raised(kind, message, _text(hints[0]) if hints else "")


def _text(node: ast.expr) -> str:
    """A text with … for what is put into it; empty for an expression that is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.replace("`", "'")
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""
