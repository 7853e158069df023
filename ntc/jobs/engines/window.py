"""A bounded number of tasks at a time, of any number of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from ntc.jobs.blocks import Task


def windowed(
    tasks: Iterable[Task], most: int, begin: Callable[[Task], Any], ended: Callable[[list[Any]], Iterable[Any]]
) -> Iterator[tuple[Any, Task]]:
    """Begins tasks, at most so many at a time, and gives back every handle that has ended, with its task.

    `begin` makes the handle of a task; `ended` waits for one handle or more of those it is given, and returns them.
    """
    waiting, running = iter(tasks), dict[Any, Task]()
    while True:
        running |= {begin(task): task for task in islice(waiting, most - len(running))}
        if not running:
            return
        for handle in ended(list(running)):
            yield handle, running.pop(handle)
