"""Tests with the lowest and the newest releases that pyproject.toml allows, in place of those of requirements.txt.

    python tools/jax_versions.py extremes    # the lowest on Python 3.11, the newest on the newest Python to be had
    python tools/jax_versions.py all         # the lowest on Python 3.11, the newest on 3.12, 3.13 and 3.14

Environments are .venv-jax-*, made by uv, which finds interpreters or fetches them. One that is not to be had is
skipped, with a message. Each installs the package as users do, runs the README's Python and the first hour of the
documentation in an empty folder, and a short suite.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import pages  # noqa: E402

TOOL = ROOT / ".venv-uv"
OLDEST, NEWEST = "3.11", ("3.14", "3.13", "3.12")
TESTS = (
    "test_executables",
    "test_program_calls",
    "test_artifact",
    "test_sharding",
    "test_fused",
    "test_near",
    "test_stax_finite",
    "test_predict",
    "test_linearize",
    "test_cli",
)
"""Everything that touches JAX's own surface: jit, export, shardings, derivatives, callbacks, random numbers."""


def main() -> int:
    """Runs all environments asked for; 1 if a test failed in any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=("extremes", "all"))
    extremes = parser.parse_args().which == "extremes"
    failed = not tested("lowest", OLDEST)
    for version in NEWEST:
        found = tested("newest", version)
        failed = failed or found is False
        if extremes and found is not None:
            return int(failed)
    if extremes:
        print(f"SKIPPED: the newest JAX needs Python {NEWEST[-1]} or newer, which is not to be had here", flush=True)
    return int(failed)


def tested(kind: str, version: str) -> bool | None:
    """Whether the suite passes with the lowest or newest releases; None without an interpreter of that version."""
    python = environment(kind, version)
    if python is None:
        print(f"SKIPPED: Python {version} is not to be had here", flush=True)
        return None
    resolution = ["--resolution", "lowest-direct"] if kind == "lowest" else ["--upgrade"]
    install = ["pip", "install", "--quiet", "--python", str(python), "--reinstall-package", "neural-tangent-compiler"]
    uv(*install, *resolution, f"{ROOT}[test,demo]", check=True)
    print(f"{kind} releases on Python {version}: {versions(python)}", flush=True)
    files = [f"tests/{name}.py" for name in TESTS]
    flags = {
        "XLA_FLAGS": "--xla_cpu_parallel_codegen_split_count=1"
    }  # optimised as for users, which `make test` is not
    command = [python, "-m", "pytest", "-n", "2", "--dist", "worksteal", *files]
    suite = subprocess.run(command, cwd=ROOT, env={**os.environ, **flags}, check=False)
    shown = pages.runs(ROOT / "README.md", python, commands=False), pages.runs(ROOT / "docs" / "first-hour.md", python)
    return all(shown) and suite.returncode == 0


def environment(kind: str, version: str) -> Path | None:
    """The interpreter of an environment, which is made if it is not there; None if that cannot be."""
    folder = ROOT / f".venv-jax-{kind}-{version}"
    python = folder / "bin" / "python"
    if not python.exists() and uv("venv", "--quiet", "--clear", "--python", version, str(folder)):
        return None
    return python


def uv(*arguments: str, check: bool = False) -> int:
    """The exit status of uv, which is installed if it is not there."""
    program = TOOL / "bin" / "uv"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", TOOL], check=True)
        subprocess.run([TOOL / "bin" / "python", "-m", "pip", "install", "--quiet", "uv"], check=True)
    places = {"UV_PYTHON_INSTALL_DIR": str(TOOL / "interpreters"), "PYENV_VERSION": pyenv_versions()}
    return subprocess.run([program, *arguments], env={**os.environ, **places}, check=check).returncode


def pyenv_versions() -> str:
    """All versions that pyenv has, if it is there: its commands run only those that are named."""
    if not shutil.which("pyenv"):
        return ""
    found = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=True)
    return ":".join(reversed(found.stdout.split()))


def versions(python: Path) -> str:
    """Of what matters most in an environment."""
    code = "from importlib.metadata import version; print(*(f'{x} {version(x)}' for x in ('jax', 'numpy', 'scipy')))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
