"""Files are written whole or not at all, and read once."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from unittest import mock

import pytest

from ntc.errors import InputError, LimitError
from ntc.files import decode, read_bytes, replacing, write_text


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    """Protects results from full disks and interruptions: the old file stays, and no part of the new one."""
    path = tmp_path / "result"
    path.write_text("old")

    def fill_the_disk() -> None:
        with replacing(path) as partial:
            partial.write_text("half of the n")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fill_the_disk()
    assert path.read_text() == "old"
    assert [x.name for x in tmp_path.iterdir()] == ["result"]
    write_text(path, "new")
    assert path.read_text() == "new"


def test_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    """Protects -o /dev/stdout and named pipes, which cannot be replaced."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "text")
    assert os.read(reader, 100) == b"text"
    os.close(reader)


def test_input_is_bounded_and_text(tmp_path: Path) -> None:
    """Protects memory and messages: a file that is too long or not text is refused by name, `-` is standard input."""
    (tmp_path / "long").write_bytes(b"x" * 11)
    with pytest.raises(LimitError, match="long is longer than 10 bytes"):
        read_bytes(tmp_path / "long", 10)
    with mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"abc"))):
        assert read_bytes("-", 10) == b"abc"
    with pytest.raises(InputError, match=r"<stdin> is not UTF-8 text .* at byte 1"):
        decode(b"a\xff", "-")
    assert decode("\ufeffa".encode(), "x") == "a"
