"""The list of passes, and how they are run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ntc.errors import NtcError, ParameterError, VerifyError
from ntc.ir.construct import construct
from ntc.ir.graph import Graph
from ntc.ir.names import did_you_mean
from ntc.ir.parser import parse_graph, parse_passes
from ntc.ir.printer import show
from ntc.ir.verify import verify
from ntc.passes.base import Pass
from ntc.passes.crop import Crop
from ntc.passes.cse import CommonSubexpressions
from ntc.passes.dce import DeadCode
from ntc.passes.distance import Distance
from ntc.passes.fold import Fold
from ntc.passes.lower_conv import LowerConv
from ntc.passes.merge import Merge
from ntc.passes.skew import Skew
from ntc.passes.split import Split
from ntc.passes.track import Track
from ntc.passes.translate import Translate

PASSES: dict[str, type[Pass]] = {
    pass_.name: pass_
    for pass_ in (Translate, Fold, CommonSubexpressions, Merge, DeadCode, Crop, Split, Track, Distance, Skew, LowerConv)
}

OPTIMIZE: tuple[Pass, ...] = (
    Fold(),  # first: the NTK of the input is zero, which removes the lowest layers' NTK work
    CommonSubexpressions(),  # after folding, which makes more values equal
    Merge(),  # before dead code, of which it leaves some
    DeadCode(),  # before tracking: a dead reader must not demand entries
    Crop(),  # after dead code, like tracking
    Split(),  # before tracking, which finds what every part of a pooling reads
    Track(),  # after all that changes nodes: the passes before it would have to keep types apart
    Distance(),  # after tracking: what a value is converted by must track no more than is read
    Skew(),  # it needs to know which offsets are tracked
    LowerConv(),  # last: nothing depends on it
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


def parse_pipeline(text: str) -> list[Pass]:
    """The passes of a text such as `translate{between=self}, fold, cse`. Raises ParseError, ParameterError."""
    return [_pass(name, options) for name, options in parse_passes(text)]


def _pass(name: str, options: Mapping[str, object]) -> Pass:
    if name not in PASSES:
        hint = did_you_mean(name, list(PASSES)) or f"passes: {', '.join(PASSES)}"
        raise ParameterError(f"unknown pass `{name}`", hint=hint)
    return construct(PASSES[name], (), options)


def run(graph: Graph, passes: Sequence[Pass], observer: Observer | None = None) -> Graph:
    """Applies the passes in order. A defect is reported with the name of the pass that left it."""
    observer = observer or Observer.from_environment()
    done: list[str] = []
    for pass_ in passes:
        start = time.perf_counter()
        try:
            graph = pass_(graph)
        except NtcError as error:
            error.notes += (f"in pass `{pass_.name}`, after {', '.join(done) or 'no other'}",)
            raise
        observer.seconds.append((pass_.name, time.perf_counter() - start))
        done.append(pass_.name)
        if observer.verify:
            _check(graph, done)
        if observer.dump:
            observer.dump(pass_.name, graph)
    return graph


def _check(graph: Graph, done: list[str]) -> None:
    try:
        verify(graph)
        if check_level() >= 2 and not graph.holds_functions and parse_graph(show(graph)) != graph:
            raise VerifyError("the graph does not survive printing and parsing")
    except VerifyError as error:
        error.notes += (f"after pass `{done[-1]}` (all: {', '.join(done)})",)
        raise
