"""What pictures are drawn on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntc.errors import UnsupportedError
from ntc.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def require_matplotlib() -> None:
    """Raises UnsupportedError if it is not installed."""
    try:
        import matplotlib as mpl  # noqa: F401
    except ImportError:
        hint = 'pip install "neural-tangent-compiler[plot]"'
        raise UnsupportedError("pictures need matplotlib", hint=hint) from None


def axes_on(axes: Axes | None) -> Axes:
    """The axes given, or those of a new figure."""
    return axes_in_row(None if axes is None else [axes], 1)[0]


def axes_in_row(axes: Sequence[Axes] | None, count: int) -> Sequence[Axes]:
    """The axes given, or those of a new figure beside each other."""
    if axes is not None:
        return axes
    require_matplotlib()
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(max(5.0, 4.2 * count), 4), layout="constrained")
    made: Sequence[Axes] = figure.subplots(1, count, squeeze=False)[0]
    return made


def blank(columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure that is only written to a file, of which pyplot knows nothing, and its axes in a row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(6.0, 5.0 * columns), 4.5), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def save(figure: Any, path: Path, dpi: int = 150) -> None:
    """Writes a figure in the format that the name of the file says (.png without one), whole or not at all."""
    with replacing(path) as partial:
        figure.savefig(partial, dpi=dpi, format=path.suffix[1:].lower() or "png")
