"""ntc compile: a model file to an artifact, or to one of the stages before it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ntc.artifact import save
from ntc.cli import options
from ntc.cli.console import reporting
from ntc.compiler import build
from ntc.errors import ParameterError
from ntc.ir.printer import show
from ntc.ir.types import Between
from ntc.plan import plan, text
from ntc.plan.explain import EXAMPLES

Emit = Literal["tensor-ir", "kernel-ir", "plan", "stablehlo", "artifact"]


def compile_command(
    model_file: options.ModelPath,
    target: options.TargetOption = "cpu",
    output: Annotated[
        Path | None,
        options.written("-o", "--output", help="Where to write; - or none is stdout."),
    ] = None,
    emit: Annotated[Emit, typer.Option("--emit", help="What to write.")] = "artifact",
    between: Annotated[
        Between,
        typer.Option("--between", help="For kernel-ir, plan, stablehlo: x1 with x2, x with itself, or its diagonal."),
    ] = "cross",
    kernel: options.KernelsOption = "both",
    model: options.ModelName = None,
    param: options.Parameters = None,
    dtype: options.DTypeOption = "float32",
    conv_lowering: options.ConvLoweringOption = "auto",
    form: options.FormOption = "auto",
    n: Annotated[int, typer.Option("--n", min=1, help="For plan: numbers of examples on each side.")] = EXAMPLES,
    dump_ir_after: options.DumpAfter = None,
    verify: options.Verify = False,
    time_passes: options.TimePasses = False,
    as_json: options.Json = False,
) -> None:
    """Compile a model for a platform, which need not be the one it is compiled on."""
    if emit == "artifact" and output in (None, Path("-")):
        raise ParameterError("an artifact is a binary file", hint="say where to write it: -o model.ntc")
    seen = options.observer(dump_ir_after, verify)
    network = options.open_network(model_file, model, param)
    if emit == "tensor-ir":
        _write(output, show(network))
        return
    program = build(network, target, options.chosen(kernel), dtype, seen, conv_lowering, form)
    if emit == "artifact":
        assert output is not None
        with reporting() as report:
            save(program, output, lambda done, total: report("export", done, total))
        summary = {"artifact": str(output), "bytes": output.stat().st_size, "target": target, "model": network.name}
        print(json.dumps(summary) if as_json else f"{output}: {network.name} for {target}, {summary['bytes']} bytes")
    elif emit == "kernel-ir":
        _write(output, show(program.graphs[between]))
    elif emit == "plan":
        _write(output, text.show(plan(program.graphs[between], target, n, n)))
    else:
        from ntc.backends.jax.run.export import stablehlo

        _write(output, stablehlo(program, between))
    if time_passes:
        options.print_times(seen)


def _write(output: Path | None, text: str) -> None:
    if output in (None, Path("-")):
        sys.stdout.write(text)
    else:
        assert output is not None
        output.write_text(text)
