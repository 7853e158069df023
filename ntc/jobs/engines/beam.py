"""Pipelines of Apache Beam."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from ntc.jobs.blocks import Task
from ntc.jobs.engines.installed import needed
from ntc.jobs.work import Done, work

_TASKS = 10_000
"""Of one pipeline."""


def compute(url: str, task: Task) -> int:
    """Computes a block, for the runner: 1. Raises RuntimeError, so that the runner tries again as it does."""
    found = work(url, task)
    if found.failure:
        raise RuntimeError(found.message)
    return 1


class Beam:
    """Runs blocks as pipelines with options such as --runner=DataflowRunner. What happens to workers that die is the
    runner's matter; that on this machine waits for them for ever."""

    def __init__(self, options: Sequence[str] = ()) -> None:
        self.options = list(options)

    def run(self, url: str, tasks: Iterable[Task]) -> Iterator[Done]:
        """Nothing: what has been computed is known from the store. Raises what the runner does."""
        with needed("beam"):
            import apache_beam as beam
            from apache_beam.options.pipeline_options import PipelineOptions
        waiting = iter(tasks)
        while some := list(islice(waiting, _TASKS)):
            with beam.Pipeline(options=PipelineOptions(self.options)) as pipeline:
                _ = pipeline | beam.Create(some) | beam.Reshuffle() | beam.Map(lambda task: compute(url, tuple(task)))
        yield from ()
