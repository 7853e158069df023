"""ntc opt: passes on IR text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ntc.cli import options
from ntc.errors import InputError, LimitError
from ntc.ir.parser import MAX_BYTES, parse_graph
from ntc.ir.printer import show
from ntc.ir.verify import verify as verify_graph
from ntc.passes.pipeline import OPTIMIZE, parse_pipeline, run

_DEFAULT_PASSES = ", ".join(pass_.name for pass_ in OPTIMIZE)


def opt(
    file: Annotated[str, typer.Argument(help="IR text; - is stdin.")] = "-",
    passes: Annotated[
        str, typer.Option("--passes", help="Comma-separated, with options: translate{between=self}, cse.")
    ] = _DEFAULT_PASSES,
    dump_ir_after: options.DumpAfter = None,
    verify: options.Verify = False,
    time_passes: options.TimePasses = False,
) -> None:
    """Read a graph as text, run passes on it, and print the result as text."""
    seen = options.observer(dump_ir_after, verify)
    text, name = _read(file)
    graph = run(verify_graph(parse_graph(text, name)), parse_pipeline(passes), seen)
    sys.stdout.write(show(graph, locations=False))
    if time_passes:
        options.print_times(seen)


def _read(file: str) -> tuple[str, str]:
    name = "<stdin>" if file == "-" else file
    try:
        if file == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with open(Path(file), "rb") as stream:
                data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise LimitError(f"{name} is longer than {MAX_BYTES} bytes")
        return data.decode(), name
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text ({error.reason} at byte {error.start})") from None
