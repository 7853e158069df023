"""ntc kernel: kernel matrices between arrays of examples."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from ntc.cli import options
from ntc.cli.announce import announce, profiled
from ntc.cli.console import reporting
from ntc.ir.graph import RESULT, kernel_label
from ntc.ir.types import Kernel

if TYPE_CHECKING:
    from ntc.backends.jax.result import Kernels


def kernel_command(
    model_file: options.ModelPath,
    x1: Annotated[Path, typer.Option("--x1", help="Examples (n1, ..., channels), .npy; .npz of several inputs.")],
    output: Annotated[Path, options.written("-o", "--output", help="Where to write the matrices, .npz.")],
    x2: Annotated[Path | None, typer.Option("--x2", help="Other examples (n2, ..., channels); default: x1.")] = None,
    kernel: options.RunKernels = None,
    model: options.ModelName = None,
    param: options.Parameters = None,
    hyper: options.HyperOption = None,
    target: options.RunTarget = None,
    devices: options.Devices = None,
    dtype: options.RunDType = None,
    trust: options.Trust = False,
    kernel_path: options.KernelPathOption = "auto",
    memory: Annotated[
        float | None,
        typer.Option("--memory", min=1e-6, help="GiB to use at a time; default: a quarter of the machine's."),
    ] = None,
    as_json: options.Json = False,
    self_test: options.SelfTest = True,
    profile: options.Profile = None,
) -> None:
    """Compute the NNGP and NTK matrices between examples."""
    wanted = options.chosen(kernel) if kernel else None
    program = options.open_program(
        model_file, model, param, target=target, dtype=dtype, kernels=wanted, trust=trust, devices=devices
    )
    program = program.with_kernel_path(kernel_path)
    program = program.with_hyper(options.hyper_values(hyper))
    first = options.read_examples(x1, program.inputs)
    second = None if x2 is None else options.read_examples(x2, program.inputs)
    announce(program, first, second)
    start = time.perf_counter()
    with reporting() as report, profiled(profile):
        limit = None if memory is None else int(memory * 2**30)
        result = program(
            first,
            second,
            progress=lambda done, total: report("kernel", done, total),
            memory=limit,
            self_test=None if self_test else False,
        )
    matrices = _matrices(result, wanted or program.kernels)
    seconds = time.perf_counter() - start
    options.write_arrays(output, matrices)
    shapes = {name: list(value.shape) for name, value in matrices.items()}
    if as_json:
        print(json.dumps({"output": str(output), "shapes": shapes, "seconds": seconds}))
    else:
        listed = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
        print(f"{output}: {listed} in {seconds:.1f} s")


def _matrices(kernels: Kernels, wanted: tuple[Kernel, ...]) -> dict[str, npt.NDArray[Any]]:
    """By what the kernel graph calls them: those of the result, then those of values with names."""
    outputs = {RESULT: kernels, **kernels.outputs}
    return {kernel_label(x, name): np.asarray(getattr(outputs[x], name)) for x in outputs for name in wanted}
