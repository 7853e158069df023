"""What `ntc explain --n` and the budgets print: predicted time and memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, get_args

from ntc.errors import UsageError
from ntc.ir.graph import Graph
from ntc.ir.types import Target
from ntc.plan import machine
from ntc.plan.tiles import default_memory
from ntc.price import ACCELERATORS, Cost, Rates, largest, price

TARGETS = f"cpu, cuda, tpu, or for its speed one of {', '.join(ACCELERATORS)}."

_SHOWN = 12
"""Layers with the largest shares."""

_ACCELERATOR_MEMORY = 16 * 2**30
"""Bytes that a tile may take on an accelerator that is not here."""


def platform_of(target: str) -> Target:
    """The platform of one of `TARGETS`. Raises UsageError."""
    if target in ACCELERATORS:
        return ACCELERATORS[target].target
    platforms: tuple[Target, ...] = get_args(Target)
    for platform in platforms:
        if platform == target:
            return platform
    raise UsageError(f"--target {target}: expected {TARGETS}")


@dataclass(frozen=True)
class Question:
    """What is asked: numbers of examples (k(x, x) without n2), devices, and budgets in GiB and seconds."""

    n: int | None
    n2: int | None
    devices: int
    budget_memory: float | None
    budget_time: float | None

    def check(self) -> None:
        """Raises UsageError for options that do not go together."""
        if self.n2 is not None and self.n is None:
            raise UsageError("--n2 is given without --n", hint="--n is the number of first examples")

    @property
    def asked(self) -> bool:
        """Whether anything is asked."""
        return self.n is not None or self.budget_memory is not None or self.budget_time is not None


def cost_of(graph: Graph, rates: Rates, n1: int, n2: int | None, devices: int) -> Cost:
    """Of the program as it would run on this machine, or on devices elsewhere."""
    on_cpu = rates.target == "cpu"
    memory = default_memory() if on_cpu else _ACCELERATOR_MEMORY
    return price(graph, rates, n1, n2, memory, machine.cores() if on_cpu else 1, devices)


def fitting(graph: Graph, rates: Rates, question: Question) -> dict[str, int]:
    """The largest n of k(x, x) within each budget and within both."""
    memory, seconds = question.budget_memory, question.budget_time

    def fits(n: int) -> bool:
        cost = cost_of(graph, rates, n, None, question.devices)
        in_memory = memory is None or cost.memory <= memory * 2**30
        return in_memory and (seconds is None or cost.seconds + cost.compile_seconds <= seconds)

    return {} if memory is None and seconds is None else {"n": largest(fits)}


def answer(graph: Graph, rates: Rates, question: Question) -> dict[str, Any]:
    """Everything asked, for JSON."""
    found: dict[str, Any] = dict(fitting(graph, rates, question))
    if question.n is not None:
        cost = cost_of(graph, rates, question.n, question.n2, question.devices)
        found["cost"] = asdict(cost) | {"memory": cost.memory, "source": rates.source}
    return found


def lines(graph: Graph, rates: Rates, question: Question) -> Iterator[str]:
    """Everything asked, as text."""
    if not question.asked:
        return
    kind = "measured here" if rates.measured else f"not measured: {rates.source}"
    yield f"predicted on {rates.name} ({kind})"
    if question.n is not None:
        yield from _priced(cost_of(graph, rates, question.n, question.n2, question.devices), question)
    for n in fitting(graph, rates, question).values():
        yield f"  within the budget: k(x, x) of up to {n} examples"


def _priced(cost: Cost, question: Question) -> Iterator[str]:
    what = f"{cost.rows} x {cost.columns}" if question.n2 is not None else f"k(x, x) of {cost.rows}"
    spread = f" on {question.devices} devices" if question.devices > 1 else ""
    yield f"  {what} examples{spread}: {duration(cost.seconds)}, and {duration(cost.compile_seconds)} to compile"
    parts = {"inputs": cost.inputs, "result": cost.result, "tiles at hand": cost.working, "process": cost.runtime}
    listed = ", ".join(f"{name} {size(x)}" for name, x in parts.items())
    yield f"  memory {size(cost.memory)}: {listed}; {cost.tiles} tiles of {cost.tile[0]} x {cost.tile[1]}"
    shares = sorted(cost.layers, key=lambda x: -x.seconds)
    for layer in shares[:_SHOWN]:
        yield f"    {layer.layer:24} {duration(layer.seconds):>10} {layer.seconds / max(cost.seconds, 1e-300):6.1%}"
    rest = sum(x.seconds for x in shares[_SHOWN:])
    if rest:
        yield f"    {f'{len(shares) - _SHOWN} more layers':24} {duration(rest):>10} {rest / cost.seconds:6.1%}"


def duration(seconds: float) -> str:
    """With three digits and a unit: 12.3 s, 4.5 h."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= 2 * length or (unit == "s" and seconds >= 0.1):
            return f"{seconds / length:.3g} {unit}"
    return f"{1e3 * seconds:.3g} ms"


def size(number: float) -> str:
    """Of memory: 1.5 GiB."""
    for unit, length in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if number >= length:
            return f"{number / length:.3g} {unit}"
    return f"{number / 2**10:.3g} KiB"
