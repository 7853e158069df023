"""Where pictures of reproductions go, and options that all of them have."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[2] / "docs"


def quick(description: str | None) -> bool:
    """Whether `--quick` is given: small sizes, to see that it runs; nothing is drawn."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small sizes, and no picture")
    return bool(parser.parse_args().quick)


def figure(width: float, height: float) -> Any:
    """A figure of matplotlib, sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(drawn: Any, name: str) -> None:
    """Writes docs/NAME.png."""
    drawn.savefig(DOCS / f"{name}.png", dpi=100)
