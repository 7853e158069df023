"""ntc opt: passes on IR text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ntc.cli import options
from ntc.errors import UsageError
from ntc.files import STANDARD, decode, read_bytes, write_text
from ntc.ir.graph import Graph
from ntc.ir.parser import MAX_BYTES
from ntc.ir.printer import show
from ntc.passes.base import Pass
from ntc.passes.pipeline import OPTIMIZE, parse_pipeline, run
from ntc.passes.translate import Translate

_DEFAULT_PASSES = ", ".join(pass_.name for pass_ in OPTIMIZE)


def opt(
    file: Annotated[Path, typer.Argument(metavar="GRAPH", help="IR text or JSON; - is stdin.")] = STANDARD,
    passes: Annotated[
        str | None,
        typer.Option(
            "--passes",
            help="Comma-separated, with options: translate{between=self}, cse. Default: for a network translate, "
            f"then {_DEFAULT_PASSES}.",
        ),
    ] = None,
    output: options.TextOutput = None,
    dump_ir_after: options.DumpAfter = None,
    verify: options.Verify = False,
    time_passes: options.TimePasses = False,
) -> None:
    """Read a graph as text, run passes on it, and print the result as text."""
    seen = options.observer(dump_ir_after, verify)
    graph = _read(file)
    pipeline = _usual(graph) if passes is None else parse_pipeline(passes)
    if graph.kind == "tensor" and pipeline and not isinstance(pipeline[0], Translate):
        hint = f'--passes "translate, {passes}"'
        raise UsageError(f"`{graph.name}` is a network, and passes are for kernel graphs", hint=hint)
    write_text(output, show(run(graph, pipeline, seen), locations=False))
    if time_passes:
        options.print_times(seen)


def _usual(graph: Graph) -> list[Pass]:
    """What compiling runs: a network is translated first."""
    return [*([Translate()] if graph.kind == "tensor" else []), *OPTIMIZE]


def _read(file: Path) -> Graph:
    return options.graph_of_text(decode(read_bytes(file, MAX_BYTES), file), file)
