"""Where messages go, and progress of anything that takes more than a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

stderr = Console(stderr=True)


def note(text: str) -> None:
    """Says something on stderr that is worth knowing and no mistake, on one line however long it is."""
    stderr.print(Text.assemble(("note:", "bold yellow"), f" {text}"), soft_wrap=True)


class Reporter:
    """Progress bars by name, on stderr, shown only on a terminal, from the first report on."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, object] = {}

    def __call__(self, name: str, done: int, total: int) -> None:
        """`done` of `total` parts of the work called `name` are finished."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total)
        self._progress.start()  # does nothing if it runs
        self._progress.update(self._tasks[name], completed=done, total=total)  # type: ignore[arg-type]


@contextmanager
def reporting() -> Iterator[Reporter]:
    """A reporter whose bars vanish at the end."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal)
    try:
        yield Reporter(progress)
    finally:
        progress.stop()
