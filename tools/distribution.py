"""Builds a wheel and a source distribution in dist/, and checks them.

    python tools/distribution.py

The wheel has every module and file of data of the package, the source distribution makes the same wheel, and the first
hour of the documentation runs with the wheel in an empty environment.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import pages  # noqa: E402

DATA = (".py", ".lark", ".html", ".typed")


def main() -> int:
    """1 if something is missing or does not run."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    folder = ROOT / "dist"
    for old in (folder, ROOT / "build"):  # what is left in build/ of another day would be in the wheel
        shutil.rmtree(old, ignore_errors=True)
    wheel, sdist = built(ROOT, folder, "build_wheel"), built(ROOT, folder, "build_sdist")
    missing = package_files() - set(zipfile.ZipFile(wheel).namelist())
    if missing:
        print(f"{wheel.name} lacks {', '.join(sorted(missing))}")
        return 1
    with tempfile.TemporaryDirectory() as place:
        with tarfile.open(sdist) as archive:
            archive.extractall(place, filter="data")
        (unpacked,) = Path(place).iterdir()
        again = built(unpacked, Path(place) / "dist", "build_wheel")
        if set(zipfile.ZipFile(again).namelist()) != set(zipfile.ZipFile(wheel).namelist()):
            print(f"{sdist.name} makes another wheel than this folder")
            return 1
        python = Path(place) / "empty" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", python.parent.parent], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"{wheel}[demo]"], check=True)
        if not pages.runs(ROOT / "docs" / "first-hour.md", python):
            return 1
    print(f"{wheel.relative_to(ROOT)}, {sdist.relative_to(ROOT)}: complete, and the first hour runs")
    return 0


def built(source: Path, folder: Path, what: str) -> Path:
    """The path of what setuptools builds of a source tree."""
    folder.mkdir(exist_ok=True)
    code = f"from setuptools import build_meta; print(build_meta.{what}({str(folder)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=True)
    return folder / done.stdout.split()[-1]


def package_files() -> set[str]:
    """What belongs to the package."""
    files = (ROOT / "ntc").rglob("*")
    return {str(path.relative_to(ROOT)) for path in files if path.suffix in DATA or path.name == "py.typed"}


if __name__ == "__main__":
    sys.exit(main())
