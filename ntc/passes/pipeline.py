"""The list of passes, and how they are run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ntc.errors import NtcError, ParameterError, VerifyError
from ntc.ir.construct import did_you_mean
from ntc.ir.graph import Graph
from ntc.ir.parser import parse_graph
from ntc.ir.printer import show
from ntc.ir.verify import verify
from ntc.passes.cse import CommonSubexpressions
from ntc.passes.dce import DeadCode
from ntc.passes.fold import Fold
from ntc.passes.track import Track

Pass = Callable[[Graph], Graph]

PASSES: dict[str, Pass] = {
    "fold": Fold(),
    "cse": CommonSubexpressions(),
    "dce": DeadCode(),
    "track": Track(),
}

OPTIMIZE = (
    "fold",  # first: the NTK of the input is zero, which removes the lowest layers' NTK work
    "cse",  # after folding, which makes more values equal
    "dce",  # before tracking: a dead reader must not demand entries
    "track",  # last: the passes before it would have to keep types apart
)


@dataclass
class Observer:
    """What happens between passes.

    Attributes:
      verify: check every graph.
      dump: called with the pass name and the graph after it.
      seconds: time spent per pass, in order, filled in by `run`.
    """

    verify: bool = False
    dump: Callable[[str, Graph], None] | None = None
    seconds: list[tuple[str, float]] = field(default_factory=list)

    @classmethod
    def from_environment(cls) -> Observer:
        """Verifies if NTC_CHECK is 1 or more; see `run` for 2."""
        return cls(verify=check_level() >= 1)


def check_level() -> int:
    """NTC_CHECK: 0 nothing (default), 1 verify after every pass, 2 also the text round trip."""
    level = os.environ.get("NTC_CHECK", "0")
    return int(level) if level in ("0", "1", "2") else 2


def named_passes(names: Sequence[str]) -> list[tuple[str, Pass]]:
    """The passes of these names. Raises ParameterError."""
    for name in names:
        if name not in PASSES:
            hint = did_you_mean(name, list(PASSES)) or f"passes: {', '.join(PASSES)}"
            raise ParameterError(f"unknown pass `{name}`", hint=hint)
    return [(name, PASSES[name]) for name in names]


def run(graph: Graph, passes: Sequence[tuple[str, Pass]], observer: Observer | None = None) -> Graph:
    """Applies the passes in order. A defect is reported with the name of the pass that left it."""
    observer = observer or Observer.from_environment()
    done: list[str] = []
    for name, apply in passes:
        start = time.perf_counter()
        try:
            graph = apply(graph)
        except NtcError as error:
            error.notes += (f"in pass `{name}`, after {', '.join(done) or 'no other'}",)
            raise
        observer.seconds.append((name, time.perf_counter() - start))
        done.append(name)
        if observer.verify:
            _check(graph, done)
        if observer.dump:
            observer.dump(name, graph)
    return graph


def _check(graph: Graph, done: list[str]) -> None:
    try:
        verify(graph)
        if check_level() >= 2 and parse_graph(show(graph)) != graph:
            raise VerifyError("the graph does not survive printing and parsing")
    except VerifyError as error:
        error.notes += (f"after pass `{done[-1]}` (all: {', '.join(done)})",)
        raise
