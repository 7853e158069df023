"""Runs a page of the documentation from its beginning to its end, as a reader would type it.

    python -m tools.pages docs/first-hour.md

Commands of `ntc` on indented lines and blocks of Python run in an empty folder, with the interpreter and the `ntc` of
the environment that is asked for.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

_STEP = re.compile(r"^    (?P<command>ntc [^\n]*)$|^```python\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)


def steps(text: str) -> list[tuple[str, str]]:
    """What a page shows, in order: ("command", a line) or ("code", a block)."""
    found = [(str(step.lastgroup), step[str(step.lastgroup)]) for step in _STEP.finditer(text)]
    return [(kind, re.sub(r"\s+# .*", "", step) if kind == "command" else step) for kind, step in found]


def runs(page: Path, python: Path, commands: bool = True) -> bool:
    """Whether all of a page runs in an empty folder, with its `commands` or without. Blocks of Python are one program,
    after the commands."""
    program = "".join(code for kind, code in steps(page.read_text()) if kind == "code")
    lines = [line for kind, line in steps(page.read_text()) if kind == "command" and commands]
    typed = [[str(python.parent / "ntc"), *line.split()[1:]] for line in lines]
    with tempfile.TemporaryDirectory() as folder:
        for command in (*typed, [str(python), "-W", "error", "-c", program]):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{page.name}: {' '.join(command)[:200]}\n{done.stdout}{done.stderr}", flush=True)
                return False
    return True


def main() -> int:
    """Runs pages with this interpreter; 1 if one of them does not run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+", type=Path)
    return int(not all(runs(page, Path(sys.executable)) for page in parser.parse_args().pages))


if __name__ == "__main__":
    sys.exit(main())
