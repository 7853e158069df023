"""Figures of benchmarks, and where they go."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any


def figure(width: float, height: float) -> Any:
    """A figure of matplotlib, sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def keep(drawn: Any, path: Path, quick: bool = False, dpi: int = 120) -> None:
    """Writes the picture. That of a quick run is drawn as well, to see that it can be, and the file stays as it is."""
    drawn.savefig(BytesIO() if quick else path, dpi=dpi)
