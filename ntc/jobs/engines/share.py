"""A part of all blocks as one task of a batch system."""

from __future__ import annotations

from typing import Any

from ntc.jobs.work import Done, work_share


class Share:
    """Called as `work_share`. Where SLURM preempts it, it is queued again, and goes on from the store."""

    def __call__(self, url: str, part: int, parts: int) -> list[Done]:
        return list(work_share(url, part, parts))

    def checkpoint(self, *arguments: Any) -> Any:
        """What submitit is to queue."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *arguments)
