"""Options that all reproductions have, and where their pictures go."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.picture import figure, keep

__all__ = ["command", "figure", "save"]

DOCS = Path(__file__).resolve().parents[2] / "docs"


def command(main: Callable[[bool], str], description: str | None, arguments: Sequence[str] | None = None) -> None:
    """Prints the table of a reproduction. `--quick` is for small sizes, to see that it runs; no picture is kept."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, and no picture is kept")
    print(main(parser.parse_args(arguments).quick))


def save(drawn: Any, name: str, quick: bool) -> None:
    """Writes docs/NAME.png."""
    keep(drawn, DOCS / f"{name}.png", quick, dpi=100)
