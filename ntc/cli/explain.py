"""ntc explain: what is tracked, what it costs, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ntc.cli import options
from ntc.cli.price import TARGETS, Question, answer, lines, platform_of
from ntc.compiler import lower
from ntc.plan.explain import EXAMPLES, Explanation, LayerCost, StageCost, explain
from ntc.price import ACCELERATORS, known_rates


def explain_command(
    model_file: options.ModelPath,
    target: Annotated[str, typer.Option("--target", help=TARGETS)] = "cpu",
    kernel: options.KernelsOption = "both",
    model: options.ModelName = None,
    param: options.Parameters = None,
    dtype: options.DTypeOption = "float32",
    as_json: options.Json = False,
    n: Annotated[int | None, typer.Option("--n", min=1, help="Predict time and memory for so many examples.")] = None,
    n2: Annotated[int | None, typer.Option("--n2", min=1, help="Number of examples x2; without it, k(x, x).")] = None,
    devices: Annotated[int, typer.Option("--devices", min=1, help="Number of devices that share the work.")] = 1,
    budget_memory: Annotated[float | None, typer.Option("--budget-memory", min=0, help="GiB: which n fits?")] = None,
    budget_time: Annotated[float | None, typer.Option("--budget-time", min=0, help="Seconds: which n fits?")] = None,
) -> None:
    """Show layer by layer which covariances are tracked, in which layout, and what that costs."""
    question = Question(n, n2, devices, budget_memory, budget_time)
    question.check()
    network = options.open_network(model_file, model, param)
    platform = platform_of(target)
    rates = known_rates(target) if target in ACCELERATORS or question.asked else None
    graph = lower(network, "cross", options.chosen(kernel), dtype)
    found = explain(graph, platform)
    if as_json:
        totals = {"operations": found.operations, "naive_operations": found.naive_operations}
        priced = {} if rates is None else answer(graph, rates, question)
        print(json.dumps({"model": network.name, **asdict(found), **totals, **priced}))
        return
    console = Console(highlight=False)
    console.print(_tracked(network.name, found))
    console.print(_costs(found))
    for line in _lines(found):
        console.print(line, markup=False)
    for line in () if rates is None else lines(graph, rates, question):
        console.print(line, markup=False)


def _tracked(name: str, found: Explanation) -> Table:
    table = _table(f"{name}: which covariances between positions are tracked", "image", "offsets", "tracked", "layout")
    for layers in _alike(found.layers):
        first = layers[0]
        if first.spatial:
            image, offsets = "x".join(map(str, first.spatial)), f"{first.tracked} of {first.all_offsets}"
            table.add_row(_names(layers), image, offsets, first.offsets, first.layout)
        else:
            table.add_row(_names(layers), "-", "-", "-", first.layout)
    return table


def _costs(found: Explanation) -> Table:
    table = _table("per pair of examples; naive is every pair of positions")
    for column in ("entries", "naive", "bytes", "operations", "naive"):
        table.add_column(column, justify="right")
    for layers in _alike(found.layers):
        fields = ("entries", "naive_entries", "bytes", "operations", "naive_operations")
        table.add_row(_names(layers), *(count(sum(getattr(x, field) for x in layers)) for field in fields))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table("layers", *columns, title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.columns[0].overflow = "fold"
    return table


def _alike(layers: tuple[LayerCost, ...]) -> Iterator[list[LayerCost]]:
    """Neighbouring layers that track and cost the same."""
    for _, group in groupby(layers, key=lambda x: (x.spatial, x.offsets, x.entries > 0)):
        yield list(group)


def _names(layers: list[LayerCost]) -> str:
    first, last = layers[0], layers[-1]
    return first.layer if first is last else f"{first.layer} ... {last.layer} ({len(layers)})"


def count(number: float) -> str:
    """With three digits and a unit: 1.05M."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def _lines(found: Explanation) -> Iterator[str]:
    yield f"schedule, for {EXAMPLES} x {EXAMPLES} examples at a time"
    for group in found.stages:
        yield f"  {_group(group)}"
    ratio = found.naive_operations / max(1, found.operations)
    yield (
        f"operations per pair {count(found.operations)}, naive {count(found.naive_operations)} ({ratio:.3g} times); "
        f"stored whole per pair {count(found.stored_bytes)}B"
    )
    if found.reasons:
        yield "why not less"
    for reason in found.reasons:
        yield f"  {reason}"


def _group(group: StageCost) -> str:
    first, last = group.layers
    names = first if first == last else f"{first} ... {last}"
    parts = [f"{names}: {group.values} value{'s' if group.values > 1 else ''}"]
    if group.kernel:
        entries, size = group.kernel
        parts.append(f"one kernel, {entries} entries at a time in {count(size)}B")
    elif group.chunk:
        rows, lanes = group.chunk
        parts.append(f"in one loop, {rows} of {EXAMPLES} rows and {lanes} of {group.lanes} lanes at a time")
    else:
        parts.append("whole")
    parts += [f"a block of {values} values {times} times" for times, values in group.repeated]
    if group.stored:
        parts.append(f"keeps {', '.join(group.stored)} ({count(group.stored_bytes)}B)")
    return "; ".join(parts)
