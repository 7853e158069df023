"""What this process may use of the machine: processors and memory, as affinity and control groups limit them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_ROOT = Path("/")
_UNKNOWN_MEMORY = 2**63


def cores() -> int:
    """Processors that this process may run on at once, 1 or more: those of its affinity, and no more than the quota of
    its control group."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = processor_quota()
    return max(1, found if quota is None else min(found, quota))


def memory() -> int:
    """Bytes of memory that this process may use: those of the machine, and no more than its control group may."""
    limit = memory_limit()
    return _physical() if limit is None else min(limit, _physical())


@cache
def processor_quota(root: Path = _ROOT) -> int | None:
    """Processors that the control group of this process may use at once, rounded up; None where it has no quota."""
    quotas = []
    for folder in _groups(root, "cpu"):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if not quota:
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            quotas.append(-(-int(quota) // int(period)))
    return min(quotas, default=None)


@cache
def memory_limit(root: Path = _ROOT) -> int | None:
    """Bytes that the control group of this process may use; None where it has no limit."""
    names = ("memory.max", "memory.limit_in_bytes")
    found = [_read(folder / name) for folder in _groups(root, "memory") for name in names]
    return min((int(text) for text in found if text.isdigit()), default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the control groups that this process is in and of those above them, of either version of Linux's
    control groups; in a container the outermost is its own."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / controllers
        top = top if top.exists() else top.with_name(controller)
        own = top / path.lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top))


def _read(path: Path) -> str:
    """The text of a small file; empty where there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _physical() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # not known on this system
        return _UNKNOWN_MEMORY
