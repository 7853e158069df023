"""The command line in tests: within this process, or as one of its own where that is what is tested."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from unittest import mock

from ntc.cli.main import run as run_here


def run(folder: Path, command: str, status: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """`ntc command` in the folder, within this process. Fails unless it ends with `status`, and without a traceback."""
    arguments = ["ntc", *command.split()]
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(folder))
        stack.enter_context(contextlib.redirect_stdout(stdout))
        stack.enter_context(contextlib.redirect_stderr(stderr))
        stack.enter_context(mock.patch.object(sys, "argv", arguments))
        stack.enter_context(mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()))))
        code = run_here()
    return _checked(subprocess.CompletedProcess(arguments, code, stdout.getvalue(), stderr.getvalue()), status)


def run_process(folder: Path, command: str, status: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The same as users run it: a process, which takes seconds to start."""
    arguments = [sys.executable, "-m", "ntc", *command.split()]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, input=stdin, timeout=120, check=False)
    return _checked(done, status)


def _checked(done: subprocess.CompletedProcess[str], status: int) -> subprocess.CompletedProcess[str]:
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done
