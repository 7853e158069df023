"""Commands that the pages show, found in their text."""

from __future__ import annotations

import contextlib
import os
import re
import runpy
import shlex
import sys
from pathlib import Path
from unittest import mock

import pytest

from tests import command_line

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))

_COMMAND = r"(?:[A-Z_]+=\S+ )?(?:ntc|python|pip|make)\s"


def commands(text: str) -> list[str]:
    """Commands on indented lines, without comments, and in code within lines, where they may go over two."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    indented = re.findall(rf"^    ({_COMMAND}.*)$", text, re.MULTILINE)
    within = re.findall(rf"(?<!`)`({_COMMAND}[^`]*)`", text)
    return [" ".join(re.sub(r"\s#\s.*", "", command).split()) for command in (*indented, *within)]


def all_commands() -> list[str]:
    """Each once, of the pages and of the descriptions of scripts."""
    return sorted({command for path in (*PAGES, *SCRIPTS) for command in commands(path.read_text())})


def is_mention(command: str) -> bool:
    """Whether it names a command of `ntc` and options, but no model: `ntc compile --emit kernel-ir`."""
    return command.startswith("ntc ") and not re.search(r"\.nt\b|\.zarr\b|calibrate", command)


def run_python(command: str, *more: str) -> None:
    """`python ...` within this process and in the folder that it is in, with further arguments. Fails unless it ends
    well; its subprocesses find the package."""
    _, *words = [*shlex.split(command), *more]
    if words[0] == "-c":
        exec(words[1], {"__name__": "__main__"})
        return
    is_module = words[0] == "-m"
    name, arguments = (words[1], words[2:]) if is_module else (str(ROOT / words[0]), words[1:])
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with mock.patch.object(sys, "argv", [name, *arguments]), mock.patch.dict(os.environ, PYTHONPATH=path):
        if is_module:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(name, run_name="__main__")


def run(command: str, folder: Path, *more: str) -> None:
    """A command of `ntc` or of Python, in the folder."""
    if command.startswith("ntc "):
        command_line.run(folder, " ".join([command.removeprefix("ntc "), *more]))
    else:
        with contextlib.chdir(folder):
            run_python(command, *more)


def shows_help(command: str) -> None:
    """Fails unless the command answers `--help`, and does nothing else."""
    with pytest.raises(SystemExit) as end:
        run_python(command, "--help")
    assert end.value.code == 0
