"""ntc compile: a model file to an artifact, or to one of the stages before it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ntc.artifact import save
from ntc.cli import options
from ntc.cli.console import reporting
from ntc.compiler import build
from ntc.errors import UsageError
from ntc.files import STANDARD, write_text
from ntc.ir.printer import show
from ntc.ir.types import Between
from ntc.plan import plan
from ntc.plan import text as plan_text
from ntc.plan.explain import EXAMPLES

if TYPE_CHECKING:
    from ntc.backends.jax.program import Program

Emit = Literal["tensor-ir", "kernel-ir", "plan", "stablehlo", "artifact"]


def compile_command(
    model_file: options.ModelPath,
    target: options.TargetOption = "cpu",
    output: options.TextOutput = None,
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
    n: Annotated[
        int, typer.Option("--n", min=1, help="For plan and --check: numbers of examples on each side.")
    ] = EXAMPLES,
    check: Annotated[
        bool, typer.Option("--check", help="Only compile for a device of the target, which need not be here.")
    ] = False,
    kernel_path: options.KernelPathOption = "auto",
    dump_ir_after: options.DumpAfter = None,
    verify: options.Verify = False,
    time_passes: options.TimePasses = False,
    as_json: options.Json = False,
) -> None:
    """Compile a model for a platform, which need not be the one it is compiled on."""
    if emit == "artifact" and not check and output in (None, STANDARD):
        raise UsageError("an artifact is a binary file", hint="say where to write it: -o model.ntc")
    seen = options.observer(dump_ir_after, verify)
    network = options.open_network(model_file, model, param)
    if emit == "tensor-ir":
        write_text(output, show(network))
        return
    program = build(network, target, options.chosen(kernel), dtype, seen, conv_lowering, form, kernel_path=kernel_path)
    if check:
        _check(program, n, as_json)
        return
    if emit == "artifact":
        assert output is not None
        with reporting() as report:
            save(program, output, lambda done, total: report("export", done, total))
        summary = {"artifact": str(output), "bytes": output.stat().st_size, "target": target, "model": network.name}
        print(json.dumps(summary) if as_json else f"{output}: {network.name} for {target}, {summary['bytes']} bytes")
    elif emit == "kernel-ir":
        write_text(output, show(program.graphs[between]))
    elif emit == "plan":
        write_text(output, plan_text.show(plan(program.graphs[between], target, n, n, kernel_path)))
    else:
        from ntc.backends.jax.run.export import stablehlo

        write_text(output, stablehlo(program, between))
    if time_passes:
        options.print_times(seen)


def _check(program: Program, n: int, as_json: bool) -> None:
    """Compiles k(x1, x2) for a device that need not be here, and says what came out."""
    import jax

    from ntc.backends.jax.run.compile_only import compile_only

    jax.config.update("jax_platforms", "cpu")  # type: ignore[no-untyped-call]  # the plug-in for a GPU is not asked for one that is here
    found = compile_only(program, n, n)
    kernels = sum(
        x.fused is not None for x in plan(program.graphs["cross"], program.target, n, n, program.kernel_path).stages
    )
    summary = {
        "device": found.device,
        "examples": n,
        "seconds": found.seconds,
        "temporary_bytes": found.temporary,
        "code_bytes": found.code,
        "kernels": kernels,
    }
    code = f", {found.code / 1e6:.3g} MB of code" if found.code else ""
    stages = f"{kernels} {'stage' if kernels == 1 else 'stages'} as kernels of their own"
    memory = f"{found.temporary / 1e6:.3g} MB beside arguments and results{code}"
    text = f"compiles for {found.device}, {n} x {n} examples: {found.seconds:.2g} s, {memory}, {stages}"
    print(json.dumps(summary) if as_json else text)
