"""Files as they are read and written everywhere: within limits, `-` for the standard streams, whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ntc.errors import InputError, LimitError

STANDARD = Path("-")
"""What stands for standard input or output."""


def name_of(path: str | Path) -> str:
    """What a file is called in messages."""
    return "<stdin>" if Path(path) == STANDARD else str(path)


def read_bytes(path: str | Path, limit: int) -> bytes:
    """A file, or for `-` standard input. It is read once, so that pipes will do.

    Raises OSError, and LimitError for more than `limit` bytes."""
    if Path(path) == STANDARD:
        data = sys.stdin.buffer.read(limit + 1)
    else:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    if len(data) > limit:
        raise LimitError(f"{name_of(path)} is longer than {limit} bytes")
    return data


def decode(data: bytes, path: str | Path) -> str:
    """The text of bytes, UTF-8 with or without a mark at its beginning. Raises InputError."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name_of(path)} is not UTF-8 text ({error.reason} at byte {error.start})") from None


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path to write to: what is written there takes the place of the file `path` at the end, unless something fails.
    So a disk that is full or a process that is killed leaves the old file, never a part of the new one."""
    path = Path(path)
    if path.exists() and not path.is_file():  # /dev/stdout, a named pipe
        yield path
        return
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path | None, text: str) -> None:
    """Writes text to a file, or to standard output for None and `-`."""
    if path is None or path == STANDARD:
        sys.stdout.write(text)
        return
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
